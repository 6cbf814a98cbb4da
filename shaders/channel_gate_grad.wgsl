// Gradient of the channel gate: with t = dy + dmean/channels + dmax·[c is the maximal channel],
// dx = t·a and da = so_far + Σ_pixels t·x. `lanes` invocations share a channel's map.
// dy, x, dx [images, groups·channels, plane], dpooled [images, groups, 2, plane], largest_channel
// [images, groups, plane], a, so_far, da [all images, groups·channels] from first_image on.
struct Params {
    maps: u32, channels: u32, plane: u32, lanes: u32, first_map: u32,
    dy_at: u32, dpooled_at: u32, largest_at: u32, x_at: u32, dx_at: u32, adds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> dpooled: array<f32>;
@group(0) @binding(3) var<storage, read> largest_channel: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read> a: array<f32>;
@group(0) @binding(6) var<storage, read> so_far: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;
@group(0) @binding(8) var<storage, read_write> da: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let map = flat_group(group, counts) * (256u / params.lanes) + lane / params.lanes;
    let start = lane & (params.lanes - 1u);
    let inside = map < params.maps;
    var sum = 0.0;
    if inside {
        let cell = map / params.channels;
        let channel = f32(map % params.channels);
        let attention = a[params.first_map + map];
        let maxima = params.dpooled_at + 2u * cell * params.plane;
        let means = maxima + params.plane;
        for (var i = start; i < params.plane; i += params.lanes) {
            let at = map * params.plane + i;
            var t = dy[params.dy_at + at] + dpooled[means + i] / f32(params.channels);
            if largest_channel[params.largest_at + cell * params.plane + i] == channel {
                t += dpooled[maxima + i];
            }
            dx[params.dx_at + at] = t * attention;
            sum += t * x[params.x_at + at];
        }
    }
    // Barriers: every invocation gets here; `lanes` is uniform.
    sum = sum_lanes(lane, params.lanes, sum);
    if inside && start == 0u {
        if params.adds != 0u {
            sum += so_far[params.first_map + map];
        }
        da[params.first_map + map] = sum;
    }
}
