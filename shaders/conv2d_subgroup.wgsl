// Grouped 2D convolution, or its input gradient, as conv2d.wgsl has it, by subgroups of 8 invocations.

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

    let plane = params.height * params.width;
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
    var channel = 0u;
    var i = taps.rows.x;
    var j = taps.columns.x;
    // One loop, since at the end of an inner one all sums would be copied. Broadcasts: its bounds are the same for all
    // invocations.
    for (var k = 0u; k < terms; k += 1u) {
        let offset = vec4<u32>(channel * plane + tap(i) * params.width + tap(j));
        let near_inside = are_inside(near, i, j);
        let far_inside = are_inside(far, i, j);
        let first = inputs_or_zero(near.at + offset, near_inside);
        let second = inputs_or_zero(far.at + offset, far_inside);
        let filter_at = vec4<u32>(channel * params.weight_channel + i * params.kernel_w + j);
        let upper_at = upper + filter_at;
        let lower_at = lower + filter_at;
        add_products(&rows_0, weight[upper_at.x], first, second);
        add_products(&rows_8, weight[upper_at.y], first, second);
        add_products(&rows_16, weight[upper_at.z], first, second);
        add_products(&rows_24, weight[upper_at.w], first, second);
        add_products(&rows_32, weight[lower_at.x], first, second);
        add_products(&rows_40, weight[lower_at.y], first, second);
        add_products(&rows_48, weight[lower_at.z], first, second);
        add_products(&rows_56, weight[lower_at.w], first, second);
        // The next place of the filter, then the next channel.
        let row_ends = j + 1u == taps.columns.y;
        j = select(j + 1u, taps.columns.x, row_ends);
        i += select(0u, 1u, row_ends);
        let filter_ends = i == taps.rows.y;
        i = select(i, taps.rows.x, filter_ends);
        channel += select(0u, 1u, filter_ends);
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
