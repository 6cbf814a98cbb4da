// Gradient of the convolution with respect to weight and bias, as an implicit matrix product: rows are the output
// channels of a group, columns its input channels and filter places, and the sum runs over the output pixels of all
// images, cut into splits whose results are added later.
// `tiled` computes a tile of one split's elements a workgroup; `direct` one element of one split an invocation, for
// groups of few channels.
// dy [images, groups·outputs, out_height, out_width], x [images, groups·inputs, height, width];
// dw [splits, groups·outputs, inputs, kernel_h, kernel_w], db [splits, groups·outputs], of which this dispatch writes
// those from first_split on; from split to split dw is dw_stride and db db_stride elements further.
struct Params {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, padding: u32, has_bias: u32, column_tiles: u32,
    split_length: u32, first_split: u32, dw_stride: u32, db_stride: u32, dy_at: u32, x_at: u32,
}

override STRIDE: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;
@group(0) @binding(4) var<storage, read_write> db: array<f32>;

// A column: where its input channel starts in an image, and a row and column of the filter less the padding, modulo
// 2³²; rows far outside stand for no column.
struct Tap {
    at: u32,
    i: u32,
    j: u32,
}

const FAR: u32 = 0x80000000u;

fn tap_of(column: u32, group: u32) -> Tap {
    let area = params.kernel_h * params.kernel_w;
    if column >= params.inputs * area {
        return Tap(0u, FAR, FAR);
    }
    let place = column % area;
    return Tap(
        params.x_at + (group * params.inputs + column / area) * params.height * params.width,
        place / params.kernel_w - params.padding,
        place % params.kernel_w - params.padding,
    );
}

// The input under a tap of the window whose first element is at `top` and `left` of the unpadded image at `base`.
fn input_at(base: u32, top: u32, left: u32, tap: Tap) -> f32 {
    let row = top + tap.i;
    let column = left + tap.j;
    if row < params.height && column < params.width {
        return x[base + tap.at + row * params.width + column];
    }
    return 0.0;
}

fn store_quad(at: u32, group: u32, row: u32, column: u32, values: vec4<f32>) {
    let columns = params.inputs * params.kernel_h * params.kernel_w;
    if row >= params.outputs {
        return;
    }
    let to = at + (group * params.outputs + row) * columns + column;
    if column < columns {
        dw[to] = values.x;
    }
    if column + 1u < columns {
        dw[to + 1u] = values.y;
    }
    if column + 2u < columns {
        dw[to + 2u] = values.z;
    }
    if column + 3u < columns {
        dw[to + 3u] = values.w;
    }
}

fn store(at: u32, row: u32, column: u32, group: u32, sums: ptr<function, Sums>) {
    let right = column + 32u;
    store_quad(at, group, row, column, (*sums)[0]);
    store_quad(at, group, row, right, (*sums)[1]);
    store_quad(at, group, row + 1u, column, (*sums)[2]);
    store_quad(at, group, row + 1u, right, (*sums)[3]);
    store_quad(at, group, row + 2u, column, (*sums)[4]);
    store_quad(at, group, row + 2u, right, (*sums)[5]);
    store_quad(at, group, row + 3u, column, (*sums)[6]);
    store_quad(at, group, row + 3u, right, (*sums)[7]);
    store_quad(at, group, row + 32u, column, (*sums)[8]);
    store_quad(at, group, row + 32u, right, (*sums)[9]);
    store_quad(at, group, row + 33u, column, (*sums)[10]);
    store_quad(at, group, row + 33u, right, (*sums)[11]);
    store_quad(at, group, row + 34u, column, (*sums)[12]);
    store_quad(at, group, row + 34u, right, (*sums)[13]);
    store_quad(at, group, row + 35u, column, (*sums)[14]);
    store_quad(at, group, row + 35u, right, (*sums)[15]);
}

@compute @workgroup_size(64)
fn tiled(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_column = workgroup.x % params.column_tiles * tile_columns();
    let first_row = workgroup.x / params.column_tiles * tile_rows();
    let group = workgroup.z;
    let out_plane = params.out_height * params.out_width;
    let begin = workgroup.y * params.split_length;
    let end = min(begin + params.split_length, params.images * out_plane);
    let image_in = params.groups * params.inputs * params.height * params.width;
    let image_out = params.groups * params.outputs * out_plane;

    // This invocation loads these rows and columns, of the short side only the first. Rows after the last repeat it.
    let gradients = params.dy_at + group * params.outputs * out_plane;
    let near_row = gradients + min(first_row + lane, params.outputs - 1u) * out_plane;
    let far_row = gradients + min(first_row + 64u + lane, params.outputs - 1u) * out_plane;
    let near_tap = tap_of(first_column + lane, group);
    let far_tap = tap_of(first_column + 64u + lane, group);

    let row = lane / 8u;
    let column = lane % 8u;
    var near: Sums;
    var far: Sums;
    var near_bias = 0.0;
    var far_bias = 0.0;
    var pixel = begin;
    var image = begin / out_plane;
    var out_row = begin % out_plane / params.out_width;
    var out_column = begin % out_plane % params.out_width;
    // Barriers: begin and end are the same for the whole workgroup, and all invocations make every turn.
    while pixel < end {
        for (var step = 0u; step < STEP; step += 1u) {
            var gradient = 0.0;
            var value = 0.0;
            var third = 0.0;
            if pixel < end {
                let place = image * image_out + out_row * params.out_width + out_column;
                let base = image * image_in;
                let top = out_row * STRIDE;
                let left = out_column * STRIDE;
                gradient = dy[near_row + place];
                value = input_at(base, top, left, near_tap);
                if TALL {
                    third = dy[far_row + place];
                } else {
                    third = input_at(base, top, left, far_tap);
                }
            }
            near_bias += gradient;
            if TALL {
                far_bias += third;
                load_tiles(step, lane, gradient, third, value);
            } else {
                load_tiles(step, lane, value, third, gradient);
            }
            pixel += 1u;
            out_column += 1u;
            if out_column == params.out_width {
                out_column = 0u;
                out_row += 1u;
                if out_row == params.out_height {
                    out_row = 0u;
                    image += 1u;
                }
            }
        }
        workgroupBarrier();
        multiply_tiles(&near, &far, row, column);
        workgroupBarrier();
    }

    let split = params.first_split + workgroup.y;
    let at = split * params.dw_stride;
    let to_row = first_row + 4u * row;
    let to_column = first_column + 4u * column;
    store(at, to_row, to_column, group, &near);
    store(at, to_row + select(0u, 64u, TALL), to_column + select(64u, 0u, TALL), group, &far);

    // The first column of workgroups also has each row's sum.
    if first_column == 0u && params.has_bias != 0u {
        let to = split * params.db_stride + group * params.outputs + first_row + lane;
        if first_row + lane < params.outputs {
            db[to] = near_bias;
        }
        if TALL && first_row + 64u + lane < params.outputs {
            db[to + 64u] = far_bias;
        }
    }
}

@compute @workgroup_size(64)
fn direct(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = params.inputs * params.kernel_h * params.kernel_w;
    let weights = params.outputs * columns;
    // After the weights' elements come the biases'.
    let element = workgroup.x * 64u + lane;
    let group = workgroup.z;
    let is_bias = element >= weights;
    if element >= weights + params.outputs * params.has_bias {
        return;
    }
    let row = select(element / columns, element - weights, is_bias);
    let tap = tap_of(element % columns, group);
    let out_plane = params.out_height * params.out_width;
    let image_in = params.groups * params.inputs * params.height * params.width;
    let image_out = params.groups * params.outputs * out_plane;
    let begin = workgroup.y * params.split_length;
    let end = min(begin + params.split_length, params.images * out_plane);
    var image = begin / out_plane;
    var out_row = begin % out_plane / params.out_width;
    var out_column = begin % out_plane % params.out_width;
    let gradients = params.dy_at + (group * params.outputs + row) * out_plane;
    var sum = 0.0;
    for (var pixel = begin; pixel < end; pixel += 1u) {
        let gradient = dy[gradients + image * image_out + out_row * params.out_width + out_column];
        if is_bias {
            sum += gradient;
        } else {
            let base = image * image_in;
            sum += gradient
                * input_at(base, out_row * STRIDE, out_column * STRIDE, tap);
        }
        out_column += 1u;
        if out_column == params.out_width {
            out_column = 0u;
            out_row += 1u;
            if out_row == params.out_height {
                out_row = 0u;
                image += 1u;
            }
        }
    }
    let split = params.first_split + workgroup.y;
    if is_bias {
        db[split * params.db_stride + group * params.outputs + row] = sum;
    } else {
        dw[split * params.dw_stride + group * weights + element] = sum;
    }
}
