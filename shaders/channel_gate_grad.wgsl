// Gradient of the channel gate: with t = dy + dmean/channels + dmax·[c is the maximal channel],
// dx = t·a and da = so_far + Σ_pixels t·x. `lanes` invocations share four channels' maps, a run of four pixels of each at
// a time, so that what the pixels have of dmean and dmax is loaded once for four channels.
// dy, x, dx [images, groups·channels, plane], dpooled [images, groups, 2, plane], largest_channel
// [images, groups, plane], four elements a vector, a, so_far, da [all images, groups·channels] from first_map on. `quads`
// are the fours of channels of all images and groups, the last of a group cut off where it has fewer.
struct Params {
    quads: u32, channels: u32, plane: u32, lanes: u32, first_map: u32,
    dy_at: u32, dpooled_at: u32, largest_at: u32, x_at: u32, dx_at: u32, adds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<MapQuad>;
@group(0) @binding(2) var<storage, read> dpooled: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> largest_channel: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> x: array<MapQuad>;
@group(0) @binding(5) var<storage, read> a: array<f32>;
@group(0) @binding(6) var<storage, read> so_far: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<NewMapQuad>;
@group(0) @binding(8) var<storage, read_write> da: array<f32>;

fn dpooled_run(at: u32, count: u32) -> vec4<f32> {
    if ALIGNED {
        return dpooled[at / 4u];
    }
    let places = places_of(at, count);
    return vec4<f32>(
        dpooled[places.x / 4u][places.x % 4u], dpooled[places.y / 4u][places.y % 4u],
        dpooled[places.z / 4u][places.z % 4u], dpooled[places.w / 4u][places.w % 4u],
    );
}

fn largest_run(at: u32, count: u32) -> vec4<f32> {
    if ALIGNED {
        return largest_channel[at / 4u];
    }
    let places = places_of(at, count);
    return vec4<f32>(
        largest_channel[places.x / 4u][places.x % 4u], largest_channel[places.y / 4u][places.y % 4u],
        largest_channel[places.z / 4u][places.z % 4u], largest_channel[places.w / 4u][places.w % 4u],
    );
}

// What a run of pixels has for all channels.
struct Pooled {
    pixel: u32,
    count: u32,
    mean: vec4<f32>,
    peak: vec4<f32>,
    largest: vec4<u32>,
}

// Writes dx of a channel's run, and returns its part of da.
fn gate_run(map: u32, channel: u32, attention: f32, pooled: Pooled) -> f32 {
    let at = map * params.plane + pooled.pixel;
    let peak = select(vec4<f32>(0.0), pooled.peak, pooled.largest == vec4<u32>(channel));
    let t = dy_run(params.dy_at + at, pooled.count) + pooled.mean + peak;
    store_run(params.dx_at + at, pooled.count, t * attention);
    let is_pixel = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(pooled.count);
    return dot(t * x_run(params.x_at + at, pooled.count), select(vec4<f32>(0.0), vec4<f32>(1.0), is_pixel));
}

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
        for (var run = start; run < runs_of(params.plane); run += params.lanes) {
            let pixel = RUN * run;
            let count = min(RUN, params.plane - pixel);
            let mean = dpooled_run(means + pixel, count) / f32(params.channels);
            let largest = vec4<u32>(largest_run(largest_at + pixel, count));
            let pooled = Pooled(pixel, count, mean, dpooled_run(maxima + pixel, count), largest);
            sums += vec4<f32>(
                gate_run(maps.x, channels.x, attention.x, pooled), gate_run(maps.y, channels.y, attention.y, pooled),
                gate_run(maps.z, channels.z, attention.z, pooled), gate_run(maps.w, channels.w, attention.w, pooled),
            );
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
