// The tile of an implicit matrix product by a subgroup of 8 invocations, alone in its workgroup: 64×64 outputs, without
// workgroup memory or barriers. An invocation loads 8 values of the left matrix, of every eighth row from its own on,
// and 8 of the right one, of two quads of columns; it hands its rows to the others through registers and has all rows of
// its own columns, 64×8 outputs. So each value is loaded once in a subgroup: for processors that imitate a GPU, where
// 8 invocations are a vector and a load is one for each.
const LANES: u32 = 8u;
const ROWS: u32 = 64u;
const COLUMNS: u32 = 64u;

// 8×8 outputs: sums[2·i] and sums[2·i + 1] are the two quads of columns of row i.
alias Sums = array<vec4<f32>, 16>;

// Adds the products of 8 rows, of which each invocation has one value, and of this invocation's columns.
fn add_products(sums: ptr<function, Sums>, value: f32, first: vec4<f32>, second: vec4<f32>) {
    let row_0 = subgroupBroadcast(value, 0u);
    (*sums)[0] += row_0 * first;
    (*sums)[1] += row_0 * second;
    let row_1 = subgroupBroadcast(value, 1u);
    (*sums)[2] += row_1 * first;
    (*sums)[3] += row_1 * second;
    let row_2 = subgroupBroadcast(value, 2u);
    (*sums)[4] += row_2 * first;
    (*sums)[5] += row_2 * second;
    let row_3 = subgroupBroadcast(value, 3u);
    (*sums)[6] += row_3 * first;
    (*sums)[7] += row_3 * second;
    let row_4 = subgroupBroadcast(value, 4u);
    (*sums)[8] += row_4 * first;
    (*sums)[9] += row_4 * second;
    let row_5 = subgroupBroadcast(value, 5u);
    (*sums)[10] += row_5 * first;
    (*sums)[11] += row_5 * second;
    let row_6 = subgroupBroadcast(value, 6u);
    (*sums)[12] += row_6 * first;
    (*sums)[13] += row_6 * second;
    let row_7 = subgroupBroadcast(value, 7u);
    (*sums)[14] += row_7 * first;
    (*sums)[15] += row_7 * second;
}

// The rows that an invocation loads: every eighth of the first or the last 32.
fn rows_of(first: u32, lane: u32) -> vec4<u32> {
    return vec4<u32>(first + lane) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES);
}
