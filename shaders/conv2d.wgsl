// Grouped 2D convolution, or its input gradient, as an implicit matrix product: rows are the output channels of a
// group, columns the output pixels of all images, and the sum runs over the group's input channels and the filter.
// `tiled` computes a tile of outputs a workgroup; `direct` one output an invocation, for groups of few channels.

fn store(row: u32, pixel: u32, group: u32, sums: ptr<function, Sums>) {
    let near = places_of(pixel, group);
    let far = places_of(pixel + 4u * WIDE, group);
    let bottom = row + 4u * HIGH;
    store_quad(row, group, near, (*sums)[0]);
    store_quad(row, group, far, (*sums)[1]);
    store_quad(row + 1u, group, near, (*sums)[2]);
    store_quad(row + 1u, group, far, (*sums)[3]);
    store_quad(row + 2u, group, near, (*sums)[4]);
    store_quad(row + 2u, group, far, (*sums)[5]);
    store_quad(row + 3u, group, near, (*sums)[6]);
    store_quad(row + 3u, group, far, (*sums)[7]);
    store_quad(bottom, group, near, (*sums)[8]);
    store_quad(bottom, group, far, (*sums)[9]);
    store_quad(bottom + 1u, group, near, (*sums)[10]);
    store_quad(bottom + 1u, group, far, (*sums)[11]);
    store_quad(bottom + 2u, group, near, (*sums)[12]);
    store_quad(bottom + 2u, group, far, (*sums)[13]);
    store_quad(bottom + 3u, group, near, (*sums)[14]);
    store_quad(bottom + 3u, group, far, (*sums)[15]);
}

// An input, or 0 where the filter's place is outside the map; `at` is then any index.
fn input_or_zero(at: u32, is_inside: bool) -> f32 {
    return select(0.0, input(at), is_inside);
}

// Sums over STEP channels at one place of the filter, then at the next place, then over the next channels: so places
// are found once for STEP products, and what one place read of x is still near for the next.
@compute @workgroup_size(WIDE, HIGH)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup.z / params.row_tiles;
    let first_row = workgroup.z % params.row_tiles * ROWS;
    let first_pixel = flat_group(workgroup, counts) * COLUMNS;

    // This invocation loads these rows of the filters and the windows of these pixels. Rows after the last repeat it.
    let weights = group * params.outputs * params.inputs * params.kernel_h * params.kernel_w;
    let near_row = weights + min(first_row + lane, params.outputs - 1u) * params.weight_row;
    let far_row = weights + min(first_row + INVOCATIONS + lane, params.outputs - 1u) * params.weight_row;
    let near = window_of(first_pixel + lane, group);
    var far: Window;
    if FAR_COLUMNS {
        far = window_of(first_pixel + INVOCATIONS + lane, group);
    }

    let inputs = params.inputs;
    let width = params.width;
    let plane = params.height * width;
    var near_sums: Sums;
    var far_sums: Sums;
    // Barriers: the bounds of the three loops are the same for all invocations.
    for (var channel = 0u; channel < inputs; channel += STEP) {
        let count = min(STEP, inputs - channel);
        for (var i = 0u; i < params.kernel_h; i += 1u) {
            for (var j = 0u; j < params.kernel_w; j += 1u) {
                let offset = channel * plane + tap(i) * width + tap(j);
                let near_inside = is_inside(near, i, j);
                let far_inside = is_inside(far, i, j);
                var near_at = select(0u, near.at + offset, near_inside);
                var far_at = select(0u, far.at + offset, far_inside);
                let near_plane = select(0u, plane, near_inside);
                let far_plane = select(0u, plane, far_inside);
                var filter_at = channel * params.weight_channel + i * params.kernel_w + j;
                for (var k = 0u; k < count; k += 1u) {
                    load_row(k, lane, weight[near_row + filter_at]);
                    if FAR_ROWS {
                        load_row(k, lane + INVOCATIONS, weight[far_row + filter_at]);
                    }
                    load_column(k, lane, input_or_zero(near_at, near_inside));
                    if FAR_COLUMNS {
                        load_column(k, lane + INVOCATIONS, input_or_zero(far_at, far_inside));
                    }
                    near_at += near_plane;
                    far_at += far_plane;
                    filter_at += params.weight_channel;
                }
                if count % 2u != 0u {
                    load_zeros(count, lane);
                }
                workgroupBarrier();
                multiply_tiles(&near_sums, &far_sums, invocation.y, invocation.x, count);
                workgroupBarrier();
            }
        }
    }

    let to_row = first_row + 4u * invocation.y;
    let to_pixel = first_pixel + 4u * invocation.x;
    store(to_row, to_pixel, group, &near_sums);
    store(to_row + far_rows(), to_pixel + far_columns(), group, &far_sums);
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
    let row = flat / out_plane % channels;
    let image = flat / out_plane / channels;
    let group = row / params.outputs;
    let window = window_at(vec3<u32>(image, pixel / params.out_width, pixel % params.out_width), group);
    let weights = group * params.outputs * params.inputs * params.kernel_h * params.kernel_w
        + row % params.outputs * params.weight_row;
    var sum = 0.0;
    if params.has_bias != 0u {
        sum = bias[row];
    }
    for (var channel = 0u; channel < params.inputs; channel += 1u) {
        let filter_at = weights + channel * params.weight_channel;
        let map_at = channel * params.height * params.width;
        for (var i = 0u; i < params.kernel_h; i += 1u) {
            for (var j = 0u; j < params.kernel_w; j += 1u) {
                let offset = map_at + tap(i) * params.width + tap(j);
                if is_inside(window, i, j) {
                    sum += input(window.at + offset) * weight[filter_at + i * params.kernel_w + j];
                }
            }
        }
    }
    y[params.y_at + flat] = output(sum);
}
