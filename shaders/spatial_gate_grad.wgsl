// Gradient of the spatial gate: dx = dy·a, da = Σ_channels dy·x.
// A workgroup takes 32 pixels; 8 invocations share a pixel's channels.
// dy, x, dx [images, groups, channels, plane], a, da [images, groups, plane].
struct Params {
    sets: u32, channels: u32, plane: u32, dy_at: u32, x_at: u32, a_at: u32, dx_at: u32, da_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> a: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<storage, read_write> da: array<f32>;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = flat_group(group, counts) * 32u + lane % 32u;
    let slice = lane / 32u;
    let inside = flat < params.sets * params.plane;
    let row = flat / params.plane * params.channels;
    let pixel = flat % params.plane;
    var sum = 0.0;
    if inside {
        let attention = a[params.a_at + flat];
        for (var c = slice; c < params.channels; c += 8u) {
            let at = (row + c) * params.plane + pixel;
            let gradient = dy[params.dy_at + at];
            dx[params.dx_at + at] = gradient * attention;
            sum += gradient * x[params.x_at + at];
        }
    }
    sums[lane] = sum;
    // Barrier: reached by all invocations, inside or not.
    workgroupBarrier();
    if inside && slice == 0u {
        for (var other = lane + 32u; other < 256u; other += 32u) {
            sum += sums[other];
        }
        da[params.da_at + flat] = sum;
    }
}
