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

// Adds two products of 8 rows, of which each invocation has one value, and of this invocation's columns, one after the
// other: two at a time, since the sums are in memory.
fn add_products(
    sums: ptr<function, Sums>, value: f32, first: vec4<f32>, second: vec4<f32>,
    odd_value: f32, odd_first: vec4<f32>, odd_second: vec4<f32>,
) {
    let row_0 = subgroupBroadcast(value, 0u);
    let odd_0 = subgroupBroadcast(odd_value, 0u);
    (*sums)[0] = (*sums)[0] + row_0 * first + odd_0 * odd_first;
    (*sums)[1] = (*sums)[1] + row_0 * second + odd_0 * odd_second;
    let row_1 = subgroupBroadcast(value, 1u);
    let odd_1 = subgroupBroadcast(odd_value, 1u);
    (*sums)[2] = (*sums)[2] + row_1 * first + odd_1 * odd_first;
    (*sums)[3] = (*sums)[3] + row_1 * second + odd_1 * odd_second;
    let row_2 = subgroupBroadcast(value, 2u);
    let odd_2 = subgroupBroadcast(odd_value, 2u);
    (*sums)[4] = (*sums)[4] + row_2 * first + odd_2 * odd_first;
    (*sums)[5] = (*sums)[5] + row_2 * second + odd_2 * odd_second;
    let row_3 = subgroupBroadcast(value, 3u);
    let odd_3 = subgroupBroadcast(odd_value, 3u);
    (*sums)[6] = (*sums)[6] + row_3 * first + odd_3 * odd_first;
    (*sums)[7] = (*sums)[7] + row_3 * second + odd_3 * odd_second;
    let row_4 = subgroupBroadcast(value, 4u);
    let odd_4 = subgroupBroadcast(odd_value, 4u);
    (*sums)[8] = (*sums)[8] + row_4 * first + odd_4 * odd_first;
    (*sums)[9] = (*sums)[9] + row_4 * second + odd_4 * odd_second;
    let row_5 = subgroupBroadcast(value, 5u);
    let odd_5 = subgroupBroadcast(odd_value, 5u);
    (*sums)[10] = (*sums)[10] + row_5 * first + odd_5 * odd_first;
    (*sums)[11] = (*sums)[11] + row_5 * second + odd_5 * odd_second;
    let row_6 = subgroupBroadcast(value, 6u);
    let odd_6 = subgroupBroadcast(odd_value, 6u);
    (*sums)[12] = (*sums)[12] + row_6 * first + odd_6 * odd_first;
    (*sums)[13] = (*sums)[13] + row_6 * second + odd_6 * odd_second;
    let row_7 = subgroupBroadcast(value, 7u);
    let odd_7 = subgroupBroadcast(odd_value, 7u);
    (*sums)[14] = (*sums)[14] + row_7 * first + odd_7 * odd_first;
    (*sums)[15] = (*sums)[15] + row_7 * second + odd_7 * odd_second;
}

// The rows that an invocation loads: every eighth of the first or the last 32.
fn rows_of(first: u32, lane: u32) -> vec4<u32> {
    return vec4<u32>(first + lane) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES);
}
