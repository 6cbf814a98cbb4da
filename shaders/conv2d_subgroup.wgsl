// Grouped 2D convolution, or its input gradient, as conv2d.wgsl has it, by subgroups of 8 invocations.

// Whether a row's weights follow each other in memory from product to product, from a multiple of four on to one.
override BY_FOURS: bool = false;

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
    return select(vec4<f32>(), vec4<f32>(input(at.x), input(at.y), input(at.z), input(at.w)), are_inside);
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

// This invocation's inputs at a place, or zeros where it is not `real`.
fn columns_at(place: Place, near: Windows, far: Windows, real: bool) -> Columns {
    let channel = select(0u, place.channel, real);
    let plane = params.height * params.width;
    let offset = vec4<u32>(channel * plane + tap(place.i) * params.width + tap(place.j));
    return Columns(
        inputs_or_zero(near.at + offset, are_inside(near, place.i, place.j) & vec4<bool>(real)),
        inputs_or_zero(far.at + offset, are_inside(far, place.i, place.j) & vec4<bool>(real)),
    );
}

// What a place adds to the place of a row's first weight.
fn filter_at(place: Place) -> u32 {
    return place.channel * params.weight_channel + place.i * params.kernel_w + place.j;
}

// A row's weights of four products.
fn weights_at(row: u32, offsets: vec4<u32>) -> vec4<f32> {
    if BY_FOURS {
        return weight[(row + offsets.x) / 4u];
    }
    let at = vec4<u32>(row) + offsets;
    return vec4<f32>(weight_at(at.x), weight_at(at.y), weight_at(at.z), weight_at(at.w));
}

fn weight_at(at: u32) -> f32 {
    return weight[at / 4u][at % 4u];
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
    for (var k = 0u; k < terms; k += 4u) {
        // After the last place come zeros.
        let real = vec4<bool>(BY_FOURS) | (vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(terms));
        let first = place;
        let second = place_after(first, taps);
        let third = place_after(second, taps);
        let fourth = place_after(third, taps);
        place = place_after(fourth, taps);
        let offsets = vec4<u32>(filter_at(first), filter_at(second), filter_at(third), filter_at(fourth));
        let at = select(offsets.xxxx, offsets, real);
        let a = columns_at(first, near, far, true);
        let b = columns_at(second, near, far, real.y);
        let c = columns_at(third, near, far, real.z);
        let d = columns_at(fourth, near, far, real.w);
        add_products(&rows_0, weights_at(upper.x, at), a, b, c, d);
        add_products(&rows_8, weights_at(upper.y, at), a, b, c, d);
        add_products(&rows_16, weights_at(upper.z, at), a, b, c, d);
        add_products(&rows_24, weights_at(upper.w, at), a, b, c, d);
        add_products(&rows_32, weights_at(lower.x, at), a, b, c, d);
        add_products(&rows_40, weights_at(lower.y, at), a, b, c, d);
        add_products(&rows_48, weights_at(lower.z, at), a, b, c, d);
        add_products(&rows_56, weights_at(lower.w, at), a, b, c, d);
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
