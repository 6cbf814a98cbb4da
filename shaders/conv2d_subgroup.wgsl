// Grouped 2D convolution, or its input gradient, as conv2d.wgsl has it, by subgroups of 8 invocations.

// Whether the filter's place i, j lies on the map.
fn are_inside(windows: Windows, i: u32, j: u32) -> vec4<bool> {
    if !PADDED {
        return vec4<bool>(true);
    }
    let bits = (windows.rows >> vec4<u32>(i)) & (windows.columns >> vec4<u32>(j)) & vec4<u32>(1u);
    return bits != vec4<u32>();
}

// Inputs, or 0 where the filter's place is outside the map.
fn inputs_or_zero(places: vec4<u32>, are_inside: vec4<bool>) -> vec4<f32> {
    let at = select(vec4<u32>(), places, are_inside);
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), are_inside);
}

fn store(row: u32, group: u32, near: vec4<u32>, far: vec4<u32>, sums: ptr<function, Sums>) {
    store_quad(row, group, near, (*sums)[0]);
    store_quad(row, group, far, (*sums)[1]);
    store_quad(row + 1u, group, near, (*sums)[2]);
    store_quad(row + 1u, group, far, (*sums)[3]);
    store_quad(row + 2u, group, near, (*sums)[4]);
    store_quad(row + 2u, group, far, (*sums)[5]);
    store_quad(row + 3u, group, near, (*sums)[6]);
    store_quad(row + 3u, group, far, (*sums)[7]);
    store_quad(row + 4u, group, near, (*sums)[8]);
    store_quad(row + 4u, group, far, (*sums)[9]);
    store_quad(row + 5u, group, near, (*sums)[10]);
    store_quad(row + 5u, group, far, (*sums)[11]);
    store_quad(row + 6u, group, near, (*sums)[12]);
    store_quad(row + 6u, group, far, (*sums)[13]);
    store_quad(row + 7u, group, near, (*sums)[14]);
    store_quad(row + 7u, group, far, (*sums)[15]);
}

// A channel, and a row and a column of the filter.
struct Place {
    channel: u32,
    i: u32,
    j: u32,
}

// The next place of the filter, then the next channel.
fn place_after(place: Place, taps: Taps) -> Place {
    let row_ends = place.j + 1u == taps.columns.y;
    let i = place.i + select(0u, 1u, row_ends);
    let filter_ends = i == taps.rows.y;
    return Place(
        place.channel + select(0u, 1u, filter_ends),
        select(i, taps.rows.x, filter_ends),
        select(place.j + 1u, taps.columns.x, row_ends),
    );
}

// What an invocation loads for one product: its rows' weights and its columns' inputs.
struct Operands {
    upper: vec4<f32>,
    lower: vec4<f32>,
    first: vec4<f32>,
    second: vec4<f32>,
}

// The operands at a place, or zeros where it is not `real`.
fn operands_at(place: Place, upper: vec4<u32>, lower: vec4<u32>, near: Windows, far: Windows, real: bool) -> Operands {
    let channel = select(0u, place.channel, real);
    let plane = params.height * params.width;
    let offset = vec4<u32>(channel * plane + tap(place.i) * params.width + tap(place.j));
    let filter_at = vec4<u32>(channel * params.weight_channel + place.i * params.kernel_w + place.j);
    return Operands(
        weights_at(upper + filter_at, real),
        weights_at(lower + filter_at, real),
        inputs_or_zero(near.at + offset, are_inside(near, place.i, place.j) & vec4<bool>(real)),
        inputs_or_zero(far.at + offset, are_inside(far, place.i, place.j) & vec4<bool>(real)),
    );
}

fn weights_at(places: vec4<u32>, real: bool) -> vec4<f32> {
    let found = vec4<f32>(weight[places.x], weight[places.y], weight[places.z], weight[places.w]);
    return select(vec4<f32>(), found, real);
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
    let near = windows_of(first_pixel, group);
    let far = windows_of(first_pixel + COLUMNS / 2u, group);

    var rows_0: Sums;
    var rows_8: Sums;
    var rows_16: Sums;
    var rows_24: Sums;
    var rows_32: Sums;
    var rows_40: Sums;
    var rows_48: Sums;
    var rows_56: Sums;
    let taps = taps_on_map(tile_pixel, COLUMNS);
    let terms = params.inputs * (taps.rows.y - taps.rows.x) * (taps.columns.y - taps.columns.x);
    var place = Place(0u, taps.rows.x, taps.columns.x);
    // One loop, since at the end of an inner one all sums would be copied. Broadcasts: its bounds are the same for all
    // invocations.
    for (var k = 0u; k < terms; k += 2u) {
        let here = operands_at(place, upper, lower, near, far, true);
        place = place_after(place, taps);
        // After the last place come zeros.
        let next = operands_at(place, upper, lower, near, far, k + 1u < terms);
        place = place_after(place, taps);
        add_products(&rows_0, here.upper.x, here.first, here.second, next.upper.x, next.first, next.second);
        add_products(&rows_8, here.upper.y, here.first, here.second, next.upper.y, next.first, next.second);
        add_products(&rows_16, here.upper.z, here.first, here.second, next.upper.z, next.first, next.second);
        add_products(&rows_24, here.upper.w, here.first, here.second, next.upper.w, next.first, next.second);
        add_products(&rows_32, here.lower.x, here.first, here.second, next.lower.x, next.first, next.second);
        add_products(&rows_40, here.lower.y, here.first, here.second, next.lower.y, next.first, next.second);
        add_products(&rows_48, here.lower.z, here.first, here.second, next.lower.z, next.first, next.second);
        add_products(&rows_56, here.lower.w, here.first, here.second, next.lower.w, next.first, next.second);
    }

    let to_near = places_of(first_pixel, group);
    let to_far = places_of(first_pixel + COLUMNS / 2u, group);
    store(first_row, group, to_near, to_far, &rows_0);
    store(first_row + 8u, group, to_near, to_far, &rows_8);
    store(first_row + 16u, group, to_near, to_far, &rows_16);
    store(first_row + 24u, group, to_near, to_far, &rows_24);
    store(first_row + 32u, group, to_near, to_far, &rows_32);
    store(first_row + 40u, group, to_near, to_far, &rows_40);
    store(first_row + 48u, group, to_near, to_far, &rows_48);
    store(first_row + 56u, group, to_near, to_far, &rows_56);
}
