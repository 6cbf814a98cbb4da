// Grouped 2D convolution, or its input gradient, as conv2d.wgsl has it, by subgroups of 4 invocations.

fn store(row: u32, lane: u32, group: u32, places: vec4<u32>, sums: ptr<function, Sums>) {
    store_quad(row + lane, group, places, (*sums)[0]);
    store_quad(row + (lane ^ 1u), group, places, (*sums)[1]);
    store_quad(row + (lane ^ 2u), group, places, (*sums)[2]);
    store_quad(row + (lane ^ 3u), group, places, (*sums)[3]);
    store_quad(row + 4u + lane, group, places, (*sums)[4]);
    store_quad(row + 4u + (lane ^ 1u), group, places, (*sums)[5]);
    store_quad(row + 4u + (lane ^ 2u), group, places, (*sums)[6]);
    store_quad(row + 4u + (lane ^ 3u), group, places, (*sums)[7]);
    store_quad(row + 8u + lane, group, places, (*sums)[8]);
    store_quad(row + 8u + (lane ^ 1u), group, places, (*sums)[9]);
    store_quad(row + 8u + (lane ^ 2u), group, places, (*sums)[10]);
    store_quad(row + 8u + (lane ^ 3u), group, places, (*sums)[11]);
    store_quad(row + 12u + lane, group, places, (*sums)[12]);
    store_quad(row + 12u + (lane ^ 1u), group, places, (*sums)[13]);
    store_quad(row + 12u + (lane ^ 2u), group, places, (*sums)[14]);
    store_quad(row + 12u + (lane ^ 3u), group, places, (*sums)[15]);
}

fn weights_at(places: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(weight[places.x], weight[places.y], weight[places.z], weight[places.w]);
}

@compute @workgroup_size(LANES)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup.z / params.row_tiles;
    let first_row = workgroup.z % params.row_tiles * ROWS;
    let tile_pixel = flat_group(workgroup, counts) * COLUMNS;
    let first_pixel = tile_pixel + 4u * lane;

    // This invocation loads these rows of the filters and the windows of these pixels. Rows after the last repeat it.
    let weights = vec4<u32>(group * params.outputs * params.inputs * params.kernel_h * params.kernel_w);
    let last_row = vec4<u32>(params.outputs - 1u);
    let upper = weights + min(rows_of(first_row, lane), last_row) * params.weight_row;
    let lower = weights + min(rows_of(first_row + ROWS / 2u, lane), last_row) * params.weight_row;
    let windows = windows_of(first_pixel, group);

    let plane = params.height * params.width;
    var upper_sums: Sums;
    var lower_sums: Sums;
    let taps = taps_on_map(tile_pixel, COLUMNS);
    // Swaps: the bounds of the three loops are the same for all invocations.
    for (var i = taps.rows.x; i < taps.rows.y; i += 1u) {
        for (var j = taps.columns.x; j < taps.columns.y; j += 1u) {
            let is_inside = are_inside(windows, i, j);
            let first_at = windows.at + vec4<u32>(tap(i) * params.width + tap(j));
            let filter_at = i * params.kernel_w + j;
            for (var channel = 0u; channel < params.inputs; channel += 2u) {
                let columns = inputs_or_zero(first_at + vec4<u32>(channel * plane), is_inside);
                // After the last channel come zeros.
                let odd = channel + 1u;
                let is_channel = vec4<bool>(odd < params.inputs);
                let odd_columns = inputs_or_zero(first_at + vec4<u32>(odd * plane), is_inside & is_channel);
                let row_at = vec4<u32>(channel * params.weight_channel + filter_at);
                let odd_row_at = select(row_at, row_at + vec4<u32>(params.weight_channel), is_channel);
                add_products(
                    &upper_sums,
                    weights_at(upper + row_at), columns,
                    select(vec4<f32>(), weights_at(upper + odd_row_at), is_channel), odd_columns,
                );
                add_products(
                    &lower_sums,
                    weights_at(lower + row_at), columns,
                    select(vec4<f32>(), weights_at(lower + odd_row_at), is_channel), odd_columns,
                );
            }
        }
    }

    let places = places_of(first_pixel, group);
    store(first_row, lane, group, places, &upper_sums);
    store(first_row + ROWS / 2u, lane, group, places, &lower_sums);
}
