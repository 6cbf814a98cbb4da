// CBAM's spatial gate: z = the convolution of a group's two pooled maps, x̂ = (z − μ)·r over images and pixels,
// a = σ(weight·x̂ + bias), y = x·a.
//
// `convolve` leaves z in the memory of x̂ and reduces runs of a group's pixels to (mean, sum of squared deviations,
// elements); `apply` combines these and does the rest; `evaluate` does all with the running estimates.
// A workgroup takes a run of a group's pixels, 256/lanes at a time; `lanes` invocations share a pixel's channels.
// x, y [images, groups·channels, plane] (channels of a group), pooled [images, groups, 2, plane],
// normal (x̂) and a [images, groups, plane], rstd [groups]; parameters: filters [groups, 2, KERNEL, KERNEL] at
// filters_at, weight [groups] at weight_at, bias at bias_at; states and running: the mean [groups] at mean_at, the
// variance at variance_at; partial sums [groups, all_splits, 3].
struct Params {
    images: u32, groups: u32, channels: u32, height: u32, width: u32, lanes: u32, run: u32,
    first_split: u32, all_splits: u32, leads: u32,
    x_at: u32, pooled_at: u32, y_at: u32, a_at: u32, normal_at: u32,
    filters_at: u32, weight_at: u32, bias_at: u32, mean_at: u32, variance_at: u32,
    count: f32, eps: f32, momentum: f32,
}

override KERNEL: u32 = 7u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<f32>;

// convolve, evaluate
@group(0) @binding(2) var<storage, read> pooled: array<f32>;

// convolve, apply
@group(0) @binding(3) var<storage, read_write> normal: array<f32>;

// convolve
@group(0) @binding(4) var<storage, read_write> partials_out: array<f32>;

// apply
@group(0) @binding(2) var<storage, read> partials: array<f32>;
@group(0) @binding(7) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(8) var<storage, read_write> states: array<f32>;

// evaluate
@group(0) @binding(3) var<storage, read> running: array<f32>;

// apply, evaluate
@group(0) @binding(4) var<storage, read_write> a: array<f32>;
@group(0) @binding(5) var<storage, read> x: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

// What the invocations that share a pixel tell each other.
var<workgroup> shared_values: array<f32, 256>;

// A pixel of a group: which of all maps [images, groups] it is in, and its place there.
struct Place {
    cell: u32,
    pixel: u32,
}

fn place_of(pixel: u32, group: u32) -> Place {
    let plane = params.height * params.width;
    return Place(pixel / plane * params.groups + group, pixel % plane);
}

// z, or what every `step`-th row of the filters from `first` on adds to it. Places before a map's first row or column
// are counted modulo 2³² and never read.
fn correlation(place: Place, group: u32, first: u32, step: u32) -> f32 {
    let border = KERNEL / 2u;
    let plane = params.height * params.width;
    let row = place.pixel / params.width;
    let column = place.pixel % params.width;
    let last_row = min(KERNEL, params.height + border - row);
    let first_column = border - min(column, border);
    let last_column = min(KERNEL, params.width + border - column);
    let weights = params.filters_at + group * 2u * KERNEL * KERNEL;
    let maps = params.pooled_at + 2u * place.cell * plane + place.pixel - border * params.width - border;
    var sums = vec2<f32>(0.0);
    for (var i = border - min(row, border) + first; i < last_row; i += step) {
        let row_at = maps + i * params.width;
        let tap = weights + i * KERNEL;
        for (var j = first_column; j < last_column; j += 1u) {
            sums += vec2<f32>(pooled[row_at + j], pooled[row_at + plane + j])
                * vec2<f32>(parameters[tap + j], parameters[tap + KERNEL * KERNEL + j]);
        }
    }
    return sums.x + sums.y;
}

fn sigmoid(value: f32) -> f32 {
    return 1.0 / (1.0 + exp(-value));
}

// Every `lanes`-th channel of a pixel, from `slice` on.
fn multiply(place: Place, slice: u32, attention: f32) {
    let plane = params.height * params.width;
    let map = place.cell * params.channels * plane + place.pixel;
    for (var c = slice; c < params.channels; c += params.lanes) {
        y[params.y_at + map + c * plane] = x[params.x_at + map + c * plane] * attention;
    }
}

@compute @workgroup_size(256)
fn convolve(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let plane = params.height * params.width;
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * plane);
    var sum = 0.0;
    for (var pixel = begin + lane; pixel < end; pixel += 256u) {
        let place = place_of(pixel, group);
        let z = correlation(place, group, 0u, 1u);
        normal[params.normal_at + place.cell * plane + place.pixel] = z;
        sum += z;
    }
    // Barriers: all invocations of the workgroup are here.
    let average = sum_lanes(lane, 256u, sum) / f32(end - begin);
    // Each invocation reads what it wrote itself.
    var squares = 0.0;
    for (var pixel = begin + lane; pixel < end; pixel += 256u) {
        let place = place_of(pixel, group);
        let deviation = normal[params.normal_at + place.cell * plane + place.pixel] - average;
        squares += deviation * deviation;
    }
    squares = sum_lanes(lane, 256u, squares);
    if lane == 0u {
        let at = (group * params.all_splits + params.first_split + workgroup.x) * 3u;
        partials_out[at] = average;
        partials_out[at + 1u] = squares;
        partials_out[at + 2u] = f32(end - begin);
    }
}

@compute @workgroup_size(256)
fn apply(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let base = group * params.all_splits;
    var sum = 0.0;
    for (var s = lane; s < params.all_splits; s += 256u) {
        let at = (base + s) * 3u;
        sum += partials[at] * partials[at + 2u];
    }
    // Barriers: all invocations of the workgroup are here.
    let average = sum_lanes(lane, 256u, sum) / params.count;
    var squares = 0.0;
    for (var s = lane; s < params.all_splits; s += 256u) {
        let at = (base + s) * 3u;
        let deviation = partials[at] - average;
        squares += partials[at + 1u] + partials[at + 2u] * deviation * deviation;
    }
    squares = sum_lanes(lane, 256u, squares);
    let reciprocal = 1.0 / sqrt(squares / params.count + params.eps);
    if params.leads != 0u && workgroup.x == 0u && lane == 0u {
        rstd[group] = reciprocal;
        let keep = 1.0 - params.momentum;
        let unbiased = squares / max(params.count - 1.0, 1.0);
        let m = params.mean_at + group;
        let v = params.variance_at + group;
        states[m] = keep * states[m] + params.momentum * average;
        states[v] = keep * states[v] + params.momentum * unbiased;
    }
    let scale = parameters[params.weight_at + group];
    let shift = parameters[params.bias_at + group];
    let plane = params.height * params.width;
    let together = 256u / params.lanes;
    let slice = lane / together;
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * plane);
    // Barriers: the run is the same for the whole workgroup.
    for (var first = begin; first < end; first += together) {
        let pixel = first + lane % together;
        let place = place_of(pixel, group);
        if pixel < end && slice == 0u {
            // Only this invocation touches this pixel of `normal`.
            let at = place.cell * plane + place.pixel;
            let value = (normal[params.normal_at + at] - average) * reciprocal;
            let attention = sigmoid(value * scale + shift);
            normal[params.normal_at + at] = value;
            a[params.a_at + at] = attention;
            shared_values[lane] = attention;
        }
        workgroupBarrier();
        let attention = shared_values[lane % together];
        workgroupBarrier();
        if pixel < end {
            multiply(place, slice, attention);
        }
    }
}

@compute @workgroup_size(256)
fn evaluate(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let plane = params.height * params.width;
    let average = running[params.mean_at + group];
    let scale = parameters[params.weight_at + group] / sqrt(running[params.variance_at + group] + params.eps);
    let shift = parameters[params.bias_at + group];
    let together = 256u / params.lanes;
    let slice = lane / together;
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * plane);
    // Barriers: the run is the same for the whole workgroup.
    for (var first = begin; first < end; first += together) {
        let pixel = first + lane % together;
        let place = place_of(pixel, group);
        if pixel < end {
            shared_values[lane] = correlation(place, group, slice, params.lanes);
        }
        workgroupBarrier();
        var z = 0.0;
        for (var other = lane % together; other < 256u; other += together) {
            z += shared_values[other];
        }
        workgroupBarrier();
        if pixel < end {
            let attention = sigmoid((z - average) * scale + shift);
            if slice == 0u {
                a[params.a_at + place.cell * plane + place.pixel] = attention;
            }
            multiply(place, slice, attention);
        }
    }
}
