// Map times channel attention, y = x·a, and its maximum and mean over the channels of each group.
// A workgroup takes 32 runs of four pixels, the last of a map cut off where it has fewer; 8 invocations share a run's
// channels.
// x, y [images, groups·channels, plane] (channels of a group), four elements a vector, a [all images, groups·channels]
// from first_image on, pooled [images, groups, 2, plane]: maximum, mean; largest_channel [images, groups, plane].
struct Params {
    images: u32, groups: u32, channels: u32, plane: u32, first_image: u32,
    x_at: u32, y_at: u32, pooled_at: u32, largest_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<MapQuad>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<NewMapQuad>;
@group(0) @binding(4) var<storage, read_write> pooled: array<f32>;
@group(0) @binding(5) var<storage, read_write> largest_channel: array<f32>;

var<workgroup> sums: array<vec4<f32>, 256>;
var<workgroup> maxima: array<vec4<f32>, 256>;
var<workgroup> channels_of: array<vec4<u32>, 256>;

fn element(at: u32) -> f32 {
    return from_map(x[at / 4u][at % 4u]);
}

fn run_at(at: u32, count: u32) -> vec4<f32> {
    if ALIGNED {
        return from_map_quad(x[at / 4u]);
    }
    let places = places_of(at, count);
    return vec4<f32>(element(places.x), element(places.y), element(places.z), element(places.w));
}

// Of a run that is cut off the last value is there several times.
fn store_run(at: u32, count: u32, values: vec4<f32>) {
    if ALIGNED {
        y[at / 4u] = to_map_quad(values);
        return;
    }
    let places = places_of(at, count);
    y[places.x / 4u][places.x % 4u] = to_map(values.x);
    y[places.y / 4u][places.y % 4u] = to_map(values.y);
    y[places.z / 4u][places.z % 4u] = to_map(values.z);
    y[places.w / 4u][places.w % 4u] = to_map(values.w);
}

fn each_beats(values: vec4<f32>, largest: vec4<f32>) -> vec4<bool> {
    return vec4<bool>(
        beats(values.x, largest.x), beats(values.y, largest.y), beats(values.z, largest.z), beats(values.w, largest.w),
    );
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = flat_group(group, counts) * 32u + lane % 32u;
    let slice = lane / 32u;
    let runs = runs_of(params.plane);
    let inside = flat < params.images * params.groups * runs;
    let cell = flat / runs;
    let pixel = RUN * (flat - cell * runs);
    let count = min(RUN, params.plane - pixel);
    let row = cell * params.channels;
    let weights = params.first_image * params.groups * params.channels + row;
    var sum = vec4<f32>(0.0);
    var largest = vec4<f32>(0.0);
    // `channels` stands for no channel: a slice may have none.
    let none = vec4<u32>(params.channels);
    var channel = none;
    if inside {
        for (var c = slice; c < params.channels; c += 8u) {
            let at = (row + c) * params.plane + pixel;
            let value = run_at(params.x_at + at, count) * a[weights + c];
            store_run(params.y_at + at, count, value);
            sum += value;
            let wins = (channel == none) | each_beats(value, largest);
            largest = select(largest, value, wins);
            channel = select(channel, vec4<u32>(c), wins);
        }
    }
    sums[lane] = sum;
    maxima[lane] = largest;
    channels_of[lane] = channel;
    // Barrier: reached by all invocations, inside or not.
    workgroupBarrier();
    if inside && slice == 0u {
        for (var other = lane + 32u; other < 256u; other += 32u) {
            let candidate = channels_of[other];
            let value = maxima[other];
            sum += sums[other];
            let is_larger = select(each_beats(value, largest), !each_beats(largest, value), candidate < channel);
            let wins = (candidate < none) & is_larger;
            largest = select(largest, value, wins);
            channel = select(channel, candidate, wins);
        }
        let to = params.pooled_at + 2u * cell * params.plane + pixel;
        let mean = sum / f32(params.channels);
        for (var k = 0u; k < count; k += 1u) {
            pooled[to + k] = largest[k];
            pooled[to + params.plane + k] = mean[k];
            largest_channel[params.largest_at + cell * params.plane + pixel + k] = f32(channel[k]);
        }
    }
}
