// Sums over an axis of `length`, and repetition along a new one.
// `sum`: x [outer, length, inner], y [outer, inner] = scale·Σ x; `repeat`: x [outer, inner], y [outer, length, inner].
struct Params { elements: u32, inner: u32, length: u32, x_at: u32, y_at: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn sum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.elements {
        return;
    }
    let first = params.x_at + i / params.inner * params.length * params.inner + i % params.inner;
    var total = 0.0;
    for (var k = 0u; k < params.length; k += 1u) {
        total += x[first + k * params.inner];
    }
    y[params.y_at + i] = total * params.scale;
}

@compute @workgroup_size(256)
fn repeat(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.elements {
        return;
    }
    let row = i / (params.length * params.inner);
    y[params.y_at + i] = x[params.x_at + row * params.inner + i % params.inner] * params.scale;
}
