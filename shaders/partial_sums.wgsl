// Completes sums that were computed in parts: each row of the table says which elements of y are the sums of which
// blocks of the partial sums. A workgroup takes one row.
// table [rows, 5]: first partial sum, first result, results, blocks, elements from block to block;
// sums [elements of all blocks], y [results of all rows].
struct Params { rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, counts);
    if row >= params.rows {
        return;
    }
    let begin = table[row * 5u];
    let into = table[row * 5u + 1u];
    let results = table[row * 5u + 2u];
    let blocks = table[row * 5u + 3u];
    let stride = table[row * 5u + 4u];
    for (var i = lane; i < results; i += 256u) {
        var sum = 0.0;
        for (var block = 0u; block < blocks; block += 1u) {
            sum += sums[begin + block * stride + i];
        }
        y[into + i] = sum;
    }
}
