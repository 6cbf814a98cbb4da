// CBAM's spatial gate: z = the convolution of a group's two pooled maps, x̂ = (z − μ)·r over images and pixels,
// a = σ(weight·x̂ + bias), y = x·a.
//
// `convolve` leaves z in the memory of x̂ and reduces runs of a group's strips to (mean, sum of squared deviations,
// elements); `apply` combines these and does the rest on shares of a group's pixels; `evaluate` does all of a run of
// strips with the running estimates.
// Where channels are multiplied, `lanes` invocations share a pixel's, or in `apply` those of a run of four pixels, so
// that a workgroup takes 256/lanes of them at a time. There x and y are bound as vectors of four elements.
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
@group(0) @binding(5) var<storage, read> x: array<MapQuad>;
@group(0) @binding(6) var<storage, read_write> y: array<NewMapQuad>;

// Two halves, used in turn: who is a turn ahead does not overwrite what others still read.
var<workgroup> attentions: array<vec4<f32>, 512>;
// evaluate: what the invocations that share a strip have of z.
var<workgroup> parts: array<vec4<f32>, 256>;

// A pooled value, 0 outside of the map; rows and columns before the first are counted modulo 2³². Loads without a
// branch, of the map's first value for those outside.
fn pooled_value(map: u32, row: u32, column: u32) -> f32 {
    let inside = row < params.height && column < params.width;
    return select(0.0, pooled[map + select(0u, row * params.width + column, inside)], inside);
}

// z of a strip, or what every `step`-th column of the filters from `first` on adds to it. The window slides down the
// rows, so that a value is loaded once for the strip's four pixels.
fn correlation(strip: Strip, group: u32, first: u32, step: u32) -> vec4<f32> {
    let border = KERNEL / 2u;
    let plane = params.height * params.width;
    let top = strip.row - border;
    var sums = vec4<f32>(0.0);
    for (var both = first; both < 2u * KERNEL; both += step) {
        let map = params.pooled_at + (2u * strip.cell + both / KERNEL) * plane;
        let column = strip.column + both % KERNEL - border;
        let tap = params.filters_at + (2u * group + both / KERNEL) * KERNEL * KERNEL + both % KERNEL;
        var window = vec4<f32>(
            0.0, pooled_value(map, top, column), pooled_value(map, top + 1u, column),
            pooled_value(map, top + 2u, column),
        );
        for (var i = 0u; i < KERNEL; i += 1u) {
            window = vec4<f32>(window.yzw, pooled_value(map, top + i + 3u, column));
            sums += window * parameters[tap + i * KERNEL];
        }
    }
    return sums;
}

fn sigmoids(values: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(sigmoid(values.x), sigmoid(values.y), sigmoid(values.z), sigmoid(values.w));
}

// Where a strip's first pixel is in a map per group.
fn map_place(strip: Strip) -> u32 {
    return (strip.cell * params.height + strip.row) * params.width + strip.column;
}

// A run of `count` elements of y from the same of x.
fn multiply_run(at: u32, count: u32, attention: vec4<f32>) {
    let from_x = params.x_at + at;
    let to_y = params.y_at + at;
    if ALIGNED {
        y[to_y / 4u] = to_map_quad(from_map_quad(x[from_x / 4u]) * attention);
        return;
    }
    for (var k = 0u; k < count; k += 1u) {
        let value = from_map(x[(from_x + k) / 4u][(from_x + k) % 4u]) * attention[k];
        y[(to_y + k) / 4u][(to_y + k) % 4u] = to_map(value);
    }
}

@compute @workgroup_size(256)
fn convolve(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * strips_of(params.height, params.width));
    var sum = vec2<f32>(0.0);
    for (var s = begin + lane; s < end; s += 256u) {
        let strip = strip_of(s, group, params.groups, params.height, params.width);
        let z = correlation(strip, group, 0u, 1u);
        let at = params.normal_at + map_place(strip);
        for (var k = 0u; k < min(STRIP, params.height - strip.row); k += 1u) {
            normal[at + k * params.width] = z[k];
            sum += vec2<f32>(z[k], 1.0);
        }
    }
    // Barriers: all invocations of the workgroup are here.
    sum = sum_pairs(lane, 256u, sum);
    let average = sum.x / sum.y;
    // Each invocation reads what it wrote itself.
    var squares = 0.0;
    for (var s = begin + lane; s < end; s += 256u) {
        let strip = strip_of(s, group, params.groups, params.height, params.width);
        let at = params.normal_at + map_place(strip);
        for (var k = 0u; k < min(STRIP, params.height - strip.row); k += 1u) {
            let deviation = normal[at + k * params.width] - average;
            squares += deviation * deviation;
        }
    }
    squares = sum_pairs(lane, 256u, vec2<f32>(squares, 0.0)).x;
    if lane == 0u {
        let at = (group * params.all_splits + params.first_split + workgroup.x) * 3u;
        partials_out[at] = average;
        partials_out[at + 1u] = squares;
        partials_out[at + 2u] = sum.y;
    }
}

@compute @workgroup_size(256)
fn apply(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    // Barriers: all invocations of the workgroup are here.
    let moments = combined(group, params.all_splits, params.count, lane);
    let average = moments.x;
    let squares = moments.y;
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
    let runs = runs_of(plane);
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * runs);
    var half = 0u;
    // Barriers: the bounds are the same for the whole workgroup.
    for (var first = begin; first < end; first += together) {
        let inside = first + lane % together < end;
        let run = pixel_of(first + lane % together, group, params.groups, runs);
        let pixel = RUN * run.place;
        let count = min(RUN, plane - pixel);
        if inside && slice == 0u {
            // Only this invocation touches these pixels of `normal`.
            let places = places_of(run.cell * plane + pixel, count);
            let z = places + params.normal_at;
            let value = (vec4<f32>(normal[z.x], normal[z.y], normal[z.z], normal[z.w]) - average) * reciprocal;
            let attention = sigmoids(value * scale + shift);
            for (var k = 0u; k < count; k += 1u) {
                normal[z.x + k] = value[k];
                a[params.a_at + places.x + k] = attention[k];
            }
            attentions[half + lane] = attention;
        }
        workgroupBarrier();
        if inside {
            let attention = attentions[half + lane % together];
            let map = run.cell * params.channels * plane + pixel;
            for (var c = slice; c < params.channels; c += params.lanes) {
                multiply_run(map + c * plane, count, attention);
            }
        }
        half ^= 256u;
    }
}

@compute @workgroup_size(256)
fn evaluate(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let average = running[params.mean_at + group];
    let scale = parameters[params.weight_at + group] / sqrt(running[params.variance_at + group] + params.eps);
    let shift = parameters[params.bias_at + group];
    // The invocations that share a strip share its filters' columns, then the channels of its four pixels. Pixels
    // follow each other by row.
    let strips = 64u / params.lanes;
    let together = 256u / params.lanes;
    let sharing = 4u * params.lanes;
    let slice = lane / together;
    let row = lane % together / strips;
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * strips_of(params.height, params.width));
    // Barriers: the run is the same for the whole workgroup.
    for (var first = begin; first < end; first += strips) {
        let s = first + lane % strips;
        let strip = strip_of(s, group, params.groups, params.height, params.width);
        let inside = s < end && strip.row + row < params.height;
        if s < end {
            parts[lane] = correlation(strip, group, lane / strips, sharing);
        }
        workgroupBarrier();
        if inside && slice == 0u {
            var z = 0.0;
            for (var other = lane % strips; other < min(sharing, 2u * KERNEL) * strips; other += strips) {
                z += parts[other][row];
            }
            let attention = sigmoids(vec4<f32>((z - average) * scale + shift));
            a[params.a_at + map_place(strip) + row * params.width] = attention.x;
            attentions[lane] = attention;
        }
        workgroupBarrier();
        if inside {
            let plane = params.height * params.width;
            let map = strip.cell * params.channels * plane + (strip.row + row) * params.width + strip.column;
            let attention = attentions[lane % together].x;
            for (var c = slice; c < params.channels; c += params.lanes) {
                let from_x = params.x_at + map + c * plane;
                let to_y = params.y_at + map + c * plane;
                y[to_y / 4u][to_y % 4u] = to_map(from_map(x[from_x / 4u][from_x % 4u]) * attention);
            }
        }
    }
}
