// Activation: y = f(x) for each element.
// x, y [elements].
struct Params { elements: u32 }

override SIGMOID: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    let value = x[i];
    if SIGMOID {
        y[i] = sigmoid(value);
    } else {
        y[i] = relu(value);
    }
}
