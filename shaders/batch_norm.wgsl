// Batch normalisation over images and pixels, then an optional activation and 2×2 max pooling, and the average and
// first maximum of each plane of the result: y = pool(act((x − μ)·r·weight + bias)).
//
// `statistics` reduces splits of each channel to (mean, sum of squared deviations, elements); `apply` combines these
// and normalises; `whole` does both for channels of few elements; `evaluate` uses the running estimates.
// x [images, channels, plane], its rows `width` long; y [images, channels, items], its rows `across` long;
// affine: weight and bias [channels], from weight_at and bias_at on; moments [2, channels]: μ, r;
// descriptors [2, all_images, channels] and positions [all_images, channels], bound to something else without them;
// running_mean, running_variance [channels], or in states from mean_at and variance_at on;
// partial sums [channels, all_splits, 3].
//
// A workgroup has `share` of a channel: elements of x in `statistics`, else items, or with descriptors whole images.
// In `whole` it has several channels, `run` invocations each. Where planes are whole vectors of four elements
// (ALIGNED), such a vector counts as one element of x and, without pooling, as one item.
struct Params {
    images: u32, channels: u32, plane: u32, width: u32, items: u32, across: u32,
    walk_images: u32, walk_pixels: u32, walk_item_images: u32, walk_items: u32, run: u32, lanes: u32,
    share: u32, first_split: u32, all_splits: u32, leads: u32, first_image: u32, all_images: u32,
    x_at: u32, y_at: u32, weight_at: u32, bias_at: u32, mean_at: u32, variance_at: u32, eps: f32, momentum: f32,
}

override ALIGNED: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<MapQuad>;

// statistics
@group(0) @binding(2) var<storage, read_write> partials_out: array<f32>;

// apply, whole, evaluate
@group(0) @binding(2) var<storage, read> affine: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<NewMapQuad>;
@group(0) @binding(4) var<storage, read_write> descriptors: array<f32>;
@group(0) @binding(5) var<storage, read_write> positions: array<f32>;

// apply, whole
@group(0) @binding(6) var<storage, read_write> moments: array<f32>;
@group(0) @binding(7) var<storage, read_write> states: array<f32>;

// apply
@group(0) @binding(8) var<storage, read> partials: array<f32>;

// evaluate
@group(0) @binding(6) var<storage, read> running_mean: array<f32>;
@group(0) @binding(7) var<storage, read> running_variance: array<f32>;

fn element(at: u32) -> f32 {
    return from_map(x[at / 4u][at % 4u]);
}

fn store(at: u32, value: f32) {
    y[at / 4u][at % 4u] = to_map(value);
}

// How many of x's elements, and of y's, are taken as one.
fn unit() -> u32 {
    return select(1u, 4u, ALIGNED);
}

fn item_unit() -> u32 {
    return select(1u, 4u, ALIGNED && !POOL);
}

fn plane_at(image: u32, channel: u32) -> u32 {
    return image * params.channels + channel;
}

// A workgroup has several channels where their runs are shorter than it.
fn channel_of(group: vec3<u32>, lane: u32) -> u32 {
    return group.y * (256u / params.run) + lane / params.run;
}

// The mean and the sum of squared deviations from it, of elements begin..end, by a run of invocations, of which this is
// the one at `start`. Each sums deviations from its own first element, and squares of them: as that element's deviation
// from the mean is one of those asked for, no more cancels than the number of the invocation's elements.
// Barriers: called by whole workgroups.
fn statistics_of(channel: u32, begin: u32, end: u32, lane: u32) -> vec2<f32> {
    let start = begin + (lane & (params.run - 1u));
    let units = params.plane / unit();
    var walk = walk_from(start, units);
    var first = 0.0;
    var count = 0.0;
    var sum = 0.0;
    var squares = 0.0;
    for (var e = start; e < end; e += params.run) {
        let at = params.x_at + plane_at(walk.image, channel) * params.plane + walk.pixel * unit();
        if ALIGNED {
            let values = from_map_quad(x[at / 4u]);
            first = select(first, values.x, e == start);
            let deviations = values - first;
            sum += dot(deviations, vec4<f32>(1.0));
            squares += dot(deviations, deviations);
        } else {
            let value = element(at);
            first = select(first, value, e == start);
            sum += value - first;
            squares += (value - first) * (value - first);
        }
        count += f32(unit());
        walk = walk_on(walk, params.walk_images, params.walk_pixels, units);
    }
    let average = sum_lanes(lane, params.run, count * first + sum) / f32(max(end - begin, 1u) * unit());
    let shift = average - first;
    return vec2<f32>(average, sum_lanes(lane, params.run, squares - shift * (2.0 * sum - count * shift)));
}

// Leaves the batch's statistics and updates the running estimates; returns r.
fn settle(channel: u32, average: f32, squares: f32, elements: f32, writes: bool) -> f32 {
    let reciprocal = 1.0 / sqrt(squares / elements + params.eps);
    if writes {
        moments[channel] = average;
        moments[params.channels + channel] = reciprocal;
        let keep = 1.0 - params.momentum;
        let unbiased = squares / max(elements - 1.0, 1.0);
        let m = params.mean_at + channel;
        let v = params.variance_at + channel;
        states[m] = keep * states[m] + params.momentum * average;
        states[v] = keep * states[v] + params.momentum * unbiased;
    }
    return reciprocal;
}

// The larger, or NaN where one is: max() may give the number.
fn larger(a: f32, b: f32) -> f32 {
    return select(a, b, beats(b, a));
}

// An item of y; `base` is where the plane of x starts.
fn output(base: u32, item: u32, average: f32, scale: f32, shift: f32) -> f32 {
    if !POOL {
        return activated(element(base + item) - average, scale, shift);
    }
    let row = item / params.across;
    let at = base + 2u * (row * params.width + item - row * params.across);
    let below = at + params.width;
    let window = vec4<f32>(element(at), element(at + 1u), element(below), element(below + 1u)) - average;
    let top = larger(activated(window.x, scale, shift), activated(window.y, scale, shift));
    let bottom = larger(activated(window.z, scale, shift), activated(window.w, scale, shift));
    return larger(top, bottom);
}

// Four items of a plane that is whole vectors; `at` is the first in x.
fn output_quad(at: u32, average: f32, scale: f32, shift: f32) -> vec4<f32> {
    let centred = from_map_quad(x[at / 4u]) - average;
    return vec4<f32>(
        activated(centred.x, scale, shift), activated(centred.y, scale, shift), activated(centred.z, scale, shift),
        activated(centred.w, scale, shift),
    );
}

// The part of y that a run of invocations has. Barriers: called by whole workgroups, whose share is uniform.
fn normalise(channel: u32, group: u32, lane: u32, average: f32, reciprocal: f32) {
    let member = lane & (params.run - 1u);
    let scale = reciprocal * affine[params.weight_at + channel];
    let shift = affine[params.bias_at + channel];
    let begin = group * params.share;
    if !DESCRIPTORS {
        let units = params.items / item_unit();
        let end = min(begin + params.share, params.images * units);
        var walk = walk_from(begin + member, units);
        for (var e = begin + member; e < end; e += params.run) {
            let map = plane_at(walk.image, channel);
            let base = params.x_at + map * params.plane;
            let to = params.y_at + map * params.items + walk.pixel * item_unit();
            if item_unit() == 4u {
                y[to / 4u] = to_map_quad(output_quad(base + 4u * walk.pixel, average, scale, shift));
            } else {
                store(to, output(base, walk.pixel, average, scale, shift));
            }
            walk = walk_on(walk, params.walk_item_images, params.walk_items, units);
        }
        return;
    }
    let end = min(begin + params.share, params.images);
    let start = lane & (params.lanes - 1u);
    for (var first = begin; first < end; first += params.run / params.lanes) {
        let image = first + member / params.lanes;
        let map = plane_at(image, channel);
        let base = params.x_at + map * params.plane;
        let to = params.y_at + map * params.items;
        var part = nothing();
        if image < end {
            for (var item = start; item < params.items / item_unit(); item += params.lanes) {
                if item_unit() == 4u {
                    let values = output_quad(base + 4u * item, average, scale, shift);
                    y[to / 4u + item] = to_map_quad(values);
                    part = with_quad(part, values, 4u * item);
                } else {
                    let value = output(base, item, average, scale, shift);
                    store(to + item, value);
                    part = with_element(part, value, item);
                }
            }
        }
        let all = describe_lanes(lane, params.lanes, part);
        if image < end && start == 0u {
            let at = plane_at(params.first_image + image, channel);
            descriptors[at] = all.sum / f32(params.items);
            descriptors[params.all_images * params.channels + at] = all.largest;
            positions[at] = f32(all.place);
        }
    }
}

@compute @workgroup_size(256)
fn statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let begin = group.x * params.share;
    let end = min(begin + params.share, params.images * params.plane / unit());
    let result = statistics_of(channel, begin, end, lane);
    if lane == 0u {
        let at = (channel * params.all_splits + params.first_split + group.x) * 3u;
        partials_out[at] = result.x;
        partials_out[at + 1u] = result.y;
        partials_out[at + 2u] = f32((end - begin) * unit());
    }
}

@compute @workgroup_size(256)
fn apply(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let elements = f32(params.all_images * params.plane);
    // Barriers: all invocations of the workgroup are here.
    let all = combined(channel, params.all_splits, elements, lane);
    let writes = params.leads != 0u && group.x == 0u && lane == 0u;
    let reciprocal = settle(channel, all.x, all.y, elements, writes);
    normalise(channel, group.x, lane, all.x, reciprocal);
}

@compute @workgroup_size(256)
fn whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = channel_of(group, lane);
    let elements = params.images * params.plane;
    let result = statistics_of(channel, 0u, elements / unit(), lane);
    let leads = (lane & (params.run - 1u)) == 0u;
    let reciprocal = settle(channel, result.x, result.y, f32(elements), leads);
    normalise(channel, 0u, lane, result.x, reciprocal);
}

@compute @workgroup_size(256)
fn evaluate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = channel_of(group, lane);
    let reciprocal = 1.0 / sqrt(running_variance[channel] + params.eps);
    normalise(channel, group.x, lane, running_mean[channel], reciprocal);
}
