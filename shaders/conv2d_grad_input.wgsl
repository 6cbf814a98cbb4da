// Gradient of the convolution with respect to its input, as an implicit matrix product: rows are the input channels
// of a group, columns the input pixels of all images, and the sum runs over the group's output channels and the
// filter: dx[c, h, w] = Σ_{o,i,j} weight[o, c, i, j]·dy[o, (h + padding − i)/stride, (w + padding − j)/stride].
// `tiled` computes 64×64 elements a workgroup; `direct` one an invocation, for groups of few channels.
// dy [images, groups·outputs, out_height, out_width], weight [groups·outputs, inputs, kernel_h, kernel_w],
// dx [images, groups·inputs, height, width].
struct Params {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, padding: u32, row_tiles: u32, dy_at: u32, dx_at: u32,
}

// Whether the stride is more than 1: without it there is nothing to divide, and processors that compute both sides of
// a branch save that.
override STRIDED: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// An input pixel's image offset in dy and its padded position; positions far outside stand for no pixel.
struct Corner {
    base: u32,
    bottom: i32,
    right: i32,
}

const FAR: i32 = -0x40000000;

fn corner_of(pixel: u32, group: u32) -> Corner {
    let plane = params.height * params.width;
    if pixel >= params.images * plane {
        return Corner(0u, FAR, FAR);
    }
    let image = pixel / plane;
    let rest = pixel % plane;
    let base = params.dy_at + (image * params.groups + group) * params.outputs * params.out_height * params.out_width;
    return Corner(base, i32(rest / params.width + params.padding), i32(rest % params.width + params.padding));
}

fn gradient_at(corner: Corner, offset: u32, i: i32, j: i32) -> f32 {
    var row = corner.bottom - i;
    var column = corner.right - j;
    if row < 0 || column < 0 {
        return 0.0;
    }
    if STRIDED {
        let stride = i32(params.stride);
        if row % stride != 0 || column % stride != 0 {
            return 0.0;
        }
        row /= stride;
        column /= stride;
    }
    if row < i32(params.out_height) && column < i32(params.out_width) {
        return dy[corner.base + offset + u32(row) * params.out_width + u32(column)];
    }
    return 0.0;
}

fn place_of(pixel: u32, group: u32) -> u32 {
    let plane = params.height * params.width;
    if pixel >= params.images * plane {
        return NOWHERE;
    }
    return params.dx_at + (pixel / plane * params.groups + group) * params.inputs * plane + pixel % plane;
}

fn store_quad(row: u32, places: vec4<u32>, values: vec4<f32>) {
    if row >= params.inputs {
        return;
    }
    let offset = row * params.height * params.width;
    if places.x != NOWHERE {
        dx[places.x + offset] = values.x;
    }
    if places.y != NOWHERE {
        dx[places.y + offset] = values.y;
    }
    if places.z != NOWHERE {
        dx[places.z + offset] = values.z;
    }
    if places.w != NOWHERE {
        dx[places.w + offset] = values.w;
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
    let area = params.kernel_h * params.kernel_w;
    let depth = params.outputs * area;
    let out_plane = params.out_height * params.out_width;
    let filters = params.inputs * area;

    // This invocation loads quad `quad` of both tiles for four consecutive steps.
    let quad = lane % QUADS;
    let part = lane / QUADS * 4u;
    let load_row = first_row + 4u * quad;
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
        var output = k / area;
        var i = i32(k % area / params.kernel_w);
        var j = i32(k % params.kernel_w);
        for (var step = 0u; step < 4u; step += 1u) {
            var a = vec4<f32>(0.0);
            var b = vec4<f32>(0.0);
            if output < params.outputs {
                let filter_place = u32(i) * params.kernel_w + u32(j);
                let at = (group * params.outputs + output) * filters + load_row * area + filter_place;
                if load_row < params.inputs {
                    a.x = weight[at];
                }
                if load_row + 1u < params.inputs {
                    a.y = weight[at + area];
                }
                if load_row + 2u < params.inputs {
                    a.z = weight[at + 2u * area];
                }
                if load_row + 3u < params.inputs {
                    a.w = weight[at + 3u * area];
                }
                let offset = output * out_plane;
                b.x = gradient_at(corner0, offset, i, j);
                b.y = gradient_at(corner1, offset, i, j);
                b.z = gradient_at(corner2, offset, i, j);
                b.w = gradient_at(corner3, offset, i, j);
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
                    output += 1u;
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
    store_quad(top, to_left, sums[0]);
    store_quad(top, to_right, sums[1]);
    store_quad(top + 1u, to_left, sums[2]);
    store_quad(top + 1u, to_right, sums[3]);
    store_quad(top + 2u, to_left, sums[4]);
    store_quad(top + 2u, to_right, sums[5]);
    store_quad(top + 3u, to_left, sums[6]);
    store_quad(top + 3u, to_right, sums[7]);
    store_quad(bottom, to_left, sums[8]);
    store_quad(bottom, to_right, sums[9]);
    store_quad(bottom + 1u, to_left, sums[10]);
    store_quad(bottom + 1u, to_right, sums[11]);
    store_quad(bottom + 2u, to_left, sums[12]);
    store_quad(bottom + 2u, to_right, sums[13]);
    store_quad(bottom + 3u, to_left, sums[14]);
    store_quad(bottom + 3u, to_right, sums[15]);
}

@compute @workgroup_size(256)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = flat_index(workgroup, counts, lane);
    let plane = params.height * params.width;
    let channels = params.groups * params.inputs;
    if flat >= params.images * channels * plane {
        return;
    }
    let pixel = flat % plane;
    let channel = flat / plane % channels;
    let image = flat / plane / channels;
    let group = channel / params.inputs;
    let corner = corner_of(image * plane + pixel, group);
    let area = params.kernel_h * params.kernel_w;
    var sum = 0.0;
    for (var o = 0u; o < params.outputs; o += 1u) {
        let filter_at = ((group * params.outputs + o) * params.inputs + channel % params.inputs) * area;
        let offset = o * params.out_height * params.out_width;
        for (var i = 0u; i < params.kernel_h; i += 1u) {
            for (var j = 0u; j < params.kernel_w; j += 1u) {
                let gradient = gradient_at(corner, offset, i32(i), i32(j));
                sum += gradient * weight[filter_at + i * params.kernel_w + j];
            }
        }
    }
    dx[params.dx_at + flat] = sum;
}
