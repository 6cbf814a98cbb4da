// The parts that all shaders of the convolution's weight gradient have.
//
// dy [images, groups·outputs, out_height, out_width], x [images, groups·inputs, height, width];
// dw [splits, groups·outputs, inputs, kernel_h, kernel_w], db [splits, groups·outputs], of which this dispatch writes
// those from first_split on; from split to split dw is dw_stride and db db_stride elements further.
struct Params {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, padding: u32, has_bias: u32, column_tiles: u32,
    split_length: u32, first_split: u32, dw_stride: u32, db_stride: u32, dy_at: u32, x_at: u32,
}

override STRIDE: u32 = 1u;
// Without padding every tap of every window lies on the map.
override PADDED: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Map>;
@group(0) @binding(2) var<storage, read> x: array<Map>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;
@group(0) @binding(4) var<storage, read_write> db: array<f32>;

// A column: where its input channel and filter place start in an image under the first window, and its row and column
// of the filter less the padding; all modulo 2³².
struct Tap {
    at: u32,
    i: u32,
    j: u32,
}

// Columns after the last repeat it.
fn tap_of(column: u32, group: u32) -> Tap {
    let area = params.kernel_h * params.kernel_w;
    let real = min(column, params.inputs * area - 1u);
    let place = real % area;
    let i = place / params.kernel_w - params.padding;
    let j = place % params.kernel_w - params.padding;
    let channel = group * params.inputs + real / area;
    return Tap(params.x_at + channel * params.height * params.width + i * params.width + j, i, j);
}

// An output pixel: its column and row, the place of its window in x and its own in dy, each in the first channel.
struct Pixel {
    column: u32,
    row: u32,
    x_at: u32,
    dy_at: u32,
}

fn pixel_of(flat: u32) -> Pixel {
    let plane = params.out_height * params.out_width;
    let column = flat % params.out_width;
    let row = flat % plane / params.out_width;
    let x_image = params.groups * params.inputs * params.height * params.width;
    let dy_image = params.groups * params.outputs * plane;
    return Pixel(
        column, row,
        flat / plane * x_image + (row * params.width + column) * STRIDE,
        flat / plane * dy_image + flat % plane,
    );
}

// What is added besides STRIDE and 1 on the way to the next pixel, modulo 2³².
struct Jumps {
    x_row: u32,
    x_image: u32,
    dy_image: u32,
}

fn jumps() -> Jumps {
    let x_image = params.groups * params.inputs * params.height * params.width;
    let plane = params.out_height * params.out_width;
    return Jumps(
        (params.width - params.out_width) * STRIDE,
        x_image - params.out_height * params.width * STRIDE,
        (params.groups * params.outputs - 1u) * plane,
    );
}

// The next pixel, without a branch.
fn step_pixel(pixel: Pixel, jumps: Jumps) -> Pixel {
    let next_column = pixel.column + 1u;
    let row_ends = next_column == params.out_width;
    let next_row = pixel.row + select(0u, 1u, row_ends);
    let image_ends = next_row == params.out_height;
    return Pixel(
        select(next_column, 0u, row_ends),
        select(next_row, 0u, image_ends),
        pixel.x_at + STRIDE + select(0u, jumps.x_row, row_ends) + select(0u, jumps.x_image, image_ends),
        pixel.dy_at + 1u + select(0u, jumps.dy_image, image_ends),
    );
}

// The input under a tap of a pixel's window.
fn input_at(pixel: Pixel, tap: Tap) -> f32 {
    let at = pixel.x_at + tap.at;
    if !PADDED {
        return from_map(x[at]);
    }
    let inside = pixel.row * STRIDE + tap.i < params.height && pixel.column * STRIDE + tap.j < params.width;
    return select(0.0, from_map(x[select(0u, at, inside)]), inside);
}

fn store_quad(at: u32, group: u32, row: u32, column: u32, values: vec4<f32>) {
    let columns = params.inputs * params.kernel_h * params.kernel_w;
    if row >= params.outputs {
        return;
    }
    let to = at + (group * params.outputs + row) * columns + column;
    if column < columns {
        dw[to] = values.x;
    }
    if column + 1u < columns {
        dw[to + 1u] = values.y;
    }
    if column + 2u < columns {
        dw[to + 2u] = values.z;
    }
    if column + 3u < columns {
        dw[to + 3u] = values.w;
    }
}
