// CBAM's channel attention, one MLP a group: a = σ(Σ_d W₂·relu(W₁·p_d + b₁) + b₂), b₂ once for each descriptor.
// A workgroup takes one group of one image; `lanes` invocations share a hidden unit.
// p [descriptors, images, groups·channels], w1 [groups·units, channels], b1 [groups·units],
// w2 [groups·channels, units], b2 [groups·channels]; a [images, groups·channels],
// hidden [descriptors, images, groups·units].
struct Params { descriptors: u32, images: u32, groups: u32, channels: u32, units: u32, lanes: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read> w1: array<f32>;
@group(0) @binding(3) var<storage, read> b1: array<f32>;
@group(0) @binding(4) var<storage, read> w2: array<f32>;
@group(0) @binding(5) var<storage, read> b2: array<f32>;
@group(0) @binding(6) var<storage, read_write> a: array<f32>;
@group(0) @binding(7) var<storage, read_write> hidden: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let g = group.x;
    let n = group.y;
    let together = 256u / params.lanes;
    let pairs = params.descriptors * params.units;
    // Barriers: all bounds of this loop are uniform.
    for (var first = 0u; first < pairs; first += together) {
        let pair = first + lane / params.lanes;
        let image = min(pair / params.units, params.descriptors - 1u) * params.images + n;
        let unit = g * params.units + pair % params.units;
        let row = (image * params.groups + g) * params.channels;
        var sum = 0.0;
        if pair < pairs {
            for (var c = lane & (params.lanes - 1u); c < params.channels; c += params.lanes) {
                sum += w1[unit * params.channels + c] * p[row + c];
            }
        }
        sum = sum_lanes(lane, params.lanes, sum);
        if pair < pairs && (lane & (params.lanes - 1u)) == 0u {
            hidden[image * params.groups * params.units + unit] = relu(sum + b1[unit]);
        }
    }
    // The workgroup now reads what it wrote. Barrier: all invocations are here.
    storageBarrier();
    for (var c = lane; c < params.channels; c += 256u) {
        let channel = g * params.channels + c;
        var sum = f32(params.descriptors) * b2[channel];
        for (var d = 0u; d < params.descriptors; d += 1u) {
            let row = ((d * params.images + n) * params.groups + g) * params.units;
            for (var m = 0u; m < params.units; m += 1u) {
                sum += w2[channel * params.units + m] * hidden[row + m];
            }
        }
        a[n * params.groups * params.channels + channel] = sigmoid(sum);
    }
}
