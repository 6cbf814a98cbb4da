// Mean and maximum over all pixels of each map, and the pixel of the first maximum.
// `lanes` invocations share a map, 256 / lanes maps a workgroup.
// x [maps, plane]; y [descriptors, all_maps], of which maps first..first+maps are written; positions [all_maps].
struct Params { maps: u32, plane: u32, lanes: u32, all_maps: u32, first: u32, average: u32, maximum: u32, x_at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> positions: array<f32>;

var<workgroup> pixels: array<u32, 256>;

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
    var sum = 0.0;
    var largest = 0.0;
    // `plane` stands for no pixel: lanes beyond the map have none.
    var pixel = params.plane;
    if inside {
        for (var i = start; i < params.plane; i += params.lanes) {
            let value = x[base + i];
            sum += value;
            if pixel == params.plane || value > largest {
                largest = value;
                pixel = i;
            }
        }
    }
    // Barriers: every invocation gets here, and loops over `lanes`, which is uniform.
    sum = sum_lanes(lane, params.lanes, sum);
    workgroupBarrier();
    scratch[lane] = largest;
    pixels[lane] = pixel;
    workgroupBarrier();
    for (var span = params.lanes / 2u; span > 0u; span /= 2u) {
        if start < span {
            let here = pixels[lane];
            let other = pixels[lane + span];
            let value = scratch[lane + span];
            let wins = value > scratch[lane] || (value == scratch[lane] && other < here);
            if other < params.plane && (here == params.plane || wins) {
                scratch[lane] = value;
                pixels[lane] = other;
            }
        }
        workgroupBarrier();
    }
    if inside && start == 0u {
        let at = params.first + map;
        if params.average != 0u {
            y[at] = sum / f32(params.plane);
        }
        if params.maximum != 0u {
            y[params.average * params.all_maps + at] = scratch[lane];
            positions[at] = f32(pixels[lane]);
        } else {
            positions[at] = 0.0;
        }
    }
}
