// Weighted sum: y = act(Σ weight·x) over 1 to 4 tensors; where there are fewer, the others are bound to the first and
// not read.
// x0, x1, x2, x3, y [elements].
struct Params { elements: u32, count: u32, weight0: f32, weight1: f32, weight2: f32, weight3: f32 }

// 0 none, 1 ReLU, 2 sigmoid.
override ACTIVATION: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x0: array<f32>;
@group(0) @binding(2) var<storage, read> x1: array<f32>;
@group(0) @binding(3) var<storage, read> x2: array<f32>;
@group(0) @binding(4) var<storage, read> x3: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.elements {
        return;
    }
    var sum = params.weight0 * x0[i];
    if params.count > 1u {
        sum += params.weight1 * x1[i];
    }
    if params.count > 2u {
        sum += params.weight2 * x2[i];
    }
    if params.count > 3u {
        sum += params.weight3 * x3[i];
    }
    if ACTIVATION == 1u {
        sum = relu(sum);
    }
    if ACTIVATION == 2u {
        sum = sigmoid(sum);
    }
    y[i] = sum;
}
