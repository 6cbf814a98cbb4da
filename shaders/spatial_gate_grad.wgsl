// Gradient of the spatial gate. With a = σ(weight·x̂ + bias) and t = (Σ_channels dy·x + da)·a·(1 − a): dx = dy·a,
// dbias = Σ t, dweight = Σ t·x̂, dz = weight·r·(t − (dbias + x̂·dweight)/count); dpooled is the transposed convolution
// of dz, dfilters the correlation of dz with the pooled maps.
//
// `reduce` computes dx, t and the sums of t and t·x̂ over runs of a group's pixels; `convolve` combines these, and
// computes dpooled and dfilters of runs of a group's pixels.
// In `reduce`, `lanes` invocations share a pixel's channels, so that a workgroup takes 256/lanes pixels at a time.
// dy, x, dx [images, groups·channels, plane] (channels of a group), pooled, dpooled [images, groups, 2, plane],
// normal (x̂), t and direct (da, if any) [images, groups, plane], rstd [groups]; parameters: filters
// [groups, 2, KERNEL, KERNEL] at filters_at, weight [groups] at weight_at, bias at bias_at;
// sums [groups, all_splits, 2]: of t, of t·x̂; partial sums: dweight, dbias [groups], dfilters [splits, groups, taps].
struct Params {
    images: u32, groups: u32, channels: u32, height: u32, width: u32, lanes: u32, run: u32,
    first_split: u32, all_splits: u32, leads: u32, has_direct: u32,
    dy_at: u32, x_at: u32, normal_at: u32, direct_at: u32, dx_at: u32, t_at: u32, pooled_at: u32, dpooled_at: u32,
    filters_at: u32, weight_at: u32, bias_at: u32, count: f32,
}

// At most 11, so that a workgroup has an invocation for each tap of both filters.
override KERNEL: u32 = 7u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<f32>;
@group(0) @binding(4) var<storage, read> normal: array<f32>;

// reduce
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read> direct: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(7) var<storage, read_write> t_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums_out: array<f32>;

// convolve
@group(0) @binding(2) var<storage, read> pooled: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read> sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> dpooled: array<f32>;
@group(0) @binding(7) var<storage, read> t: array<f32>;
@group(0) @binding(8) var<storage, read_write> partials: array<f32>;

// reduce: parts of the sums over channels; convolve: dz of 256 pixels.
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

@compute @workgroup_size(256)
fn reduce(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.y;
    let plane = params.height * params.width;
    let scale = parameters[params.weight_at + group];
    let shift = parameters[params.bias_at + group];
    let together = 256u / params.lanes;
    let slice = lane / together;
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * plane);
    var totals = vec2<f32>(0.0);
    // Barriers: the run is the same for the whole workgroup.
    for (var first = begin; first < end; first += together) {
        let pixel = first + lane % together;
        let place = place_of(pixel, group);
        let at = place.cell * plane + place.pixel;
        var value = 0.0;
        var attention = 0.0;
        var sum = 0.0;
        if pixel < end {
            value = normal[params.normal_at + at];
            attention = 1.0 / (1.0 + exp(-(value * scale + shift)));
            let map = place.cell * params.channels * plane + place.pixel;
            for (var c = slice; c < params.channels; c += params.lanes) {
                let gradient = dy[params.dy_at + map + c * plane];
                dx[params.dx_at + map + c * plane] = gradient * attention;
                sum += gradient * x[params.x_at + map + c * plane];
            }
        }
        shared_values[lane] = sum;
        workgroupBarrier();
        if pixel < end && slice == 0u {
            for (var other = lane + together; other < 256u; other += together) {
                sum += shared_values[other];
            }
            if params.has_direct != 0u {
                sum += direct[params.direct_at + at];
            }
            let gradient = sum * attention * (1.0 - attention);
            t_out[params.t_at + at] = gradient;
            totals += vec2<f32>(gradient, gradient * value);
        }
        workgroupBarrier();
    }
    let dbias = sum_lanes(lane, 256u, totals.x);
    let dweight = sum_lanes(lane, 256u, totals.y);
    if lane == 0u {
        let at = (group * params.all_splits + params.first_split + workgroup.x) * 2u;
        sums_out[at] = dbias;
        sums_out[at + 1u] = dweight;
    }
}

// dz = t·factors.x + x̂·factors.y + factors.z.
fn dz_at(at: u32, factors: vec3<f32>) -> f32 {
    return t[params.t_at + at] * factors.x + normal[params.normal_at + at] * factors.y + factors.z;
}

// dpooled of a pixel. Places before a map's first row or column are counted modulo 2³² and never read.
fn transposed(place: Place, group: u32, factors: vec3<f32>) -> vec2<f32> {
    let border = KERNEL / 2u;
    let row = place.pixel / params.width + border;
    let column = place.pixel % params.width + border;
    // Row i of the filters meets row − i of dz.
    let first_row = row - min(row, params.height - 1u);
    let last_row = min(row + 1u, KERNEL);
    let first_column = column - min(column, params.width - 1u);
    let last_column = min(column + 1u, KERNEL);
    let map = place.cell * params.height * params.width;
    let weights = params.filters_at + group * 2u * KERNEL * KERNEL;
    var result = vec2<f32>(0.0);
    for (var i = first_row; i < last_row; i += 1u) {
        let row_at = map + (row - i) * params.width + column;
        let tap = weights + i * KERNEL;
        for (var j = first_column; j < last_column; j += 1u) {
            result += dz_at(row_at - j, factors)
                * vec2<f32>(parameters[tap + j], parameters[tap + KERNEL * KERNEL + j]);
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
    let dbias = sum_lanes(lane, 256u, totals.x);
    let dweight = sum_lanes(lane, 256u, totals.y);
    if params.leads != 0u && workgroup.x == 0u && lane == 0u {
        partials[group] = dweight;
        partials[params.groups + group] = dbias;
    }
    let scale = parameters[params.weight_at + group] * rstd[group];
    let factors = scale * vec3<f32>(1.0, -dweight / params.count, -dbias / params.count);

    // An invocation sums one tap of both filters over its team's share of 256 pixels at a time.
    let border = KERNEL / 2u;
    let taps = 2u * KERNEL * KERNEL;
    let teams = 256u / taps;
    let share = (256u + teams - 1u) / teams;
    let team = lane / taps;
    let tap = lane % taps;
    let i = tap % (KERNEL * KERNEL) / KERNEL - border;
    let j = tap % KERNEL - border;
    let map_of_tap = tap / (KERNEL * KERNEL) * plane;
    var sum = 0.0;
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.images * plane);
    // Barriers: the run is the same for the whole workgroup.
    for (var first = begin; first < end; first += 256u) {
        let pixel = first + lane;
        var own = 0.0;
        if pixel < end {
            let place = place_of(pixel, group);
            own = dz_at(place.cell * plane + place.pixel, factors);
            let result = transposed(place, group, factors);
            let to = params.dpooled_at + 2u * place.cell * plane + place.pixel;
            dpooled[to] = result.x;
            dpooled[to + plane] = result.y;
        }
        shared_values[lane] = own;
        workgroupBarrier();
        if team < teams {
            let until = min(min((team + 1u) * share, 256u), end - first);
            let place = place_of(first + team * share, group);
            var row = place.pixel / params.width;
            var column = place.pixel % params.width;
            var map = params.pooled_at + 2u * place.cell * plane + map_of_tap;
            for (var p = team * share; p < until; p += 1u) {
                let from_row = row + i;
                let from_column = column + j;
                if from_row < params.height && from_column < params.width {
                    sum += shared_values[p] * pooled[map + from_row * params.width + from_column];
                }
                column += 1u;
                if column == params.width {
                    column = 0u;
                    row += 1u;
                    if row == params.height {
                        row = 0u;
                        map += 2u * params.groups * plane;
                    }
                }
            }
        }
        workgroupBarrier();
    }
    shared_values[lane] = sum;
    workgroupBarrier();
    if lane < taps {
        for (var other = lane + taps; other < teams * taps; other += taps) {
            sum += shared_values[other];
        }
        let split = params.first_split + workgroup.x;
        partials[2u * params.groups + (split * params.groups + group) * taps + lane] = sum;
    }
}
