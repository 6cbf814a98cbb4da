// Gradient of the cross-entropy: dz = dloss·weight_b/images·(softmax(z)·Σ t − t). An invocation takes one branch of
// one image.
// dloss [1], logits, dz [images, branches, classes], targets [images, rows, classes], rows 1 or branches, weights [branches].
struct Params { images: u32, branches: u32, classes: u32, rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dloss: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<f32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;

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
    let row = i * params.classes;
    let target_row = (i / params.branches * params.rows + i % params.branches % params.rows) * params.classes;
    var largest = logits[row];
    var shares = targets[target_row];
    for (var k = 1u; k < params.classes; k += 1u) {
        largest = max(largest, logits[row + k]);
        shares += targets[target_row + k];
    }
    var sum = 0.0;
    for (var k = 0u; k < params.classes; k += 1u) {
        sum += exp(logits[row + k] - largest);
    }
    let scale = dloss[0] * weights[i % params.branches] / f32(params.images);
    for (var k = 0u; k < params.classes; k += 1u) {
        dz[row + k] = scale * (exp(logits[row + k] - largest) / sum * shares - targets[target_row + k]);
    }
}
