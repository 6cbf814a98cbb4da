// Gradient of pooling: each element of x gathers dy of the windows it is in: of those whose first largest element it
// is, or of all, divided by the area.
// dy [images, channels, out_height, out_width], x, dx [images, channels, height, width].
struct Params {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    size: u32, stride: u32, padding: u32, average: u32, dy_at: u32, x_at: u32, dx_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// Whether the element at `row`, `column` is the first largest of the window whose corner is at `top`, `left`.
fn is_first_largest(base: u32, row: u32, column: u32, top: i32, left: i32) -> bool {
    let value = x[base + row * params.width + column];
    let end_row = min(u32(top + i32(params.size)), params.height);
    let end_column = min(u32(left + i32(params.size)), params.width);
    for (var h = u32(max(top, 0)); h < end_row; h += 1u) {
        for (var w = u32(max(left, 0)); w < end_column; w += 1u) {
            let other = x[base + h * params.width + w];
            let before = h < row || (h == row && w < column);
            if (before & !beats(value, other)) | (!before & beats(other, value)) {
                return false;
            }
        }
    }
    return true;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.elements {
        return;
    }
    let column = i % params.width;
    let row = i / params.width % params.height;
    let map = i / (params.width * params.height);
    let base = params.x_at + map * params.height * params.width;
    let out_base = params.dy_at + map * params.out_height * params.out_width;
    // Window r covers rows r·stride − padding to that + size − 1.
    let down = row + params.padding;
    let across = column + params.padding;
    var first_row = 0u;
    if down >= params.size {
        first_row = (down - params.size) / params.stride + 1u;
    }
    var first_column = 0u;
    if across >= params.size {
        first_column = (across - params.size) / params.stride + 1u;
    }
    let end_row = min(down / params.stride + 1u, params.out_height);
    let end_column = min(across / params.stride + 1u, params.out_width);
    var sum = 0.0;
    for (var h = first_row; h < end_row; h += 1u) {
        for (var w = first_column; w < end_column; w += 1u) {
            let gradient = dy[out_base + h * params.out_width + w];
            if params.average != 0u {
                sum += gradient / f32(params.size * params.size);
            } else {
                let top = i32(h * params.stride) - i32(params.padding);
                let left = i32(w * params.stride) - i32(params.padding);
                if is_first_largest(base, row, column, top, left) {
                    sum += gradient;
                }
            }
        }
    }
    dx[params.dx_at + i] = sum;
}
