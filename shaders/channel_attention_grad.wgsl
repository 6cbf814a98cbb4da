// Gradient of the channel attention. With ds = da·a·(1 − a):
// dhidden_d = [hidden_d > 0]·W₂ᵀ·ds, dp_d = W₁ᵀ·dhidden_d, dW₁ = Σ dhidden·p, db₁ = Σ dhidden, dW₂ = Σ ds·hidden,
// db₂ = descriptors·Σ ds.
// A workgroup takes one group of `share` images and leaves its part of the weights' gradients; `lanes` invocations
// share a hidden unit.
// da, a [images, groups·channels], hidden [descriptors, images, groups·units], p, dp
// [descriptors, images, groups·channels], w1 [groups·units, channels], w2 [groups·channels, units];
// sums: dhidden, then for each share of the images at block + share·stride the gradients of w1, b1, w2, b2.
struct Params {
    descriptors: u32, images: u32, groups: u32, channels: u32, units: u32, lanes: u32, share: u32,
    block: u32, stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> da: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> hidden: array<f32>;
@group(0) @binding(4) var<storage, read> p: array<f32>;
@group(0) @binding(5) var<storage, read> w1: array<f32>;
@group(0) @binding(6) var<storage, read> w2: array<f32>;
@group(0) @binding(7) var<storage, read_write> dp: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;

fn ds(at: u32) -> f32 {
    return da[at] * a[at] * (1.0 - a[at]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let g = group.x;
    let begin = group.y * params.share;
    let end = min(begin + params.share, params.images);
    let all_channels = params.groups * params.channels;
    let all_units = params.groups * params.units;
    let first_channel = g * params.channels;
    let first_unit = g * params.units;
    let together = 256u / params.lanes;
    // Barriers: all bounds of these loops are uniform.
    for (var n = begin; n < end; n += 1u) {
        for (var first = 0u; first < params.units; first += together) {
            let m = first + lane / params.lanes;
            var sum = 0.0;
            if m < params.units {
                for (var c = lane & (params.lanes - 1u); c < params.channels; c += params.lanes) {
                    let channel = first_channel + c;
                    sum += w2[channel * params.units + m] * ds(n * all_channels + channel);
                }
            }
            sum = sum_lanes(lane, params.lanes, sum);
            if m < params.units && (lane & (params.lanes - 1u)) == 0u {
                for (var d = 0u; d < params.descriptors; d += 1u) {
                    let at = (d * params.images + n) * all_units + first_unit + m;
                    sums[at] = select(0.0, sum, hidden[at] > 0.0);
                }
            }
        }
    }
    // The workgroup now reads what it wrote. Barrier: all invocations are here.
    storageBarrier();
    for (var d = 0u; d < params.descriptors; d += 1u) {
        for (var n = begin; n < end; n += 1u) {
            let row = (d * params.images + n) * all_units + first_unit;
            for (var c = lane; c < params.channels; c += 256u) {
                var sum = 0.0;
                for (var m = 0u; m < params.units; m += 1u) {
                    sum += w1[(first_unit + m) * params.channels + c] * sums[row + m];
                }
                dp[(d * params.images + n) * all_channels + first_channel + c] = sum;
            }
        }
    }
    let weights = params.units * params.channels;
    let to_w1 = params.block + group.y * params.stride;
    let to_b1 = to_w1 + params.groups * weights;
    let to_w2 = to_b1 + all_units;
    let to_b2 = to_w2 + params.groups * weights;
    for (var i = lane; i < weights; i += 256u) {
        let c = i % params.channels;
        let m = i / params.channels;
        var sum = 0.0;
        for (var d = 0u; d < params.descriptors; d += 1u) {
            for (var n = begin; n < end; n += 1u) {
                let image = d * params.images + n;
                sum += sums[image * all_units + first_unit + m] * p[image * all_channels + first_channel + c];
            }
        }
        sums[to_w1 + g * weights + i] = sum;
    }
    for (var i = lane; i < weights; i += 256u) {
        let m = i % params.units;
        let c = i / params.units;
        var sum = 0.0;
        for (var n = begin; n < end; n += 1u) {
            var active_units = 0.0;
            for (var d = 0u; d < params.descriptors; d += 1u) {
                active_units += hidden[(d * params.images + n) * all_units + first_unit + m];
            }
            sum += active_units * ds(n * all_channels + first_channel + c);
        }
        sums[to_w2 + g * weights + i] = sum;
    }
    for (var m = lane; m < params.units; m += 256u) {
        var sum = 0.0;
        for (var d = 0u; d < params.descriptors; d += 1u) {
            for (var n = begin; n < end; n += 1u) {
                sum += sums[(d * params.images + n) * all_units + first_unit + m];
            }
        }
        sums[to_b1 + first_unit + m] = sum;
    }
    for (var c = lane; c < params.channels; c += 256u) {
        var sum = 0.0;
        for (var n = begin; n < end; n += 1u) {
            sum += ds(n * all_channels + first_channel + c);
        }
        sums[to_b2 + first_channel + c] = f32(params.descriptors) * sum;
    }
}
