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
