// Pooled RBF similarity of learners: S[l,k] = mean_n exp(−γ‖φ_l(x_n) − φ_k(x_n)‖²). A workgroup takes a pair l ≤ k;
// 8 invocations share an image.
// maps [images, learners, features], gamma [1]; s [learners, learners], kernels [images, learners, learners].
struct Params { images: u32, learners: u32, features: u32, zero_diagonal: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> maps: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> s: array<f32>;
@group(0) @binding(4) var<storage, read_write> kernels: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let l = group.x;
    let k = group.y;
    // The same for the whole workgroup.
    if k < l {
        return;
    }
    let left_out = l == k && params.zero_diagonal != 0u;
    var total = 0.0;
    // Barriers: `images` is uniform, and all invocations make every turn.
    for (var first = 0u; first < params.images; first += 32u) {
        let n = first + lane / 8u;
        var distance = 0.0;
        if n < params.images {
            let a = (n * params.learners + l) * params.features;
            let b = (n * params.learners + k) * params.features;
            for (var f = lane % 8u; f < params.features; f += 8u) {
                let difference = maps[a + f] - maps[b + f];
                distance += difference * difference;
            }
        }
        distance = sum_lanes(lane, 8u, distance);
        if n < params.images && lane % 8u == 0u {
            let value = select(exp(-gamma[0] * distance), 0.0, left_out);
            kernels[(n * params.learners + l) * params.learners + k] = value;
            kernels[(n * params.learners + k) * params.learners + l] = value;
            total += value;
        }
    }
    total = sum_lanes(lane, 256u, total) / f32(params.images);
    if lane == 0u {
        s[l * params.learners + k] = total;
        s[k * params.learners + l] = total;
    }
}
