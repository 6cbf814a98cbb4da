// Gradient of activation, from its output: dx = dy·f'(x).
// dy, y, dx [elements].
struct Params { elements: u32 }

override SIGMOID: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

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
    if SIGMOID {
        dx[i] = dy[i] * y[i] * (1.0 - y[i]);
    } else {
        dx[i] = select(0.0, dy[i], y[i] > 0.0);
    }
}
