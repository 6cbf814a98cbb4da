// The tile of an implicit matrix product by a subgroup of 8 invocations, alone in its workgroup: 64×64 outputs, without
// workgroup memory or barriers. An invocation loads 8 values of the left matrix, of every eighth row from its own on,
// and 8 of the right one, of two quads of columns; it hands its rows to the others through registers and has all rows of
// its own columns, 64×8 outputs. So each value is loaded once in a subgroup: for processors that imitate a GPU, where
// 8 invocations are a vector and a load is one for each.
const LANES: u32 = 8u;
const ROWS: u32 = 64u;
const COLUMNS: u32 = 64u;

// The left matrix is bound by fours: where the values of four products follow each other in memory they are one load.
alias Left = vec4<f32>;
alias LeftMap = MapQuad;

// 8×8 outputs: sums[2·i] and sums[2·i + 1] are the two quads of columns of row i.
alias Sums = array<vec4<f32>, 16>;

// This invocation's columns of the right matrix for one product.
struct Columns {
    first: vec4<f32>,
    second: vec4<f32>,
}

// Adds four products of 8 rows, of which each invocation has the values of one, and of this invocation's columns, one
// after the other: four at a time, since the sums are in memory.
fn add_products(sums: ptr<function, Sums>, values: vec4<f32>, a: Columns, b: Columns, c: Columns, d: Columns) {
    let row_0 = subgroupBroadcast(values, 0u);
    (*sums)[0] = (*sums)[0] + row_0.x * a.first + row_0.y * b.first + row_0.z * c.first + row_0.w * d.first;
    (*sums)[1] = (*sums)[1] + row_0.x * a.second + row_0.y * b.second + row_0.z * c.second + row_0.w * d.second;
    let row_1 = subgroupBroadcast(values, 1u);
    (*sums)[2] = (*sums)[2] + row_1.x * a.first + row_1.y * b.first + row_1.z * c.first + row_1.w * d.first;
    (*sums)[3] = (*sums)[3] + row_1.x * a.second + row_1.y * b.second + row_1.z * c.second + row_1.w * d.second;
    let row_2 = subgroupBroadcast(values, 2u);
    (*sums)[4] = (*sums)[4] + row_2.x * a.first + row_2.y * b.first + row_2.z * c.first + row_2.w * d.first;
    (*sums)[5] = (*sums)[5] + row_2.x * a.second + row_2.y * b.second + row_2.z * c.second + row_2.w * d.second;
    let row_3 = subgroupBroadcast(values, 3u);
    (*sums)[6] = (*sums)[6] + row_3.x * a.first + row_3.y * b.first + row_3.z * c.first + row_3.w * d.first;
    (*sums)[7] = (*sums)[7] + row_3.x * a.second + row_3.y * b.second + row_3.z * c.second + row_3.w * d.second;
    let row_4 = subgroupBroadcast(values, 4u);
    (*sums)[8] = (*sums)[8] + row_4.x * a.first + row_4.y * b.first + row_4.z * c.first + row_4.w * d.first;
    (*sums)[9] = (*sums)[9] + row_4.x * a.second + row_4.y * b.second + row_4.z * c.second + row_4.w * d.second;
    let row_5 = subgroupBroadcast(values, 5u);
    (*sums)[10] = (*sums)[10] + row_5.x * a.first + row_5.y * b.first + row_5.z * c.first + row_5.w * d.first;
    (*sums)[11] = (*sums)[11] + row_5.x * a.second + row_5.y * b.second + row_5.z * c.second + row_5.w * d.second;
    let row_6 = subgroupBroadcast(values, 6u);
    (*sums)[12] = (*sums)[12] + row_6.x * a.first + row_6.y * b.first + row_6.z * c.first + row_6.w * d.first;
    (*sums)[13] = (*sums)[13] + row_6.x * a.second + row_6.y * b.second + row_6.z * c.second + row_6.w * d.second;
    let row_7 = subgroupBroadcast(values, 7u);
    (*sums)[14] = (*sums)[14] + row_7.x * a.first + row_7.y * b.first + row_7.z * c.first + row_7.w * d.first;
    (*sums)[15] = (*sums)[15] + row_7.x * a.second + row_7.y * b.second + row_7.z * c.second + row_7.w * d.second;
}

// The rows that an invocation loads: every eighth of the first or the last 32.
fn rows_of(first: u32, lane: u32) -> vec4<u32> {
    return vec4<u32>(first + lane) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES);
}
