// The tile of an implicit matrix product by cooperative matrices: four subgroups compute 64×128 outputs, each 32×64 of
// them in 2×4 matrices of 16×16, from 16 products between two barriers. Operands are rounded to f16, sums stay f32.
//
// `left` holds ROWS values of the left matrix for each product, `right` COLUMNS of the right one. Loading, an
// invocation has the column of its own number, and the first ROWS of them also a row.
enable f16;
enable wgpu_cooperative_matrix;

const ROWS: u32 = 64u;
const COLUMNS: u32 = 128u;
const INVOCATIONS: u32 = 128u;
const STEP: u32 = 16u;
const SIDE: u32 = 16u;

// Powers of 2 by which the matrices are multiplied before they are rounded: gradients are too small for f16.
override ROW_SCALE: f32 = 1.0;
override COLUMN_SCALE: f32 = 1.0;
override UNSCALE: f32 = 1.0 / (ROW_SCALE * COLUMN_SCALE);
const LARGEST: f32 = 65504.0;

var<workgroup> left: array<f16, 1024>;
var<workgroup> right: array<f16, 2048>;
// A matrix of sums of each subgroup, on its way to the output.
var<workgroup> results: array<f32, 1024>;

// The sums of a subgroup: two rows of four matrices.
struct Sums {
    a: coop_mat16x16<f32, C>,
    b: coop_mat16x16<f32, C>,
    c: coop_mat16x16<f32, C>,
    d: coop_mat16x16<f32, C>,
    e: coop_mat16x16<f32, C>,
    f: coop_mat16x16<f32, C>,
    g: coop_mat16x16<f32, C>,
    h: coop_mat16x16<f32, C>,
}

// Values beyond f16's range become its largest; what is not finite stays so.
fn held(value: f32) -> f16 {
    return f16(select(clamp(value, -LARGEST, LARGEST), value, (bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u));
}

fn load_row(k: u32, row: u32, value: f32) {
    left[k * ROWS + row] = held(value * ROW_SCALE);
}

fn load_column(k: u32, column: u32, value: f32) {
    right[k * COLUMNS + column] = held(value * COLUMN_SCALE);
}

// Where a subgroup's outputs start in the tile.
fn row_of(subgroup: u32) -> u32 {
    return subgroup / 2u * 32u;
}

fn column_of(subgroup: u32) -> u32 {
    return subgroup % 2u * 64u;
}

// Adds STEP products. `left` lies by columns, hence coopLoad, and `right` by rows, hence coopLoadT.
fn multiply_tiles(sums: ptr<function, Sums>, subgroup: u32) {
    let row = row_of(subgroup);
    let column = column_of(subgroup);
    let upper = coopLoad<coop_mat16x16<f16, A>>(&left[row], ROWS);
    let lower = coopLoad<coop_mat16x16<f16, A>>(&left[row + SIDE], ROWS);
    let first = coopLoadT<coop_mat16x16<f16, B>>(&right[column], COLUMNS);
    (*sums).a = coopMultiplyAdd(upper, first, (*sums).a);
    (*sums).e = coopMultiplyAdd(lower, first, (*sums).e);
    let second = coopLoadT<coop_mat16x16<f16, B>>(&right[column + SIDE], COLUMNS);
    (*sums).b = coopMultiplyAdd(upper, second, (*sums).b);
    (*sums).f = coopMultiplyAdd(lower, second, (*sums).f);
    let third = coopLoadT<coop_mat16x16<f16, B>>(&right[column + 2u * SIDE], COLUMNS);
    (*sums).c = coopMultiplyAdd(upper, third, (*sums).c);
    (*sums).g = coopMultiplyAdd(lower, third, (*sums).g);
    let fourth = coopLoadT<coop_mat16x16<f16, B>>(&right[column + 3u * SIDE], COLUMNS);
    (*sums).d = coopMultiplyAdd(upper, fourth, (*sums).d);
    (*sums).h = coopMultiplyAdd(lower, fourth, (*sums).h);
}
