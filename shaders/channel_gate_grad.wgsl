// Gradient of the channel gate: with t = dy + dmean/channels + dmax·[c is the maximal channel],
// dx = t·a and da = so_far + Σ_pixels t·x. `lanes` invocations share four channels' maps, so that what a pixel has of
// dmean and dmax is loaded once for four.
// dy, x, dx [images, groups·channels, plane], dpooled [images, groups, 2, plane], largest_channel
// [images, groups, plane], a, so_far, da [all images, groups·channels] from first_map on. `quads` are the runs of four
// channels of all images and groups, the last of a group cut off where it has fewer.
struct Params {
    quads: u32, channels: u32, plane: u32, lanes: u32, first_map: u32,
    dy_at: u32, dpooled_at: u32, largest_at: u32, x_at: u32, dx_at: u32, adds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Map>;
@group(0) @binding(2) var<storage, read> dpooled: array<f32>;
@group(0) @binding(3) var<storage, read> largest_channel: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<Map>;
@group(0) @binding(5) var<storage, read> a: array<f32>;
@group(0) @binding(6) var<storage, read> so_far: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<NewMap>;
@group(0) @binding(8) var<storage, read_write> da: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quad = flat_group(group, counts) * (256u / params.lanes) + lane / params.lanes;
    let start = lane & (params.lanes - 1u);
    let inside = quad < params.quads;
    let quads = (params.channels + 3u) / 4u;
    let cell = quad / quads;
    let first = 4u * (quad - cell * quads);
    // Channels after the last repeat it, and write the same.
    let channels = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.channels - 1u));
    let maps = vec4<u32>(cell * params.channels) + channels;
    var sums = vec4<f32>(0.0);
    if inside {
        let to = maps + params.first_map;
        let attention = vec4<f32>(a[to.x], a[to.y], a[to.z], a[to.w]);
        let maxima = params.dpooled_at + 2u * cell * params.plane;
        let means = maxima + params.plane;
        let largest_at = params.largest_at + cell * params.plane;
        for (var i = start; i < params.plane; i += params.lanes) {
            let mean = dpooled[means + i] / f32(params.channels);
            let peak = dpooled[maxima + i];
            let is_largest = channels == vec4<u32>(u32(largest_channel[largest_at + i]));
            let at = maps * params.plane + i;
            let above = at + params.dy_at;
            let gradient = mean + vec4<f32>(
                from_gradient(dy[above.x]), from_gradient(dy[above.y]), from_gradient(dy[above.z]),
                from_gradient(dy[above.w]),
            );
            let t = gradient + select(vec4<f32>(0.0), vec4<f32>(peak), is_largest);
            let input = at + params.x_at;
            sums += t * vec4<f32>(
                from_map(x[input.x]), from_map(x[input.y]), from_map(x[input.z]), from_map(x[input.w]),
            );
            let value = t * attention;
            let output = at + params.dx_at;
            dx[output.x] = to_gradient(value.x);
            dx[output.y] = to_gradient(value.y);
            dx[output.z] = to_gradient(value.z);
            dx[output.w] = to_gradient(value.w);
        }
    }
    // Barriers: every invocation gets here; `lanes` is uniform.
    let left = sum_pairs(lane, params.lanes, sums.xy);
    let right = sum_pairs(lane, params.lanes, sums.zw);
    if inside && start < min(4u, params.channels - first) {
        let sum = select(left, right, start > 1u)[start & 1u];
        let to = params.first_map + cell * params.channels + first + start;
        da[to] = sum + select(0.0, so_far[to], params.adds != 0u);
    }
}
