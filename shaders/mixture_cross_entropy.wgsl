// Softmax cross-entropy of the mixture of the branches' answers. One workgroup; an invocation takes every 256th image.
// loss = W·mean_n −Σ_k t·log(Σ_b weight_b·softmax(z_b)_k / W), W the sum of the weights.
// logits [images, branches, classes], targets [images, classes], weights [branches]; loss [1].
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    let total = total_weight();
    var sum = 0.0;
    for (var n = lane; n < params.images; n += 256u) {
        normalise(n);
        for (var k = 0u; k < params.classes; k += 1u) {
            let share = targets[n * params.classes + k];
            // A class without a share adds nothing, also where its logits are −∞.
            if share != 0.0 && total > 0.0 {
                sum -= share * mixed(n, k, total);
            }
        }
    }
    // Barriers: all invocations come here.
    sum = sum_lanes(lane, 256u, sum);
    if lane == 0u {
        loss[0] = total * sum / f32(params.images);
    }
}
