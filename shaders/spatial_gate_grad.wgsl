// Gradient of the spatial gate. With a = σ(weight·x̂ + bias) and t = (Σ_channels dy·x + da)·a·(1 − a): dx = dy·a,
// dbias = Σ t, dweight = Σ t·x̂, dz = weight·r·(t − (dbias + x̂·dweight)/count); dpooled is the transposed convolution
// of dz, dfilters the correlation of dz with the pooled maps.
//
// `reduce` computes dx, t and the sums of t and t·x̂ over shares of a group's pixels; `convolve` combines these, and
// computes dpooled and dfilters of runs of a group's strips.
// In `reduce`, `lanes` invocations share the channels of a run of four pixels, so that a workgroup takes 256/lanes runs
// at a time. There dy, x and dx are bound as vectors of four elements.
// dy, x, dx [images, groups·channels, plane] (channels of a group), pooled, dpooled [images, groups, 2, plane],
// normal (x̂), t and direct (da, if any) [images, groups, plane], rstd [groups]; parameters: filters
// [groups, 2, KERNEL, KERNEL] at filters_at, weight [groups] at weight_at, bias at bias_at;
// sums [groups, all_splits, 2]: of t, of t·x̂; partial sums: dweight, dbias [groups], dfilters [splits, groups, 2, KERNEL, KERNEL].
struct Params {
    images: u32, groups: u32, channels: u32, height: u32, width: u32, lanes: u32, run: u32,
    first_split: u32, all_splits: u32, leads: u32, has_direct: u32,
    dy_at: u32, x_at: u32, normal_at: u32, direct_at: u32, dx_at: u32, t_at: u32, pooled_at: u32, dpooled_at: u32,
    filters_at: u32, weight_at: u32, bias_at: u32, count: f32,
}

// At most 21, so that a workgroup has an invocation for each four taps, below each other, of both filters.
override KERNEL: u32 = 7u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<f32>;
@group(0) @binding(4) var<storage, read> normal: array<f32>;

// reduce
@group(0) @binding(2) var<storage, read> dy: array<MapQuad>;
@group(0) @binding(3) var<storage, read> x: array<MapQuad>;
@group(0) @binding(5) var<storage, read> direct: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<NewMapQuad>;
@group(0) @binding(7) var<storage, read_write> t_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums_out: array<f32>;

// convolve
@group(0) @binding(2) var<storage, read> pooled: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read> sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> dpooled: array<f32>;
@group(0) @binding(7) var<storage, read> t: array<f32>;
@group(0) @binding(8) var<storage, read_write> partials: array<f32>;

// Two halves, used in turn: who is a turn ahead does not overwrite what others still read.
// reduce: parts of sums over channels.
var<workgroup> parts: array<vec4<f32>, 512>;
// convolve: dz of strips; at last, parts of sums over strips.
var<workgroup> gradients: array<vec4<f32>, 512>;

@compute @workgroup_size(256)
fn reduce(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let plane = params.height * params.width;
    let scale = parameters[params.weight_at + group];
    let shift = parameters[params.bias_at + group];
    let together = 256u / params.lanes;
    let slice = lane / together;
    let runs = runs_of(plane);
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * runs);
    var totals = vec2<f32>(0.0);
    var half = 0u;
    // Barriers: the bounds are the same for the whole workgroup.
    for (var first = begin; first < end; first += together) {
        let inside = first + lane % together < end;
        let run = pixel_of(first + lane % together, group, params.groups, runs);
        let pixel = RUN * run.place;
        let count = min(RUN, plane - pixel);
        let places = places_of(run.cell * plane + pixel, count);
        var value = vec4<f32>(0.0);
        var attention = vec4<f32>(0.0);
        var sum = vec4<f32>(0.0);
        if inside {
            let normal_places = places + params.normal_at;
            value = vec4<f32>(normal[normal_places.x], normal[normal_places.y], normal[normal_places.z], normal[normal_places.w]);
            attention = 1.0 / (1.0 + exp(-(value * scale + shift)));
            let map = run.cell * params.channels * plane + pixel;
            for (var c = slice; c < params.channels; c += params.lanes) {
                let gradient = dy_run(params.dy_at + map + c * plane, count);
                store_run(params.dx_at + map + c * plane, count, gradient * attention);
                sum += gradient * x_run(params.x_at + map + c * plane, count);
            }
        }
        parts[half + lane] = sum;
        workgroupBarrier();
        if inside && slice == 0u {
            for (var other = lane + together; other < 256u; other += together) {
                sum += parts[half + other];
            }
            if params.has_direct != 0u {
                let direct_places = places + params.direct_at;
                sum += vec4<f32>(direct[direct_places.x], direct[direct_places.y], direct[direct_places.z], direct[direct_places.w]);
            }
            let gradient = sum * attention * (1.0 - attention);
            for (var k = 0u; k < count; k += 1u) {
                t_out[params.t_at + places.x + k] = gradient[k];
                totals += vec2<f32>(gradient[k], gradient[k] * value[k]);
            }
        }
        half ^= 256u;
    }
    totals = sum_pairs(lane, 256u, totals);
    if lane == 0u {
        let at = (group * params.all_splits + params.first_split + workgroup.x) * 2u;
        sums_out[at] = totals.x;
        sums_out[at + 1u] = totals.y;
    }
}

// dz = t·factors.x + x̂·factors.y + factors.z, 0 outside of the map; rows and columns before the first are counted
// modulo 2³². Loads without a branch, of the map's first value for those outside.
fn dz_value(map: u32, row: u32, column: u32, factors: vec3<f32>) -> f32 {
    let inside = row < params.height && column < params.width;
    let at = map + select(0u, row * params.width + column, inside);
    let value = t[params.t_at + at] * factors.x + normal[params.normal_at + at] * factors.y + factors.z;
    return select(0.0, value, inside);
}

fn pooled_value(map: u32, row: u32, column: u32) -> f32 {
    let inside = row < params.height && column < params.width;
    return select(0.0, pooled[map + select(0u, row * params.width + column, inside)], inside);
}

// dpooled of a strip, and its dz.
struct Transposed {
    first: vec4<f32>,
    second: vec4<f32>,
    dz: vec4<f32>,
}

// dz under the turned filters. The window slides down the rows, so that a value is loaded once for the strip's four
// pixels.
fn transposed(strip: Strip, group: u32, factors: vec3<f32>) -> Transposed {
    let border = KERNEL / 2u;
    let map = strip.cell * params.height * params.width;
    let top = strip.row - border;
    let taps = params.filters_at + 2u * group * KERNEL * KERNEL;
    var result: Transposed;
    for (var j = 0u; j < KERNEL; j += 1u) {
        let column = strip.column + border - j;
        var window = vec4<f32>(
            0.0, dz_value(map, top, column, factors), dz_value(map, top + 1u, column, factors),
            dz_value(map, top + 2u, column, factors),
        );
        for (var i = 0u; i < KERNEL; i += 1u) {
            window = vec4<f32>(window.yzw, dz_value(map, top + i + 3u, column, factors));
            let tap = taps + (KERNEL - 1u - i) * KERNEL + j;
            result.first += window * parameters[tap];
            result.second += window * parameters[tap + KERNEL * KERNEL];
            if i == border && j == border {
                result.dz = window;
            }
        }
    }
    return result;
}

@compute @workgroup_size(256)
fn convolve(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let plane = params.height * params.width;
    var totals = vec2<f32>(0.0);
    for (var s = lane; s < params.all_splits; s += 256u) {
        let at = (group * params.all_splits + s) * 2u;
        totals += vec2<f32>(sums[at], sums[at + 1u]);
    }
    // Barriers: all invocations of the workgroup are here.
    totals = sum_pairs(lane, 256u, totals);
    if params.leads != 0u && workgroup.x == 0u && lane == 0u {
        partials[group] = totals.y;
        partials[params.groups + group] = totals.x;
    }
    let scale = parameters[params.weight_at + group] * rstd[group];
    let factors = scale * vec3<f32>(1.0, -totals.y / params.count, -totals.x / params.count);

    // An invocation sums four taps below each other, of one map and column, over its team's share of 256 strips at a
    // time.
    let border = KERNEL / 2u;
    let quads = (KERNEL + 3u) / 4u;
    let members = 2u * KERNEL * quads;
    let teams = 256u / members;
    let share = (256u + teams - 1u) / teams;
    let team = lane / members;
    let second = lane % members / (KERNEL * quads);
    let tap_row = lane % (KERNEL * quads) / KERNEL * 4u;
    let tap_column = lane % KERNEL;
    var sum = vec4<f32>(0.0);
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * strips_of(params.height, params.width));
    var half = 0u;
    // Barriers: the run is the same for the whole workgroup.
    for (var first = begin; first < end; first += 256u) {
        var dz = vec4<f32>(0.0);
        if first + lane < end {
            let strip = strip_of(first + lane, group, params.groups, params.height, params.width);
            let result = transposed(strip, group, factors);
            dz = result.dz;
            let to = params.dpooled_at + 2u * strip.cell * plane + strip.row * params.width + strip.column;
            for (var k = 0u; k < min(STRIP, params.height - strip.row); k += 1u) {
                dpooled[to + k * params.width] = result.first[k];
                dpooled[to + plane + k * params.width] = result.second[k];
            }
        }
        gradients[half + lane] = dz;
        workgroupBarrier();
        if team < teams {
            let until = min(min((team + 1u) * share, 256u), end - first);
            var strip = strip_of(first + team * share, group, params.groups, params.height, params.width);
            for (var s = team * share; s < until; s += 1u) {
                let map = params.pooled_at + (2u * strip.cell + second) * plane;
                let row = strip.row + tap_row - border;
                let column = strip.column + tap_column - border;
                let here = gradients[half + s];
                var window = vec4<f32>(
                    pooled_value(map, row, column), pooled_value(map, row + 1u, column),
                    pooled_value(map, row + 2u, column), pooled_value(map, row + 3u, column),
                );
                sum += window * here.x;
                window = vec4<f32>(window.yzw, pooled_value(map, row + 4u, column));
                sum += window * here.y;
                window = vec4<f32>(window.yzw, pooled_value(map, row + 5u, column));
                sum += window * here.z;
                window = vec4<f32>(window.yzw, pooled_value(map, row + 6u, column));
                sum += window * here.w;
                strip.column += 1u;
                if strip.column == params.width {
                    strip.column = 0u;
                    strip.row += STRIP;
                    if strip.row >= params.height {
                        strip.row = 0u;
                        strip.cell += params.groups;
                    }
                }
            }
        }
        half ^= 256u;
    }
    gradients[half + lane] = sum;
    workgroupBarrier();
    if lane < members {
        for (var other = lane + members; other < teams * members; other += members) {
            sum += gradients[half + other];
        }
        let split = params.first_split + workgroup.x;
        let to = 2u * params.groups + ((split * params.groups + group) * 2u + second) * KERNEL * KERNEL;
        for (var k = 0u; k < min(4u, KERNEL - tap_row); k += 1u) {
            partials[to + (tap_row + k) * KERNEL + tap_column] = sum[k];
        }
    }
}
