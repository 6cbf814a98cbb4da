// Gradient of the mixture's cross-entropy: with p = softmax(z) and r = p / the mixture,
// dz_j = dloss·weight_b/images·(p_j·Σ_k t_k·r_k − t_j·r_j). An invocation takes one branch of one image.
// dloss [1], logits, dz [images, branches, classes], targets [images, classes], weights [branches].
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dloss: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<f32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;

// t_k·r_k.
fn part(n: u32, b: u32, k: u32, total: f32) -> f32 {
    let share = targets[n * params.classes + k];
    if share == 0.0 {
        return 0.0;
    }
    return share * exp(answer(n, b, k) - mixed(n, k, total));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.images * params.branches {
        return;
    }
    let n = i / params.branches;
    let b = i % params.branches;
    let row = i * params.classes;
    if !(weights[b] > 0.0) {
        for (var k = 0u; k < params.classes; k += 1u) {
            dz[row + k] = 0.0;
        }
        return;
    }
    normalise(n);
    let total = total_weight();
    var all = 0.0;
    for (var k = 0u; k < params.classes; k += 1u) {
        all += part(n, b, k, total);
    }
    let scale = dloss[0] * weights[b] / f32(params.images);
    for (var k = 0u; k < params.classes; k += 1u) {
        dz[row + k] = scale * (exp(answer(n, b, k)) * all - part(n, b, k, total));
    }
}
