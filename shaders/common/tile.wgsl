// The tile of an implicit matrix product: 64 invocations compute 128×64 outputs (TALL) or 64×128, STEP products at a
// time, each 16×8 or 8×16 of them.
//
// `long` holds STEP × 128 rows of the left matrix (TALL) or columns of the right one, `short` STEP × 64 of the other,
// four adjacent to a vector. Loading, invocation `lane` has the places `lane` and `lane + 64` of the long side and
// `lane` of the short one, so that neighbours write neighbouring words. Multiplying, the invocation at `row` and
// `column` of 8×8 has every eighth quad of the rows from `row` on and of the columns from `column` on, so that
// neighbours read neighbouring vectors.
override TALL: bool = true;

const STEP: u32 = 16u;
const LONG_QUADS: u32 = 32u;
const SHORT_QUADS: u32 = 16u;

var<workgroup> long: array<vec4<f32>, 512>;
var<workgroup> short: array<vec4<f32>, 256>;

// 8×8 outputs: sums[2·i] and sums[2·i + 1] are the left and right columns of row i of two quads.
alias Sums = array<vec4<f32>, 16>;

fn tile_rows() -> u32 {
    return select(64u, 128u, TALL);
}

fn tile_columns() -> u32 {
    return select(128u, 64u, TALL);
}

fn load_tiles(step: u32, lane: u32, long_a: f32, long_b: f32, short_a: f32) {
    long[step * LONG_QUADS + lane / 4u][lane % 4u] = long_a;
    long[step * LONG_QUADS + 16u + lane / 4u][lane % 4u] = long_b;
    short[step * SHORT_QUADS + lane / 4u][lane % 4u] = short_a;
}

fn add_products(sums: ptr<function, Sums>, top: vec4<f32>, bottom: vec4<f32>, left: vec4<f32>, right: vec4<f32>) {
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

// Adds the products of the two tiles: `far` has the outputs 64 further along the long side than `near`.
fn multiply_tiles(near: ptr<function, Sums>, far: ptr<function, Sums>, row: u32, column: u32) {
    for (var k = 0u; k < STEP; k += 1u) {
        let long_at = k * LONG_QUADS + select(column, row, TALL);
        let short_at = k * SHORT_QUADS + select(row, column, TALL);
        let first = short[short_at];
        let second = short[short_at + 8u];
        if TALL {
            add_products(near, long[long_at], long[long_at + 8u], first, second);
            add_products(far, long[long_at + 16u], long[long_at + 24u], first, second);
        } else {
            add_products(near, first, second, long[long_at], long[long_at + 8u]);
            add_products(far, first, second, long[long_at + 16u], long[long_at + 24u]);
        }
    }
}

const NOWHERE: u32 = 0xffffffffu;
