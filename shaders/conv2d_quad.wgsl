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

// Bits of which all are set where the filter's place lies on the map, none elsewhere; the place as one bit for its row and
// one for its column. A mask is an instruction, where a choice is four and a shift twenty.
fn masks_at(windows: Windows, row: u32, column: u32) -> vec4<u32> {
    if !PADDED {
        return vec4<u32>(0xffffffffu);
    }
    let zero = vec4<u32>();
    let is_inside = ((windows.rows & vec4<u32>(row)) != zero) & ((windows.columns & vec4<u32>(column)) != zero);
    return select(zero, vec4<u32>(0xffffffffu), is_inside);
}

fn masked(values: vec4<f32>, masks: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(values) & masks);
}

// Inputs, or 0 where the masks are.
fn inputs_at(places: vec4<u32>, masks: vec4<u32>) -> vec4<f32> {
    let at = places & masks;
    return masked(vec4<f32>(input(at.x), input(at.y), input(at.z), input(at.w)), masks);
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
    let tile_pixel = place_among(flat_group(workgroup, counts), counts.x * counts.y) * COLUMNS;
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
    let terms = (params.inputs + 1u) / 2u * (taps.rows.y - taps.rows.x) * (taps.columns.y - taps.columns.x);
    var channel = 0u;
    var i = taps.rows.x;
    var j = taps.columns.x;
    let first_row_bit = 1u << i;
    let first_column_bit = 1u << j;
    var row_bit = first_row_bit;
    var column_bit = first_column_bit;
    // One loop, since at the end of an inner one all sums would be copied. Swaps: its bounds are the same for all
    // invocations.
    for (var k = 0u; k < terms; k += 1u) {
        let inside = masks_at(windows, row_bit, column_bit);
        let at = windows.at + vec4<u32>(channel * plane + tap(i) * params.width + tap(j));
        let columns = inputs_at(at, inside);
        // After the last channel come zeros.
        let real = vec4<u32>(0u - u32(channel + 1u < params.inputs));
        let odd_columns = inputs_at(at + vec4<u32>(plane), inside & real);
        let row_at = vec4<u32>(channel * params.weight_channel + i * params.kernel_w + j);
        let odd_row_at = row_at + (vec4<u32>(params.weight_channel) & real);
        add_products(
            &upper_sums,
            weights_at(upper + row_at), columns, masked(weights_at(upper + odd_row_at), real), odd_columns,
        );
        add_products(
            &lower_sums,
            weights_at(lower + row_at), columns, masked(weights_at(lower + odd_row_at), real), odd_columns,
        );
        // The next place of the filter, then the next two channels.
        let row_ends = j + 1u == taps.columns.y;
        j = select(j + 1u, taps.columns.x, row_ends);
        column_bit = select(2u * column_bit, first_column_bit, row_ends);
        i += select(0u, 1u, row_ends);
        row_bit = select(row_bit, 2u * row_bit, row_ends);
        let filter_ends = i == taps.rows.y;
        i = select(i, taps.rows.x, filter_ends);
        row_bit = select(row_bit, first_row_bit, filter_ends);
        channel += select(0u, 2u, filter_ends);
    }

    let places = places_of(first_pixel, group);
    store(first_row, lane, group, places, &upper_sums);
    store(first_row + ROWS / 2u, lane, group, places, &lower_sums);
}
