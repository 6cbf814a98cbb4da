// Mean and maximum over all pixels of each map, and the pixel of the first maximum.
// `lanes` invocations share a map, 256 / lanes maps a workgroup.
// x [maps, plane]; y [descriptors, all_maps], of which maps first..first+maps are written; positions [all_maps].
struct Params { maps: u32, plane: u32, lanes: u32, all_maps: u32, first: u32, average: u32, maximum: u32, x_at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Map>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> positions: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let map = flat_group(group, counts) * (256u / params.lanes) + lane / params.lanes;
    let start = lane & (params.lanes - 1u);
    let inside = map < params.maps;
    let base = params.x_at + map * params.plane;
    var part = nothing();
    if inside {
        for (var i = start; i < params.plane; i += params.lanes) {
            part = with_element(part, from_map(x[base + i]), i);
        }
    }
    // Barriers: every invocation gets here.
    let all = describe_lanes(lane, params.lanes, part);
    if inside && start == 0u {
        let at = params.first + map;
        if params.average != 0u {
            y[at] = all.sum / f32(params.plane);
        }
        if params.maximum != 0u {
            y[params.average * params.all_maps + at] = all.largest;
            positions[at] = f32(all.place);
        } else {
            positions[at] = 0.0;
        }
    }
}
