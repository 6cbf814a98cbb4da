// Pooling over square windows: y[n,c,h,w] = the maximum, or the sum divided by the full area, of a window of x.
// x [images, channels, height, width], y [images, channels, out_height, out_width].
struct Params {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    size: u32, stride: u32, padding: u32, average: u32, x_at: u32, y_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    let column = i % params.out_width;
    let row = i / params.out_width % params.out_height;
    let map = i / (params.out_width * params.out_height);
    let base = params.x_at + map * params.height * params.width;
    let top = i32(row * params.stride) - i32(params.padding);
    let left = i32(column * params.stride) - i32(params.padding);
    let first_row = u32(max(top, 0));
    let first_column = u32(max(left, 0));
    let end_row = min(u32(top + i32(params.size)), params.height);
    let end_column = min(u32(left + i32(params.size)), params.width);
    var sum = 0.0;
    var largest = x[base + first_row * params.width + first_column];
    for (var h = first_row; h < end_row; h += 1u) {
        for (var w = first_column; w < end_column; w += 1u) {
            let value = x[base + h * params.width + w];
            sum += value;
            largest = select(largest, value, beats(value, largest));
        }
    }
    y[params.y_at + i] = select(largest, sum / f32(params.size * params.size), params.average != 0u);
}
