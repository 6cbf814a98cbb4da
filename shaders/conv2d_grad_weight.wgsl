// Gradient of the convolution with respect to weight and bias, as an implicit matrix product: rows are the output
// channels of a group, columns its input channels and filter places, and the sum runs over the output pixels of all
// images, cut into splits whose results are added later.
// `tiled` computes 64×64 elements of one split a workgroup; `direct` one element of one split an invocation, for
// groups of few channels.
// dy [images, groups·outputs, out_height, out_width], x [images, groups·inputs, height, width];
// dw [splits, groups·outputs, inputs, kernel_h, kernel_w], db [splits, groups·outputs], of which this dispatch writes
// those from first_split on; from split to split dw is dw_stride and db db_stride elements further.
struct Params {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, padding: u32, has_bias: u32, column_tiles: u32,
    split_length: u32, first_split: u32, dw_stride: u32, db_stride: u32, dy_at: u32, x_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;
@group(0) @binding(4) var<storage, read_write> db: array<f32>;

// A column: an input channel's offset in an image, and a place of the filter less the padding; rows far outside
// stand for no column.
struct Tap {
    offset: u32,
    i: i32,
    j: i32,
}

const FAR: i32 = -0x40000000;

fn tap_of(column: u32, group: u32) -> Tap {
    let area = params.kernel_h * params.kernel_w;
    if column >= params.inputs * area {
        return Tap(0u, FAR, FAR);
    }
    let place = column % area;
    return Tap(
        (group * params.inputs + column / area) * params.height * params.width,
        i32(place / params.kernel_w) - i32(params.padding),
        i32(place % params.kernel_w) - i32(params.padding),
    );
}

fn input_at(base: u32, top: i32, left: i32, tap: Tap) -> f32 {
    let row = top + tap.i;
    let column = left + tap.j;
    if row >= 0 && row < i32(params.height) && column >= 0 && column < i32(params.width) {
        return x[base + tap.offset + u32(row) * params.width + u32(column)];
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

@compute @workgroup_size(64)
fn tiled(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_column = workgroup.x % params.column_tiles * TILE;
    let first_row = workgroup.x / params.column_tiles * TILE;
    let group = workgroup.z;
    let out_plane = params.out_height * params.out_width;
    let begin = workgroup.y * params.split_length;
    let end = min(begin + params.split_length, params.images * out_plane);
    let image_in = params.groups * params.inputs * params.height * params.width;

    // This invocation loads quad `quad` of both tiles for four consecutive steps.
    let quad = lane % QUADS;
    let part = lane / QUADS * 4u;
    let load_row = first_row + 4u * quad;
    let gradients = params.dy_at + (group * params.outputs + load_row) * out_plane;
    let tap0 = tap_of(first_column + 4u * quad, group);
    let tap1 = tap_of(first_column + 4u * quad + 1u, group);
    let tap2 = tap_of(first_column + 4u * quad + 2u, group);
    let tap3 = tap_of(first_column + 4u * quad + 3u, group);

    let row = lane / 8u;
    let column = lane % 8u;
    var sums: Sums;
    var bias_sums = vec4<f32>(0.0);
    // Barriers: begin and end are the same for the whole workgroup, and all invocations make every turn.
    for (var first = begin; first < end; first += STEP) {
        var pixel = first + part;
        var image = pixel / out_plane;
        var out_row = pixel % out_plane / params.out_width;
        var out_column = pixel % out_plane % params.out_width;
        for (var step = 0u; step < 4u; step += 1u) {
            var a = vec4<f32>(0.0);
            var b = vec4<f32>(0.0);
            if pixel < end {
                let start_at = gradients + image * params.groups * params.outputs * out_plane
                    + out_row * params.out_width + out_column;
                if load_row < params.outputs {
                    a.x = dy[start_at];
                }
                if load_row + 1u < params.outputs {
                    a.y = dy[start_at + out_plane];
                }
                if load_row + 2u < params.outputs {
                    a.z = dy[start_at + 2u * out_plane];
                }
                if load_row + 3u < params.outputs {
                    a.w = dy[start_at + 3u * out_plane];
                }
                let base = params.x_at + image * image_in;
                let top = i32(out_row * params.stride);
                let left = i32(out_column * params.stride);
                b.x = input_at(base, top, left, tap0);
                b.y = input_at(base, top, left, tap1);
                b.z = input_at(base, top, left, tap2);
                b.w = input_at(base, top, left, tap3);
            }
            bias_sums += a;
            tile_a[(part + step) * QUADS + quad] = a;
            tile_b[(part + step) * QUADS + quad] = b;
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
        multiply_tiles(&sums, row, column);
        workgroupBarrier();
    }

    let split = params.first_split + workgroup.y;
    let at = split * params.dw_stride;
    let left = first_column + 4u * column;
    let right = left + 32u;
    let top = first_row + 4u * row;
    let bottom = top + 32u;
    store_quad(at, group, top, left, sums[0]);
    store_quad(at, group, top, right, sums[1]);
    store_quad(at, group, top + 1u, left, sums[2]);
    store_quad(at, group, top + 1u, right, sums[3]);
    store_quad(at, group, top + 2u, left, sums[4]);
    store_quad(at, group, top + 2u, right, sums[5]);
    store_quad(at, group, top + 3u, left, sums[6]);
    store_quad(at, group, top + 3u, right, sums[7]);
    store_quad(at, group, bottom, left, sums[8]);
    store_quad(at, group, bottom, right, sums[9]);
    store_quad(at, group, bottom + 1u, left, sums[10]);
    store_quad(at, group, bottom + 1u, right, sums[11]);
    store_quad(at, group, bottom + 2u, left, sums[12]);
    store_quad(at, group, bottom + 2u, right, sums[13]);
    store_quad(at, group, bottom + 3u, left, sums[14]);
    store_quad(at, group, bottom + 3u, right, sums[15]);

    // The first column of workgroups also has each row's sum. The condition is the same for a whole workgroup.
    if first_column == 0u && params.has_bias != 0u {
        tile_a[lane] = bias_sums;
        workgroupBarrier();
        if lane < QUADS {
            let total = tile_a[lane] + tile_a[lane + 16u] + tile_a[lane + 32u] + tile_a[lane + 48u];
            let to = split * params.db_stride + group * params.outputs + load_row;
            if load_row < params.outputs {
                db[to] = total.x;
            }
            if load_row + 1u < params.outputs {
                db[to + 1u] = total.y;
            }
            if load_row + 2u < params.outputs {
                db[to + 2u] = total.z;
            }
            if load_row + 3u < params.outputs {
                db[to + 3u] = total.w;
            }
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
            let base = params.x_at + image * image_in;
            sum += gradient
                * input_at(base, i32(out_row * params.stride), i32(out_column * params.stride), tap);
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
