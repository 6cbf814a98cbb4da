// Gradient of unit_length: with r = √(Σ x² + eps), dx = dy/r − x·(Σ x·dy)/r³. Eight invocations share a row.
// dy, x, dx [rows, features].
struct Params { rows: u32, features: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

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
    var products = 0.0;
    for (var f = lane % LANES; f < length; f += LANES) {
        squares += x[first + f] * x[first + f];
        products += x[first + f] * dy[first + f];
    }
    // Barriers: all invocations come here.
    let norm = sqrt(sum_lanes(lane, LANES, squares) + params.eps);
    let along = sum_lanes(lane, LANES, products) / norm / norm;
    for (var f = lane % LANES; f < length; f += LANES) {
        dx[first + f] = (dy[first + f] - x[first + f] * along) / norm;
    }
}
