// Gradient of the convolution with respect to weight and bias, as an implicit matrix product: rows are the output
// channels of a group, columns its input channels and filter places, and the sum runs over the output pixels of all
// images, cut into splits whose results are added later.
// `tiled` computes a tile of one split's elements a workgroup; `direct` one element of one split an invocation, for
// groups of few channels.

fn store(at: u32, row: u32, column: u32, group: u32, sums: ptr<function, Sums>) {
    let far = column + 4u * WIDE;
    let bottom = row + 4u * HIGH;
    store_quad(at, group, row, column, (*sums)[0]);
    store_quad(at, group, row, far, (*sums)[1]);
    store_quad(at, group, row + 1u, column, (*sums)[2]);
    store_quad(at, group, row + 1u, far, (*sums)[3]);
    store_quad(at, group, row + 2u, column, (*sums)[4]);
    store_quad(at, group, row + 2u, far, (*sums)[5]);
    store_quad(at, group, row + 3u, column, (*sums)[6]);
    store_quad(at, group, row + 3u, far, (*sums)[7]);
    store_quad(at, group, bottom, column, (*sums)[8]);
    store_quad(at, group, bottom, far, (*sums)[9]);
    store_quad(at, group, bottom + 1u, column, (*sums)[10]);
    store_quad(at, group, bottom + 1u, far, (*sums)[11]);
    store_quad(at, group, bottom + 2u, column, (*sums)[12]);
    store_quad(at, group, bottom + 2u, far, (*sums)[13]);
    store_quad(at, group, bottom + 3u, column, (*sums)[14]);
    store_quad(at, group, bottom + 3u, far, (*sums)[15]);
}

@compute @workgroup_size(WIDE, HIGH)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_column = workgroup.x % params.column_tiles * COLUMNS;
    let first_row = workgroup.x / params.column_tiles * ROWS;
    let group = workgroup.z;
    let out_plane = params.out_height * params.out_width;
    let begin = workgroup.y * params.split_length;
    let end = min(begin + params.split_length, params.images * out_plane);

    // This invocation loads these rows and columns. Those after the last repeat it.
    let gradients = params.dy_at + group * params.outputs * out_plane;
    let near_row = gradients + min(first_row + lane, params.outputs - 1u) * out_plane;
    let far_row = gradients + min(first_row + INVOCATIONS + lane, params.outputs - 1u) * out_plane;
    let near_tap = tap_of(first_column + lane, group);
    let far_tap = tap_of(first_column + INVOCATIONS + lane, group);

    let jumps = jumps();
    var pixel = pixel_of(begin);
    var near_sums: Sums;
    var far_sums: Sums;
    var near_bias = 0.0;
    var far_bias = 0.0;
    // Barriers: begin and end are the same for the whole workgroup.
    for (var first = begin; first < end; first += STEP) {
        let count = min(STEP, end - first);
        for (var k = 0u; k < count; k += 1u) {
            let gradient = from_gradient(dy[near_row + pixel.dy_at]);
            near_bias += gradient;
            load_row(k, lane, gradient);
            if FAR_ROWS {
                let gradient = from_gradient(dy[far_row + pixel.dy_at]);
                far_bias += gradient;
                load_row(k, lane + INVOCATIONS, gradient);
            }
            load_column(k, lane, input_at(pixel, near_tap));
            if FAR_COLUMNS {
                load_column(k, lane + INVOCATIONS, input_at(pixel, far_tap));
            }
            pixel = step_pixel(pixel, jumps);
        }
        if count % 2u != 0u {
            load_zeros(count, lane);
        }
        workgroupBarrier();
        multiply_tiles(&near_sums, &far_sums, invocation.y, invocation.x, count);
        workgroupBarrier();
    }

    let split = params.first_split + workgroup.y;
    let at = split * params.dw_stride;
    let to_row = first_row + 4u * invocation.y;
    let to_column = first_column + 4u * invocation.x;
    store(at, to_row, to_column, group, &near_sums);
    store(at, to_row + far_rows(), to_column + far_columns(), group, &far_sums);

    // The first column of workgroups also has each row's sum.
    if first_column == 0u && params.has_bias != 0u {
        let to = split * params.db_stride + group * params.outputs + first_row + lane;
        if lane < ROWS && first_row + lane < params.outputs {
            db[to] = near_bias;
        }
        if FAR_ROWS && first_row + INVOCATIONS + lane < params.outputs {
            db[to + INVOCATIONS] = far_bias;
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
    let begin = workgroup.y * params.split_length;
    let end = min(begin + params.split_length, params.images * out_plane);
    let jumps = jumps();
    let gradients = params.dy_at + (group * params.outputs + row) * out_plane;
    var pixel = pixel_of(begin);
    var sum = 0.0;
    for (var flat = begin; flat < end; flat += 1u) {
        let gradient = from_gradient(dy[gradients + pixel.dy_at]);
        if is_bias {
            sum += gradient;
        } else {
            sum += gradient * input_at(pixel, tap);
        }
        pixel = step_pixel(pixel, jumps);
    }
    let split = params.first_split + workgroup.y;
    if is_bias {
        db[split * params.db_stride + group * params.outputs + row] = sum;
    } else {
        dw[split * params.dw_stride + group * weights + element] = sum;
    }
}
