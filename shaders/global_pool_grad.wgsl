// Gradient of the mean and maximum over a map, added to the gradient so far.
// dy [descriptors, all_maps], of which maps from `first` on are read; positions [all_maps]; so_far, dx [maps, plane].
struct Params {
    elements: u32, plane: u32, all_maps: u32, first: u32, average: u32, maximum: u32, adds: u32,
    so_far_at: u32, dx_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<f32>;
@group(0) @binding(3) var<storage, read> so_far: array<Map>;
@group(0) @binding(4) var<storage, read_write> dx: array<NewMap>;

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
    let map = params.first + i / params.plane;
    var sum = 0.0;
    if params.adds != 0u {
        sum = from_gradient(so_far[params.so_far_at + i]);
    }
    if params.average != 0u {
        sum += dy[map] / f32(params.plane);
    }
    if params.maximum != 0u && u32(positions[map]) == i % params.plane {
        sum += dy[params.average * params.all_maps + map];
    }
    dx[params.dx_at + i] = to_gradient(sum);
}
