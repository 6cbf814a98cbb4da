// Rows divided by their lengths: y = x / √(Σ x² + eps). Eight invocations share a row.
// x, y [rows, features].
struct Params { rows: u32, features: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const LANES: u32 = 8u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_index(group, counts, lane) / LANES;
    let first = row * params.features;
    // 0 past the last row.
    let length = select(0u, params.features, row < params.rows);
    var squares = 0.0;
    for (var f = lane % LANES; f < length; f += LANES) {
        squares += x[first + f] * x[first + f];
    }
    // Barriers: all invocations come here.
    let norm = sqrt(sum_lanes(lane, LANES, squares) + params.eps);
    for (var f = lane % LANES; f < length; f += LANES) {
        y[first + f] = x[first + f] / norm;
    }
}
