// The tile of an implicit matrix product: 8×8 invocations compute 64×64 outputs, 8×8 each, STEP products at a time.
//
// tile_a holds STEP × 64 rows of the left matrix, tile_b STEP × 64 columns of the right one, four adjacent to a
// vector. An invocation owns rows 4·row..4·row+4 and 32 more below, and columns likewise, so that neighbours read
// neighbouring vectors.
const TILE: u32 = 64u;
const STEP: u32 = 16u;
const QUADS: u32 = 16u;

var<workgroup> tile_a: array<vec4<f32>, 256>;
var<workgroup> tile_b: array<vec4<f32>, 256>;

alias Sums = array<vec4<f32>, 16>;

// Adds the products of the two tiles; sums[2·i] and sums[2·i+1] are row i's left and right columns.
fn multiply_tiles(sums: ptr<function, Sums>, row: u32, column: u32) {
    for (var k = 0u; k < STEP; k += 1u) {
        let top = tile_a[k * QUADS + row];
        let bottom = tile_a[k * QUADS + 8u + row];
        let left = tile_b[k * QUADS + column];
        let right = tile_b[k * QUADS + 8u + column];
        (*sums)[0] += top.x * left;
        (*sums)[1] += top.x * right;
        (*sums)[2] += top.y * left;
        (*sums)[3] += top.y * right;
        (*sums)[4] += top.z * left;
        (*sums)[5] += top.z * right;
        (*sums)[6] += top.w * left;
        (*sums)[7] += top.w * right;
        (*sums)[8] += bottom.x * left;
        (*sums)[9] += bottom.x * right;
        (*sums)[10] += bottom.y * left;
        (*sums)[11] += bottom.y * right;
        (*sums)[12] += bottom.z * left;
        (*sums)[13] += bottom.z * right;
        (*sums)[14] += bottom.w * left;
        (*sums)[15] += bottom.w * right;
    }
}

const NOWHERE: u32 = 0xffffffffu;
