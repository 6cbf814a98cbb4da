// Grouped 2D convolution, or its input gradient, as conv2d.wgsl has it, by cooperative matrices.

// An input, or 0 where the filter's place is outside the map; `at` is then any index.
fn input_or_zero(at: u32, is_inside: bool) -> f32 {
    return select(0.0, input(at), is_inside);
}

// Puts a matrix of each subgroup into workgroup memory and from there into y.
// Barriers: called by all invocations.
fn store(matrix: coop_mat16x16<f32, C>, subgroup: u32, lane: u32, row: u32, column: u32, group: u32) {
    coopStoreT(matrix, &results[subgroup * 256u], SIDE);
    workgroupBarrier();
    let place = place_of(column + lane % SIDE, group);
    if place != NOWHERE {
        for (var i = lane / SIDE; i < SIDE; i += 2u) {
            if row + i < params.outputs {
                var value = results[subgroup * 256u + i * SIDE + lane % SIDE] * UNSCALE;
                if params.has_bias != 0u {
                    value += bias[group * params.outputs + row + i];
                }
                y[place + (row + i) * params.out_height * params.out_width] = output(value);
            }
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(INVOCATIONS)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) sublane: u32,
) {
    let group = workgroup.z / params.row_tiles;
    let first_row = workgroup.z % params.row_tiles * ROWS;
    let first_pixel = flat_group(workgroup, counts) * COLUMNS;

    // Rows after the last repeat it.
    let weights = group * params.outputs * params.inputs * params.kernel_h * params.kernel_w
        + min(first_row + lane, params.outputs - 1u) * params.weight_row;
    let window = window_of(first_pixel + lane, group);
    let inputs = params.inputs;
    let plane = params.height * params.width;
    var sums: Sums;
    // Barriers: the bounds of the three loops are the same for all invocations. Products after the last are 0.
    for (var channel = 0u; channel < inputs; channel += STEP) {
        let count = min(STEP, inputs - channel);
        for (var i = 0u; i < params.kernel_h; i += 1u) {
            for (var j = 0u; j < params.kernel_w; j += 1u) {
                let inside = is_inside(window, i, j);
                let offset = channel * plane + tap(i) * params.width + tap(j);
                let at = select(0u, window.at + offset, inside);
                let next_plane = select(0u, plane, inside);
                let filter_at = weights + channel * params.weight_channel + i * params.kernel_w + j;
                for (var k = 0u; k < STEP; k += 1u) {
                    let real = k < count;
                    let near = min(k, count - 1u);
                    if lane < ROWS {
                        load_row(k, lane, select(0.0, weight[filter_at + near * params.weight_channel], real));
                    }
                    load_column(k, lane, input_or_zero(at + near * next_plane, inside && real));
                }
                workgroupBarrier();
                multiply_tiles(&sums, subgroup);
                workgroupBarrier();
            }
        }
    }

    let row = first_row + row_of(subgroup);
    let pixel = first_pixel + column_of(subgroup);
    store(sums.a, subgroup, sublane, row, pixel, group);
    store(sums.b, subgroup, sublane, row, pixel + SIDE, group);
    store(sums.c, subgroup, sublane, row, pixel + 2u * SIDE, group);
    store(sums.d, subgroup, sublane, row, pixel + 3u * SIDE, group);
    store(sums.e, subgroup, sublane, row + SIDE, pixel, group);
    store(sums.f, subgroup, sublane, row + SIDE, pixel + SIDE, group);
    store(sums.g, subgroup, sublane, row + SIDE, pixel + 2u * SIDE, group);
    store(sums.h, subgroup, sublane, row + SIDE, pixel + 3u * SIDE, group);
}
