// Gradient of the convolution with respect to weight and bias, as conv2d_grad_weight.wgsl has it, by subgroups of 8
// invocations.

fn store(at: u32, row: u32, column: u32, group: u32, sums: ptr<function, Sums>) {
    let far = column + COLUMNS / 2u;
    store_quad(at, group, row, column, (*sums)[0]);
    store_quad(at, group, row, far, (*sums)[1]);
    store_quad(at, group, row + 1u, column, (*sums)[2]);
    store_quad(at, group, row + 1u, far, (*sums)[3]);
    store_quad(at, group, row + 2u, column, (*sums)[4]);
    store_quad(at, group, row + 2u, far, (*sums)[5]);
    store_quad(at, group, row + 3u, column, (*sums)[6]);
    store_quad(at, group, row + 3u, far, (*sums)[7]);
    store_quad(at, group, row + 4u, column, (*sums)[8]);
    store_quad(at, group, row + 4u, far, (*sums)[9]);
    store_quad(at, group, row + 5u, column, (*sums)[10]);
    store_quad(at, group, row + 5u, far, (*sums)[11]);
    store_quad(at, group, row + 6u, column, (*sums)[12]);
    store_quad(at, group, row + 6u, far, (*sums)[13]);
    store_quad(at, group, row + 7u, column, (*sums)[14]);
    store_quad(at, group, row + 7u, far, (*sums)[15]);
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
    let near = taps_of(first_column, group);
    let far = taps_of(first_column + COLUMNS / 2u, group);

    let jumps = jumps();
    var pixel = pixel_of(begin);
    var rows_0: Sums;
    var rows_8: Sums;
    var rows_16: Sums;
    var rows_24: Sums;
    var rows_32: Sums;
    var rows_40: Sums;
    var rows_48: Sums;
    var rows_56: Sums;
    var upper_bias = vec4<f32>();
    var lower_bias = vec4<f32>();
    // Broadcasts: begin and end are the same for the whole workgroup.
    for (var flat = begin; flat < end; flat += 2u) {
        // After the last pixel come zeros.
        let next = step_pixel(pixel, jumps);
        let is_pixel = flat + 1u < end;
        let odd = pixel_or(next, pixel, is_pixel);
        let first = inputs_at(pixel, near);
        let second = inputs_at(pixel, far);
        let odd_first = select(vec4<f32>(), inputs_at(odd, near), is_pixel);
        let odd_second = select(vec4<f32>(), inputs_at(odd, far), is_pixel);
        let upper_dy = gradients_at(upper + vec4<u32>(pixel.dy_at));
        let lower_dy = gradients_at(lower + vec4<u32>(pixel.dy_at));
        let odd_upper_dy = select(vec4<f32>(), gradients_at(upper + vec4<u32>(odd.dy_at)), is_pixel);
        let odd_lower_dy = select(vec4<f32>(), gradients_at(lower + vec4<u32>(odd.dy_at)), is_pixel);
        upper_bias = upper_bias + upper_dy + odd_upper_dy;
        lower_bias = lower_bias + lower_dy + odd_lower_dy;
        add_products(&rows_0, upper_dy.x, first, second, odd_upper_dy.x, odd_first, odd_second);
        add_products(&rows_8, upper_dy.y, first, second, odd_upper_dy.y, odd_first, odd_second);
        add_products(&rows_16, upper_dy.z, first, second, odd_upper_dy.z, odd_first, odd_second);
        add_products(&rows_24, upper_dy.w, first, second, odd_upper_dy.w, odd_first, odd_second);
        add_products(&rows_32, lower_dy.x, first, second, odd_lower_dy.x, odd_first, odd_second);
        add_products(&rows_40, lower_dy.y, first, second, odd_lower_dy.y, odd_first, odd_second);
        add_products(&rows_48, lower_dy.z, first, second, odd_lower_dy.z, odd_first, odd_second);
        add_products(&rows_56, lower_dy.w, first, second, odd_lower_dy.w, odd_first, odd_second);
        pixel = step_pixel(next, jumps);
    }

    let split = params.first_split + workgroup.y;
    let at = split * params.dw_stride;
    store(at, first_row, first_column, group, &rows_0);
    store(at, first_row + 8u, first_column, group, &rows_8);
    store(at, first_row + 16u, first_column, group, &rows_16);
    store(at, first_row + 24u, first_column, group, &rows_24);
    store(at, first_row + 32u, first_column, group, &rows_32);
    store(at, first_row + 40u, first_column, group, &rows_40);
    store(at, first_row + 48u, first_column, group, &rows_48);
    store(at, first_row + 56u, first_column, group, &rows_56);

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
