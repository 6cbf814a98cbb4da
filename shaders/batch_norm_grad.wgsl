// Gradient of batch normalisation. With z the normalised values before the activation, dz = dy·act'(z) and
// x̂ = (x − μ)·r: dbias = Σ dz, dweight = Σ dz·x̂, dx = weight·r·(dz − dbias/count − x̂·dweight/count).
//
// `reduce` leaves dweight and dbias of splits of each channel; `apply` combines these and computes dx; `whole` does
// both for channels of few elements.
// dy, x, dx [images, channels, plane]; weight, bias, mean, rstd [channels];
// partial sums [all_splits, 2, channels]: dweight, dbias.
struct Params {
    images: u32, channels: u32, plane: u32, walk_images: u32, walk_pixels: u32,
    split_length: u32, first_split: u32, all_splits: u32,
    dy_at: u32, x_at: u32, dx_at: u32, count: f32,
}

// 0 none, 1 ReLU, 2 sigmoid.
override ACTIVATION: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> mean: array<f32>;
@group(0) @binding(6) var<storage, read> rstd: array<f32>;

// reduce, whole
@group(0) @binding(7) var<storage, read_write> partials_out: array<f32>;

// apply
@group(0) @binding(7) var<storage, read> partials: array<f32>;

// apply, whole
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;

fn place(walk: Walk, channel: u32) -> u32 {
    return (walk.image * params.channels + channel) * params.plane + walk.pixel;
}

// dz from dy and x̂.
fn before_activation(gradient: f32, normalised: f32, scale: f32, shift: f32) -> f32 {
    if ACTIVATION == 0u {
        return gradient;
    }
    let z = normalised * scale + shift;
    if ACTIVATION == 1u {
        return select(0.0, gradient, z > 0.0);
    }
    let s = 1.0 / (1.0 + exp(-z));
    return gradient * s * (1.0 - s);
}

// dweight and dbias of elements begin..end. Barriers: called by whole workgroups.
fn sums(channel: u32, begin: u32, end: u32, lane: u32) -> vec2<f32> {
    let average = mean[channel];
    let reciprocal = rstd[channel];
    let scale = weight[channel];
    let shift = bias[channel];
    var result = vec2<f32>(0.0);
    var walk = walk_from(begin + lane, params.plane);
    for (var e = begin + lane; e < end; e += 256u) {
        let i = place(walk, channel);
        let normalised = (x[params.x_at + i] - average) * reciprocal;
        let dz = before_activation(dy[params.dy_at + i], normalised, scale, shift);
        result += vec2<f32>(dz * normalised, dz);
        walk = walk_on(walk, params.walk_images, params.walk_pixels, params.plane);
    }
    let dweight = sum_lanes(lane, 256u, result.x);
    let dbias = sum_lanes(lane, 256u, result.y);
    return vec2<f32>(dweight, dbias);
}

fn write_dx(channel: u32, begin: u32, end: u32, lane: u32, dweight: f32, dbias: f32) {
    let average = mean[channel];
    let reciprocal = rstd[channel];
    let scale = weight[channel];
    let shift = bias[channel];
    var walk = walk_from(begin + lane, params.plane);
    for (var e = begin + lane; e < end; e += 256u) {
        let i = place(walk, channel);
        let normalised = (x[params.x_at + i] - average) * reciprocal;
        let dz = before_activation(dy[params.dy_at + i], normalised, scale, shift);
        dx[params.dx_at + i] = scale * reciprocal * (dz - (dbias + normalised * dweight) / params.count);
        walk = walk_on(walk, params.walk_images, params.walk_pixels, params.plane);
    }
}

@compute @workgroup_size(256)
fn reduce(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let begin = group.x * params.split_length;
    let end = min(begin + params.split_length, params.images * params.plane);
    let result = sums(channel, begin, end, lane);
    if lane == 0u {
        let at = (params.first_split + group.x) * 2u * params.channels + channel;
        partials_out[at] = result.x;
        partials_out[at + params.channels] = result.y;
    }
}

@compute @workgroup_size(256)
fn apply(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    var result = vec2<f32>(0.0);
    for (var s = lane; s < params.all_splits; s += 256u) {
        let at = s * 2u * params.channels + channel;
        result += vec2<f32>(partials[at], partials[at + params.channels]);
    }
    // Barriers: all invocations of the workgroup are here.
    let dweight = sum_lanes(lane, 256u, result.x);
    let dbias = sum_lanes(lane, 256u, result.y);
    let begin = group.x * params.split_length;
    let end = min(begin + params.split_length, params.images * params.plane);
    write_dx(channel, begin, end, lane, dweight, dbias);
}

@compute @workgroup_size(256)
fn whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let end = params.images * params.plane;
    let result = sums(channel, 0u, end, lane);
    if lane == 0u {
        partials_out[channel] = result.x;
        partials_out[params.channels + channel] = result.y;
    }
    write_dx(channel, 0u, end, lane, result.x, result.y);
}
