// The tile of an implicit matrix product: HIGH × WIDE invocations compute 16·HIGH × 8·WIDE outputs (TALL) or
// 8·HIGH × 16·WIDE, each 16×8 or 8×16 of them, from at most STEP products between two barriers.
//
// `left` holds ROWS values of the left matrix for each product, `right` COLUMNS of the right one, four adjacent to a
// vector; in what precision, held.wgsl or held_f16.wgsl says. Loading, an invocation has the row and the column of its
// own number, so that neighbours write neighbouring words, and where there are more rows or columns than invocations
// (FAR_ROWS, FAR_COLUMNS; twice as many at most) also the one INVOCATIONS further. Multiplying, it has every HIGHth quad
// of the rows from its own on and every WIDEth quad of the columns, so that neighbours read neighbouring vectors.
override HIGH: u32 = 8u;
override WIDE: u32 = 8u;
// Even, since products are added two at a time.
override STEP: u32 = 16u;
override TALL: bool = true;

override INVOCATIONS: u32 = HIGH * WIDE;
override ROWS: u32 = HIGH * (8u + 8u * u32(TALL));
override COLUMNS: u32 = WIDE * (16u - 8u * u32(TALL));
override FAR_ROWS: bool = ROWS > INVOCATIONS;
override FAR_COLUMNS: bool = COLUMNS > INVOCATIONS;
override ROW_QUADS: u32 = ROWS / 4u;
override COLUMN_QUADS: u32 = COLUMNS / 4u;
override LEFT_SIZE: u32 = STEP * ROW_QUADS;
override RIGHT_SIZE: u32 = STEP * COLUMN_QUADS;

var<workgroup> left: array<HeldQuad, LEFT_SIZE>;
var<workgroup> right: array<HeldQuad, RIGHT_SIZE>;

// 8×8 outputs: sums[2·i] and sums[2·i + 1] are the left and right columns of row i of two quads.
alias Sums = array<vec4<f32>, 16>;

fn load_row(k: u32, row: u32, value: f32) {
    left[k * ROW_QUADS + row / 4u][row % 4u] = held_row(value);
}

fn load_column(k: u32, column: u32, value: f32) {
    right[k * COLUMN_QUADS + column / 4u][column % 4u] = held_column(value);
}

// Zeros at place k: what an odd `count` of products needs behind it.
fn load_zeros(k: u32, lane: u32) {
    load_row(k, lane, 0.0);
    load_column(k, lane, 0.0);
    if FAR_ROWS {
        load_row(k, lane + INVOCATIONS, 0.0);
    }
    if FAR_COLUMNS {
        load_column(k, lane + INVOCATIONS, 0.0);
    }
}

// Two products at a time: adapters that compute on the processor keep the sums in memory.
fn add_products(
    sums: ptr<function, Sums>, top: vec4<f32>, bottom: vec4<f32>, first: vec4<f32>, second: vec4<f32>,
    odd_top: vec4<f32>, odd_bottom: vec4<f32>, odd_first: vec4<f32>, odd_second: vec4<f32>,
) {
    (*sums)[0] += top.x * first + odd_top.x * odd_first;
    (*sums)[1] += top.x * second + odd_top.x * odd_second;
    (*sums)[2] += top.y * first + odd_top.y * odd_first;
    (*sums)[3] += top.y * second + odd_top.y * odd_second;
    (*sums)[4] += top.z * first + odd_top.z * odd_first;
    (*sums)[5] += top.z * second + odd_top.z * odd_second;
    (*sums)[6] += top.w * first + odd_top.w * odd_first;
    (*sums)[7] += top.w * second + odd_top.w * odd_second;
    (*sums)[8] += bottom.x * first + odd_bottom.x * odd_first;
    (*sums)[9] += bottom.x * second + odd_bottom.x * odd_second;
    (*sums)[10] += bottom.y * first + odd_bottom.y * odd_first;
    (*sums)[11] += bottom.y * second + odd_bottom.y * odd_second;
    (*sums)[12] += bottom.z * first + odd_bottom.z * odd_first;
    (*sums)[13] += bottom.z * second + odd_bottom.z * odd_second;
    (*sums)[14] += bottom.w * first + odd_bottom.w * odd_first;
    (*sums)[15] += bottom.w * second + odd_bottom.w * odd_second;
}

// Adds the first `count` products, and one more where that is odd: `far` has the outputs 8·HIGH rows (TALL) or 8·WIDE
// columns after those of `near`.
fn multiply_tiles(near: ptr<function, Sums>, far: ptr<function, Sums>, row: u32, column: u32, count: u32) {
    for (var k = 0u; k < count; k += 2u) {
        let row_at = k * ROW_QUADS + row;
        let column_at = k * COLUMN_QUADS + column;
        let top = row_quad(left[row_at]);
        let bottom = row_quad(left[row_at + HIGH]);
        let first = column_quad(right[column_at]);
        let second = column_quad(right[column_at + WIDE]);
        let odd_row_at = row_at + ROW_QUADS;
        let odd_column_at = column_at + COLUMN_QUADS;
        let odd_top = row_quad(left[odd_row_at]);
        let odd_bottom = row_quad(left[odd_row_at + HIGH]);
        let odd_first = column_quad(right[odd_column_at]);
        let odd_second = column_quad(right[odd_column_at + WIDE]);
        add_products(near, top, bottom, first, second, odd_top, odd_bottom, odd_first, odd_second);
        if TALL {
            let third = row_quad(left[row_at + 2u * HIGH]);
            let fourth = row_quad(left[row_at + 3u * HIGH]);
            let odd_third = row_quad(left[odd_row_at + 2u * HIGH]);
            let odd_fourth = row_quad(left[odd_row_at + 3u * HIGH]);
            add_products(far, third, fourth, first, second, odd_third, odd_fourth, odd_first, odd_second);
        } else {
            let third = column_quad(right[column_at + 2u * WIDE]);
            let fourth = column_quad(right[column_at + 3u * WIDE]);
            let odd_third = column_quad(right[odd_column_at + 2u * WIDE]);
            let odd_fourth = column_quad(right[odd_column_at + 3u * WIDE]);
            add_products(far, top, bottom, third, fourth, odd_top, odd_bottom, odd_third, odd_fourth);
        }
    }
}

// How many rows and columns `far` is from `near`.
fn far_rows() -> u32 {
    return select(0u, 8u * HIGH, TALL);
}

fn far_columns() -> u32 {
    return select(8u * WIDE, 0u, TALL);
}
