// The tile of an implicit matrix product by a subgroup of 4 invocations, alone in its workgroup: 32×16 outputs, without
// workgroup memory or barriers. An invocation loads 8 values of the left matrix, of every fourth row from its own on, and
// 4 of the right one, of a quad of columns. It swaps its rows with the others and has all rows of its own columns, 32×4
// outputs. So each value is loaded once: for processors that imitate a GPU, where 4 invocations are a vector, a load is
// one for each with a check of its place, and a swap is a single instruction, which a broadcast is not.
const LANES: u32 = 4u;
const ROWS: u32 = 32u;
const COLUMNS: u32 = 16u;

// 16×4 outputs: sums[4·i + s] is the quad of columns of row 4·i + (lane xor s).
alias Sums = array<vec4<f32>, 16>;

// Adds two products of 16 rows, of which each invocation has four, and of this invocation's columns: two at a time,
// since the sums are in memory.
fn add_products(
    sums: ptr<function, Sums>, rows: vec4<f32>, columns: vec4<f32>, odd_rows: vec4<f32>, odd_columns: vec4<f32>,
) {
    let x = quadSwapX(rows);
    let y = quadSwapY(rows);
    let diagonal = quadSwapDiagonal(rows);
    let odd_x = quadSwapX(odd_rows);
    let odd_y = quadSwapY(odd_rows);
    let odd_diagonal = quadSwapDiagonal(odd_rows);
    (*sums)[0] += rows.x * columns + odd_rows.x * odd_columns;
    (*sums)[1] += x.x * columns + odd_x.x * odd_columns;
    (*sums)[2] += y.x * columns + odd_y.x * odd_columns;
    (*sums)[3] += diagonal.x * columns + odd_diagonal.x * odd_columns;
    (*sums)[4] += rows.y * columns + odd_rows.y * odd_columns;
    (*sums)[5] += x.y * columns + odd_x.y * odd_columns;
    (*sums)[6] += y.y * columns + odd_y.y * odd_columns;
    (*sums)[7] += diagonal.y * columns + odd_diagonal.y * odd_columns;
    (*sums)[8] += rows.z * columns + odd_rows.z * odd_columns;
    (*sums)[9] += x.z * columns + odd_x.z * odd_columns;
    (*sums)[10] += y.z * columns + odd_y.z * odd_columns;
    (*sums)[11] += diagonal.z * columns + odd_diagonal.z * odd_columns;
    (*sums)[12] += rows.w * columns + odd_rows.w * odd_columns;
    (*sums)[13] += x.w * columns + odd_x.w * odd_columns;
    (*sums)[14] += y.w * columns + odd_y.w * odd_columns;
    (*sums)[15] += diagonal.w * columns + odd_diagonal.w * odd_columns;
}

// The rows that an invocation loads: every fourth of 16.
fn rows_of(first: u32, lane: u32) -> vec4<u32> {
    return vec4<u32>(first + lane) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES);
}
