// Gradient of the convolution with respect to weight and bias, as conv2d_grad_weight.wgsl has it, by subgroups of 8
// invocations.

// Whether a row's gradients follow each other in memory from pixel to pixel, from a multiple of four on to one.
override BY_FOURS: bool = false;

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

// This invocation's inputs for a pixel, or zeros where it is not `real` and another is loaded in its place.
fn columns_at(pixel: Pixel, other: Pixel, near: Taps, far: Taps, real: bool) -> Columns {
    let loaded = pixel_or(pixel, other, real);
    return Columns(
        select(vec4<f32>(), inputs_at(loaded, near), real), select(vec4<f32>(), inputs_at(loaded, far), real),
    );
}

// A row's gradients at four pixels, or zeros where they are not real.
fn gradients_at(row: u32, places: vec4<u32>, real: vec4<bool>) -> vec4<f32> {
    if BY_FOURS {
        return from_gradient_quad(dy[(row + places.x) / 4u]);
    }
    let at = vec4<u32>(row) + places;
    let found = vec4<f32>(gradient_at(at.x), gradient_at(at.y), gradient_at(at.z), gradient_at(at.w));
    return select(vec4<f32>(), found, real);
}

fn gradient_at(at: u32) -> f32 {
    return from_gradient(dy[at / 4u][at % 4u]);
}

fn total(values: vec4<f32>) -> f32 {
    return values.x + values.y + values.z + values.w;
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
    for (var flat = begin; flat < end; flat += 4u) {
        // After the last pixel come zeros.
        let real = vec4<bool>(BY_FOURS) | (vec4<u32>(flat) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end));
        let first = pixel;
        let second = step_pixel(first, jumps);
        let third = step_pixel(second, jumps);
        let fourth = step_pixel(third, jumps);
        pixel = step_pixel(fourth, jumps);
        let a = columns_at(first, first, near, far, true);
        let b = columns_at(second, first, near, far, real.y);
        let c = columns_at(third, first, near, far, real.z);
        let d = columns_at(fourth, first, near, far, real.w);
        let places = vec4<u32>(first.dy_at, second.dy_at, third.dy_at, fourth.dy_at);
        let at = select(places.xxxx, places, real);
        let dy_0 = gradients_at(upper.x, at, real);
        let dy_8 = gradients_at(upper.y, at, real);
        let dy_16 = gradients_at(upper.z, at, real);
        let dy_24 = gradients_at(upper.w, at, real);
        let dy_32 = gradients_at(lower.x, at, real);
        let dy_40 = gradients_at(lower.y, at, real);
        let dy_48 = gradients_at(lower.z, at, real);
        let dy_56 = gradients_at(lower.w, at, real);
        add_products(&rows_0, dy_0, a, b, c, d);
        add_products(&rows_8, dy_8, a, b, c, d);
        add_products(&rows_16, dy_16, a, b, c, d);
        add_products(&rows_24, dy_24, a, b, c, d);
        add_products(&rows_32, dy_32, a, b, c, d);
        add_products(&rows_40, dy_40, a, b, c, d);
        add_products(&rows_48, dy_48, a, b, c, d);
        add_products(&rows_56, dy_56, a, b, c, d);
        upper_bias += vec4<f32>(total(dy_0), total(dy_8), total(dy_16), total(dy_24));
        lower_bias += vec4<f32>(total(dy_32), total(dy_40), total(dy_48), total(dy_56));
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
