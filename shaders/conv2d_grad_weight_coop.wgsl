// Gradient of the convolution with respect to weight and bias, as conv2d_grad_weight.wgsl has it, by cooperative
// matrices.

// Puts a matrix of each subgroup into workgroup memory and from there into dw.
// Barriers: called by all invocations.
fn store(matrix: coop_mat16x16<f32, C>, subgroup: u32, lane: u32, at: u32, row: u32, column: u32, group: u32) {
    coopStoreT(matrix, &results[subgroup * 256u], SIDE);
    workgroupBarrier();
    let columns = params.inputs * params.kernel_h * params.kernel_w;
    let to = column + lane % SIDE;
    if to < columns {
        for (var i = lane / SIDE; i < SIDE; i += 2u) {
            if row + i < params.outputs {
                let value = results[subgroup * 256u + i * SIDE + lane % SIDE] * UNSCALE;
                dw[at + (group * params.outputs + row + i) * columns + to] = value;
            }
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(INVOCATIONS)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) sublane: u32,
) {
    let first_column = workgroup.x % params.column_tiles * COLUMNS;
    let first_row = workgroup.x / params.column_tiles * ROWS;
    let group = workgroup.z;
    let out_plane = params.out_height * params.out_width;
    let begin = workgroup.y * params.split_length;
    let end = min(begin + params.split_length, params.images * out_plane);

    // This invocation loads this row and column. Those after the last repeat it.
    let own_row = params.dy_at + group * params.outputs * out_plane
        + min(first_row + lane % ROWS, params.outputs - 1u) * out_plane;
    let own_tap = tap_of(first_column + lane, group);

    let jumps = jumps();
    var pixel = pixel_of(begin);
    var sums: Sums;
    var bias = 0.0;
    // Barriers: begin and end are the same for the whole workgroup. Products after the last are 0.
    for (var first = begin; first < end; first += STEP) {
        for (var k = 0u; k < STEP; k += 1u) {
            let real = first + k < end;
            if lane < ROWS {
                let gradient = select(0.0, from_gradient(dy[select(0u, own_row + pixel.dy_at, real)]), real);
                bias += gradient;
                load_row(k, lane, gradient);
            }
            var input = 0.0;
            if real {
                input = input_at(pixel, own_tap);
            }
            load_column(k, lane, input);
            pixel = step_pixel(pixel, jumps);
        }
        workgroupBarrier();
        multiply_tiles(&sums, subgroup);
        workgroupBarrier();
    }

    let split = params.first_split + workgroup.y;
    let at = split * params.dw_stride;
    let row = first_row + row_of(subgroup);
    let column = first_column + column_of(subgroup);
    store(sums.a, subgroup, sublane, at, row, column, group);
    store(sums.b, subgroup, sublane, at, row, column + SIDE, group);
    store(sums.c, subgroup, sublane, at, row, column + 2u * SIDE, group);
    store(sums.d, subgroup, sublane, at, row, column + 3u * SIDE, group);
    store(sums.e, subgroup, sublane, at, row + SIDE, column, group);
    store(sums.f, subgroup, sublane, at, row + SIDE, column + SIDE, group);
    store(sums.g, subgroup, sublane, at, row + SIDE, column + 2u * SIDE, group);
    store(sums.h, subgroup, sublane, at, row + SIDE, column + 3u * SIDE, group);

    // The first column of workgroups also has each row's sum.
    if first_column == 0u && params.has_bias != 0u && lane < ROWS && first_row + lane < params.outputs {
        db[split * params.db_stride + group * params.outputs + first_row + lane] = bias;
    }
}
