// The tile of an implicit matrix product by a subgroup of 4 invocations, alone in its workgroup: 32×16 outputs, without
// workgroup memory or barriers. An invocation loads 8 values of the left matrix, of every fourth row from its own on, and
// 4 of the right one, of a quad of columns. It swaps its rows with the others and has all rows of its own columns, 32×4
// outputs. So each value is loaded once: for processors that imitate a GPU, where 4 invocations are a vector, a load is
// one for each with a check of its place, and a swap is a single instruction, which a broadcast is not.
const LANES: u32 = 4u;
const ROWS: u32 = 32u;
const COLUMNS: u32 = 16u;

// The left matrix is bound value by value.
alias Left = f32;
alias LeftMap = Map;

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
    (*sums)[0].x += rows.x * columns.x + odd_rows.x * odd_columns.x;
    (*sums)[0].y += rows.x * columns.y + odd_rows.x * odd_columns.y;
    (*sums)[0].z += rows.x * columns.z + odd_rows.x * odd_columns.z;
    (*sums)[0].w += rows.x * columns.w + odd_rows.x * odd_columns.w;
    (*sums)[1].x += x.x * columns.x + odd_x.x * odd_columns.x;
    (*sums)[1].y += x.x * columns.y + odd_x.x * odd_columns.y;
    (*sums)[1].z += x.x * columns.z + odd_x.x * odd_columns.z;
    (*sums)[1].w += x.x * columns.w + odd_x.x * odd_columns.w;
    (*sums)[2].x += y.x * columns.x + odd_y.x * odd_columns.x;
    (*sums)[2].y += y.x * columns.y + odd_y.x * odd_columns.y;
    (*sums)[2].z += y.x * columns.z + odd_y.x * odd_columns.z;
    (*sums)[2].w += y.x * columns.w + odd_y.x * odd_columns.w;
    (*sums)[3].x += diagonal.x * columns.x + odd_diagonal.x * odd_columns.x;
    (*sums)[3].y += diagonal.x * columns.y + odd_diagonal.x * odd_columns.y;
    (*sums)[3].z += diagonal.x * columns.z + odd_diagonal.x * odd_columns.z;
    (*sums)[3].w += diagonal.x * columns.w + odd_diagonal.x * odd_columns.w;
    (*sums)[4].x += rows.y * columns.x + odd_rows.y * odd_columns.x;
    (*sums)[4].y += rows.y * columns.y + odd_rows.y * odd_columns.y;
    (*sums)[4].z += rows.y * columns.z + odd_rows.y * odd_columns.z;
    (*sums)[4].w += rows.y * columns.w + odd_rows.y * odd_columns.w;
    (*sums)[5].x += x.y * columns.x + odd_x.y * odd_columns.x;
    (*sums)[5].y += x.y * columns.y + odd_x.y * odd_columns.y;
    (*sums)[5].z += x.y * columns.z + odd_x.y * odd_columns.z;
    (*sums)[5].w += x.y * columns.w + odd_x.y * odd_columns.w;
    (*sums)[6].x += y.y * columns.x + odd_y.y * odd_columns.x;
    (*sums)[6].y += y.y * columns.y + odd_y.y * odd_columns.y;
    (*sums)[6].z += y.y * columns.z + odd_y.y * odd_columns.z;
    (*sums)[6].w += y.y * columns.w + odd_y.y * odd_columns.w;
    (*sums)[7].x += diagonal.y * columns.x + odd_diagonal.y * odd_columns.x;
    (*sums)[7].y += diagonal.y * columns.y + odd_diagonal.y * odd_columns.y;
    (*sums)[7].z += diagonal.y * columns.z + odd_diagonal.y * odd_columns.z;
    (*sums)[7].w += diagonal.y * columns.w + odd_diagonal.y * odd_columns.w;
    (*sums)[8].x += rows.z * columns.x + odd_rows.z * odd_columns.x;
    (*sums)[8].y += rows.z * columns.y + odd_rows.z * odd_columns.y;
    (*sums)[8].z += rows.z * columns.z + odd_rows.z * odd_columns.z;
    (*sums)[8].w += rows.z * columns.w + odd_rows.z * odd_columns.w;
    (*sums)[9].x += x.z * columns.x + odd_x.z * odd_columns.x;
    (*sums)[9].y += x.z * columns.y + odd_x.z * odd_columns.y;
    (*sums)[9].z += x.z * columns.z + odd_x.z * odd_columns.z;
    (*sums)[9].w += x.z * columns.w + odd_x.z * odd_columns.w;
    (*sums)[10].x += y.z * columns.x + odd_y.z * odd_columns.x;
    (*sums)[10].y += y.z * columns.y + odd_y.z * odd_columns.y;
    (*sums)[10].z += y.z * columns.z + odd_y.z * odd_columns.z;
    (*sums)[10].w += y.z * columns.w + odd_y.z * odd_columns.w;
    (*sums)[11].x += diagonal.z * columns.x + odd_diagonal.z * odd_columns.x;
    (*sums)[11].y += diagonal.z * columns.y + odd_diagonal.z * odd_columns.y;
    (*sums)[11].z += diagonal.z * columns.z + odd_diagonal.z * odd_columns.z;
    (*sums)[11].w += diagonal.z * columns.w + odd_diagonal.z * odd_columns.w;
    (*sums)[12].x += rows.w * columns.x + odd_rows.w * odd_columns.x;
    (*sums)[12].y += rows.w * columns.y + odd_rows.w * odd_columns.y;
    (*sums)[12].z += rows.w * columns.z + odd_rows.w * odd_columns.z;
    (*sums)[12].w += rows.w * columns.w + odd_rows.w * odd_columns.w;
    (*sums)[13].x += x.w * columns.x + odd_x.w * odd_columns.x;
    (*sums)[13].y += x.w * columns.y + odd_x.w * odd_columns.y;
    (*sums)[13].z += x.w * columns.z + odd_x.w * odd_columns.z;
    (*sums)[13].w += x.w * columns.w + odd_x.w * odd_columns.w;
    (*sums)[14].x += y.w * columns.x + odd_y.w * odd_columns.x;
    (*sums)[14].y += y.w * columns.y + odd_y.w * odd_columns.y;
    (*sums)[14].z += y.w * columns.z + odd_y.w * odd_columns.z;
    (*sums)[14].w += y.w * columns.w + odd_y.w * odd_columns.w;
    (*sums)[15].x += diagonal.w * columns.x + odd_diagonal.w * odd_columns.x;
    (*sums)[15].y += diagonal.w * columns.y + odd_diagonal.w * odd_columns.y;
    (*sums)[15].z += diagonal.w * columns.z + odd_diagonal.w * odd_columns.z;
    (*sums)[15].w += diagonal.w * columns.w + odd_diagonal.w * odd_columns.w;
}

// The rows that an invocation loads: every fourth of 16.
fn rows_of(first: u32, lane: u32) -> vec4<u32> {
    return vec4<u32>(first + lane) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES);
}

// SwiftShader hands its workgroups out in 16 batches, of every sixteenth: the place among `count` tiles at which the
// tiles of a batch follow each other, so that what one has read is near for the next.
const BATCHES: u32 = 16u;

fn place_among(workgroup: u32, count: u32) -> u32 {
    let batch = workgroup % BATCHES;
    return batch * (count / BATCHES) + min(batch, count % BATCHES) + workgroup / BATCHES;
}
