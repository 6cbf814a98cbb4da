// Map times spatial attention: y = x·a, one attention map for the channels of a group.
// x, y [images, groups, channels, plane], a [images, groups, plane].
struct Params { elements: u32, channels: u32, plane: u32, x_at: u32, a_at: u32, y_at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
    let cell = i / (params.channels * params.plane);
    y[params.y_at + i] = x[params.x_at + i] * a[params.a_at + cell * params.plane + i % params.plane];
}
