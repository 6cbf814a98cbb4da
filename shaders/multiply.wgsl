// Product: y = a·b for each element; b may be one number.
// a, y [elements], b [elements] or [1].
struct Params { elements: u32, scalar: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i < params.elements {
        y[i] = a[i] * b[select(i, 0u, params.scalar != 0u)];
    }
}
