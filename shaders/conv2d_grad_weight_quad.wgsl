// Gradient of the convolution with respect to weight and bias, as conv2d_grad_weight.wgsl has it, by subgroups of 4
// invocations.

fn gradients_at(places: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(
        from_gradient(dy[places.x]), from_gradient(dy[places.y]), from_gradient(dy[places.z]),
        from_gradient(dy[places.w]),
    );
}

fn store(at: u32, row: u32, lane: u32, column: u32, group: u32, sums: ptr<function, Sums>) {
    store_quad(at, group, row + lane, column, (*sums)[0]);
    store_quad(at, group, row + (lane ^ 1u), column, (*sums)[1]);
    store_quad(at, group, row + (lane ^ 2u), column, (*sums)[2]);
    store_quad(at, group, row + (lane ^ 3u), column, (*sums)[3]);
    store_quad(at, group, row + 4u + lane, column, (*sums)[4]);
    store_quad(at, group, row + 4u + (lane ^ 1u), column, (*sums)[5]);
    store_quad(at, group, row + 4u + (lane ^ 2u), column, (*sums)[6]);
    store_quad(at, group, row + 4u + (lane ^ 3u), column, (*sums)[7]);
    store_quad(at, group, row + 8u + lane, column, (*sums)[8]);
    store_quad(at, group, row + 8u + (lane ^ 1u), column, (*sums)[9]);
    store_quad(at, group, row + 8u + (lane ^ 2u), column, (*sums)[10]);
    store_quad(at, group, row + 8u + (lane ^ 3u), column, (*sums)[11]);
    store_quad(at, group, row + 12u + lane, column, (*sums)[12]);
    store_quad(at, group, row + 12u + (lane ^ 1u), column, (*sums)[13]);
    store_quad(at, group, row + 12u + (lane ^ 2u), column, (*sums)[14]);
    store_quad(at, group, row + 12u + (lane ^ 3u), column, (*sums)[15]);
}

@compute @workgroup_size(LANES)
fn tiled(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile_column = workgroup.x % params.column_tiles * COLUMNS;
    let first_row = workgroup.x / params.column_tiles * ROWS;
    let group = workgroup.z;
    let out_plane = params.out_height * params.out_width;
    let begin = workgroup.y * params.split_length;
    let end = min(begin + params.split_length, params.images * out_plane);

    // This invocation loads these rows and columns. Those after the last repeat it.
    let gradients = vec4<u32>(params.dy_at + group * params.outputs * out_plane);
    let last_row = vec4<u32>(params.outputs - 1u);
    let upper_rows = rows_of(first_row, lane);
    let lower_rows = rows_of(first_row + ROWS / 2u, lane);
    let upper = gradients + min(upper_rows, last_row) * out_plane;
    let lower = gradients + min(lower_rows, last_row) * out_plane;
    let first_column = tile_column + 4u * lane;
    let taps = taps_of(first_column, group);

    let jumps = jumps();
    var pixel = pixel_of(begin);
    var upper_sums: Sums;
    var lower_sums: Sums;
    var upper_bias = vec4<f32>();
    var lower_bias = vec4<f32>();
    // Swaps: begin and end are the same for the whole workgroup.
    for (var flat = begin; flat < end; flat += 2u) {
        // After the last pixel come zeros.
        let next = step_pixel(pixel, jumps);
        let is_pixel = flat + 1u < end;
        let odd = pixel_or(next, pixel, is_pixel);
        let columns = inputs_at(pixel, taps);
        let odd_columns = select(vec4<f32>(), inputs_at(odd, taps), is_pixel);
        let upper_dy = gradients_at(upper + vec4<u32>(pixel.dy_at));
        let odd_upper_dy = select(vec4<f32>(), gradients_at(upper + vec4<u32>(odd.dy_at)), is_pixel);
        upper_bias = upper_bias + upper_dy + odd_upper_dy;
        add_products(&upper_sums, upper_dy, columns, odd_upper_dy, odd_columns);
        let lower_dy = gradients_at(lower + vec4<u32>(pixel.dy_at));
        let odd_lower_dy = select(vec4<f32>(), gradients_at(lower + vec4<u32>(odd.dy_at)), is_pixel);
        lower_bias = lower_bias + lower_dy + odd_lower_dy;
        add_products(&lower_sums, lower_dy, columns, odd_lower_dy, odd_columns);
        pixel = step_pixel(next, jumps);
    }

    let split = params.first_split + workgroup.y;
    let at = split * params.dw_stride;
    store(at, first_row, lane, first_column, group, &upper_sums);
    store(at, first_row + ROWS / 2u, lane, first_column, group, &lower_sums);

    // The first column of workgroups also has each row's sum.
    if tile_column == 0u && params.has_bias != 0u {
        store_bias(split, group, upper_rows.x, upper_bias.x);
        store_bias(split, group, upper_rows.y, upper_bias.y);
        store_bias(split, group, upper_rows.z, upper_bias.z);
        store_bias(split, group, upper_rows.w, upper_bias.w);
        store_bias(split, group, lower_rows.x, lower_bias.x);
        store_bias(split, group, lower_rows.y, lower_bias.y);
        store_bias(split, group, lower_rows.z, lower_bias.z);
        store_bias(split, group, lower_rows.w, lower_bias.w);
    }
}
