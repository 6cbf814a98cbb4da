// Concat, slice and its gradient: y is seen as rows of `to_row` elements, x as rows of `from_row`; the elements
// begin..begin+length of each row of y come from x's row, `from_at` on.
// With `clear` the other elements of y become 0, otherwise they stay.
// x [rows, from_row], y [rows, to_row].
struct Params {
    elements: u32, from_row: u32, from_at: u32, to_row: u32, to_at: u32, begin: u32, length: u32, clear: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    if params.clear != 0u {
        let row = i / params.to_row;
        let column = i % params.to_row;
        var value = 0.0;
        if column >= params.begin && column < params.begin + params.length {
            value = x[row * params.from_row + params.from_at + column - params.begin];
        }
        y[params.to_at + i] = value;
    } else {
        let row = i / params.length;
        let column = i % params.length;
        let to = params.to_at + row * params.to_row + params.begin + column;
        y[to] = x[row * params.from_row + params.from_at + column];
    }
}
