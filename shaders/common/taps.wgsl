// Four taps, for each of the four columns of a quad.
struct Taps {
    a: Tap,
    b: Tap,
    c: Tap,
    d: Tap,
}

fn taps_of(column: u32, group: u32) -> Taps {
    return Taps(
        tap_of(column, group), tap_of(column + 1u, group), tap_of(column + 2u, group), tap_of(column + 3u, group),
    );
}

fn inputs_at(pixel: Pixel, taps: Taps) -> vec4<f32> {
    return vec4<f32>(
        input_at(pixel, taps.a), input_at(pixel, taps.b), input_at(pixel, taps.c), input_at(pixel, taps.d),
    );
}

// A pixel, or another in its place.
fn pixel_or(pixel: Pixel, other: Pixel, is_pixel: bool) -> Pixel {
    return Pixel(
        select(other.column, pixel.column, is_pixel), select(other.row, pixel.row, is_pixel),
        select(other.x_at, pixel.x_at, is_pixel), select(other.dy_at, pixel.dy_at, is_pixel),
    );
}

fn store_bias(split: u32, group: u32, row: u32, value: f32) {
    if row < params.outputs {
        db[split * params.db_stride + group * params.outputs + row] = value;
    }
}
