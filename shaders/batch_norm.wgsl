// Batch normalisation over images and pixels, then an optional activation: y = act((x − μ)·r·weight + bias).
//
// `statistics` reduces splits of each channel to (mean, sum of squared deviations, elements); `apply` combines these
// and normalises; `whole` does both for channels of few elements; `evaluate` uses the running estimates.
// x, y [images, channels, plane]; weight, bias, mean, rstd, running_mean, running_variance [channels];
// partial sums [channels, all_splits, 3]; states: the running mean at mean_at and variance at variance_at.
struct Params {
    images: u32, channels: u32, plane: u32, walk_images: u32, walk_pixels: u32,
    split_length: u32, first_split: u32, all_splits: u32, leads: u32,
    x_at: u32, y_at: u32, mean_at: u32, variance_at: u32, eps: f32, momentum: f32,
}

// 0 none, 1 ReLU, 2 sigmoid.
override ACTIVATION: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

// statistics
@group(0) @binding(2) var<storage, read_write> partials_out: array<f32>;

// apply, whole, evaluate
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// apply, whole
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(7) var<storage, read_write> states: array<f32>;

// apply
@group(0) @binding(8) var<storage, read> partials: array<f32>;

// evaluate
@group(0) @binding(5) var<storage, read> running_mean: array<f32>;
@group(0) @binding(6) var<storage, read> running_variance: array<f32>;

fn place(walk: Walk, channel: u32) -> u32 {
    return (walk.image * params.channels + channel) * params.plane + walk.pixel;
}

fn activated(value: f32) -> f32 {
    if ACTIVATION == 1u {
        return select(value, 0.0, value < 0.0);
    }
    if ACTIVATION == 2u {
        return 1.0 / (1.0 + exp(-value));
    }
    return value;
}

// The mean and the sum of squared deviations from it, of elements begin..end: in two passes, against cancellation.
// Barriers: called by whole workgroups.
fn moments(channel: u32, begin: u32, end: u32, lane: u32) -> vec2<f32> {
    var sum = 0.0;
    var walk = walk_from(begin + lane, params.plane);
    for (var e = begin + lane; e < end; e += 256u) {
        sum += x[params.x_at + place(walk, channel)];
        walk = walk_on(walk, params.walk_images, params.walk_pixels, params.plane);
    }
    let average = sum_lanes(lane, 256u, sum) / f32(max(end - begin, 1u));
    var squares = 0.0;
    walk = walk_from(begin + lane, params.plane);
    for (var e = begin + lane; e < end; e += 256u) {
        let deviation = x[params.x_at + place(walk, channel)] - average;
        squares += deviation * deviation;
        walk = walk_on(walk, params.walk_images, params.walk_pixels, params.plane);
    }
    return vec2<f32>(average, sum_lanes(lane, 256u, squares));
}

// Leaves the batch's statistics and updates the running estimates; returns r.
fn settle(channel: u32, average: f32, squares: f32, elements: f32, writes: bool) -> f32 {
    let reciprocal = 1.0 / sqrt(squares / elements + params.eps);
    if writes {
        mean[channel] = average;
        rstd[channel] = reciprocal;
        let keep = 1.0 - params.momentum;
        let unbiased = squares / max(elements - 1.0, 1.0);
        let m = params.mean_at + channel;
        let v = params.variance_at + channel;
        states[m] = keep * states[m] + params.momentum * average;
        states[v] = keep * states[v] + params.momentum * unbiased;
    }
    return reciprocal;
}

fn normalise(channel: u32, begin: u32, end: u32, lane: u32, average: f32, reciprocal: f32) {
    let scale = reciprocal * weight[channel];
    let shift = bias[channel];
    var walk = walk_from(begin + lane, params.plane);
    for (var e = begin + lane; e < end; e += 256u) {
        let i = place(walk, channel);
        y[params.y_at + i] = activated((x[params.x_at + i] - average) * scale + shift);
        walk = walk_on(walk, params.walk_images, params.walk_pixels, params.plane);
    }
}

@compute @workgroup_size(256)
fn statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let begin = group.x * params.split_length;
    let end = min(begin + params.split_length, params.images * params.plane);
    let result = moments(channel, begin, end, lane);
    if lane == 0u {
        let at = (channel * params.all_splits + params.first_split + group.x) * 3u;
        partials_out[at] = result.x;
        partials_out[at + 1u] = result.y;
        partials_out[at + 2u] = f32(end - begin);
    }
}

@compute @workgroup_size(256)
fn apply(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let base = channel * params.all_splits;
    var elements = 0.0;
    var sum = 0.0;
    for (var s = lane; s < params.all_splits; s += 256u) {
        let at = (base + s) * 3u;
        elements += partials[at + 2u];
        sum += partials[at] * partials[at + 2u];
    }
    // Barriers: all invocations of the workgroup are here.
    elements = sum_lanes(lane, 256u, elements);
    let average = sum_lanes(lane, 256u, sum) / elements;
    var squares = 0.0;
    for (var s = lane; s < params.all_splits; s += 256u) {
        let at = (base + s) * 3u;
        let deviation = partials[at] - average;
        squares += partials[at + 1u] + partials[at + 2u] * deviation * deviation;
    }
    squares = sum_lanes(lane, 256u, squares);
    let writes = params.leads != 0u && group.x == 0u && lane == 0u;
    let reciprocal = settle(channel, average, squares, elements, writes);
    let begin = group.x * params.split_length;
    let end = min(begin + params.split_length, params.images * params.plane);
    normalise(channel, begin, end, lane, average, reciprocal);
}

@compute @workgroup_size(256)
fn whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let end = params.images * params.plane;
    let result = moments(channel, 0u, end, lane);
    let reciprocal = settle(channel, result.x, result.y, f32(end), lane == 0u);
    normalise(channel, 0u, end, lane, result.x, reciprocal);
}

@compute @workgroup_size(256)
fn evaluate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let begin = group.x * params.split_length;
    let end = min(begin + params.split_length, params.images * params.plane);
    let reciprocal = 1.0 / sqrt(running_variance[channel] + params.eps);
    normalise(channel, begin, end, lane, running_mean[channel], reciprocal);
}
