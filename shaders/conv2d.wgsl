// Grouped 2D convolution as an implicit matrix product: rows are the output channels of a group, columns the output
// pixels of all images, and the sum runs over the group's input channels and the filter.
// `tiled` computes 64×64 outputs a workgroup; `direct` one output an invocation, for groups of few channels.
// x [images, groups·inputs, height, width], weight [groups·outputs, inputs, kernel_h, kernel_w],
// bias [groups·outputs], y [images, groups·outputs, out_height, out_width].
struct Params {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, padding: u32, has_bias: u32, row_tiles: u32, x_at: u32, y_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// An output pixel's image offset in x and its window's corner; corners far outside stand for no pixel.
struct Corner {
    base: u32,
    top: i32,
    left: i32,
}

const FAR: i32 = -0x40000000;

fn corner_of(pixel: u32, group: u32) -> Corner {
    let plane = params.out_height * params.out_width;
    if pixel >= params.images * plane {
        return Corner(0u, FAR, FAR);
    }
    let image = pixel / plane;
    let rest = pixel % plane;
    let row = rest / params.out_width;
    let column = rest % params.out_width;
    let base = params.x_at + (image * params.groups + group) * params.inputs * params.height * params.width;
    return Corner(
        base,
        i32(row * params.stride) - i32(params.padding),
        i32(column * params.stride) - i32(params.padding),
    );
}

fn input_at(corner: Corner, offset: u32, i: i32, j: i32) -> f32 {
    let row = corner.top + i;
    let column = corner.left + j;
    if row >= 0 && row < i32(params.height) && column >= 0 && column < i32(params.width) {
        return x[corner.base + offset + u32(row) * params.width + u32(column)];
    }
    return 0.0;
}

// Where an output pixel's value for a group's first channel goes, or NOWHERE.
fn place_of(pixel: u32, group: u32) -> u32 {
    let plane = params.out_height * params.out_width;
    if pixel >= params.images * plane {
        return NOWHERE;
    }
    return params.y_at + (pixel / plane * params.groups + group) * params.outputs * plane + pixel % plane;
}

fn store_quad(row: u32, group: u32, places: vec4<u32>, sums: vec4<f32>) {
    if row >= params.outputs {
        return;
    }
    let offset = row * params.out_height * params.out_width;
    var values = sums;
    if params.has_bias != 0u {
        values += bias[group * params.outputs + row];
    }
    if places.x != NOWHERE {
        y[places.x + offset] = values.x;
    }
    if places.y != NOWHERE {
        y[places.y + offset] = values.y;
    }
    if places.z != NOWHERE {
        y[places.z + offset] = values.z;
    }
    if places.w != NOWHERE {
        y[places.w + offset] = values.w;
    }
}

@compute @workgroup_size(64)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup.z / params.row_tiles;
    let first_row = workgroup.z % params.row_tiles * TILE;
    let first_pixel = flat_group(workgroup, counts) * TILE;
    let depth = params.inputs * params.kernel_h * params.kernel_w;
    let plane = params.height * params.width;

    // This invocation loads quad `quad` of both tiles for four consecutive steps.
    let quad = lane % QUADS;
    let part = lane / QUADS * 4u;
    let load_row = first_row + 4u * quad;
    let weights = (group * params.outputs + load_row) * depth;
    let load_pixel = first_pixel + 4u * quad;
    let corner0 = corner_of(load_pixel, group);
    let corner1 = corner_of(load_pixel + 1u, group);
    let corner2 = corner_of(load_pixel + 2u, group);
    let corner3 = corner_of(load_pixel + 3u, group);

    let row = lane / 8u;
    let column = lane % 8u;
    var sums: Sums;
    // Barriers: `depth` is uniform, and all invocations make every turn.
    for (var first = 0u; first < depth; first += STEP) {
        var k = first + part;
        let area = params.kernel_h * params.kernel_w;
        var offset = k / area * plane;
        var i = i32(k % area / params.kernel_w);
        var j = i32(k % params.kernel_w);
        for (var step = 0u; step < 4u; step += 1u) {
            var a = vec4<f32>(0.0);
            var b = vec4<f32>(0.0);
            if k < depth {
                if load_row < params.outputs {
                    a.x = weight[weights + k];
                }
                if load_row + 1u < params.outputs {
                    a.y = weight[weights + depth + k];
                }
                if load_row + 2u < params.outputs {
                    a.z = weight[weights + 2u * depth + k];
                }
                if load_row + 3u < params.outputs {
                    a.w = weight[weights + 3u * depth + k];
                }
                b.x = input_at(corner0, offset, i, j);
                b.y = input_at(corner1, offset, i, j);
                b.z = input_at(corner2, offset, i, j);
                b.w = input_at(corner3, offset, i, j);
            }
            tile_a[(part + step) * QUADS + quad] = a;
            tile_b[(part + step) * QUADS + quad] = b;
            k += 1u;
            j += 1;
            if j == i32(params.kernel_w) {
                j = 0;
                i += 1;
                if i == i32(params.kernel_h) {
                    i = 0;
                    offset += plane;
                }
            }
        }
        workgroupBarrier();
        multiply_tiles(&sums, row, column);
        workgroupBarrier();
    }

    let left = first_pixel + 4u * column;
    let right = left + 32u;
    let to_left = vec4<u32>(
        place_of(left, group), place_of(left + 1u, group), place_of(left + 2u, group), place_of(left + 3u, group),
    );
    let to_right = vec4<u32>(
        place_of(right, group), place_of(right + 1u, group), place_of(right + 2u, group), place_of(right + 3u, group),
    );
    let top = first_row + 4u * row;
    let bottom = top + 32u;
    store_quad(top, group, to_left, sums[0]);
    store_quad(top, group, to_right, sums[1]);
    store_quad(top + 1u, group, to_left, sums[2]);
    store_quad(top + 1u, group, to_right, sums[3]);
    store_quad(top + 2u, group, to_left, sums[4]);
    store_quad(top + 2u, group, to_right, sums[5]);
    store_quad(top + 3u, group, to_left, sums[6]);
    store_quad(top + 3u, group, to_right, sums[7]);
    store_quad(bottom, group, to_left, sums[8]);
    store_quad(bottom, group, to_right, sums[9]);
    store_quad(bottom + 1u, group, to_left, sums[10]);
    store_quad(bottom + 1u, group, to_right, sums[11]);
    store_quad(bottom + 2u, group, to_left, sums[12]);
    store_quad(bottom + 2u, group, to_right, sums[13]);
    store_quad(bottom + 3u, group, to_left, sums[14]);
    store_quad(bottom + 3u, group, to_right, sums[15]);
}

@compute @workgroup_size(256)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = flat_index(workgroup, counts, lane);
    let out_plane = params.out_height * params.out_width;
    let channels = params.groups * params.outputs;
    if flat >= params.images * channels * out_plane {
        return;
    }
    let pixel = flat % out_plane;
    let channel = flat / out_plane % channels;
    let image = flat / out_plane / channels;
    let corner = corner_of(image * out_plane + pixel, channel / params.outputs);
    let first_row = u32(max(0, -corner.top));
    let first_column = u32(max(0, -corner.left));
    let end_row = min(params.kernel_h, u32(max(0, i32(params.height) - corner.top)));
    let end_column = min(params.kernel_w, u32(max(0, i32(params.width) - corner.left)));
    var sum = 0.0;
    if params.has_bias != 0u {
        sum = bias[channel];
    }
    for (var c = 0u; c < params.inputs; c += 1u) {
        let filter_at = (channel * params.inputs + c) * params.kernel_h * params.kernel_w;
        let map = corner.base + c * params.height * params.width;
        for (var i = first_row; i < end_row; i += 1u) {
            let start_at = map + u32(corner.top + i32(i)) * params.width;
            for (var j = first_column; j < end_column; j += 1u) {
                let value = x[start_at + u32(corner.left + i32(j))];
                sum += value * weight[filter_at + i * params.kernel_w + j];
            }
        }
    }
    y[params.y_at + flat] = sum;
}
