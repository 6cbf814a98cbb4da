// What the tile of a workgroup holds in its memory of the two matrices: values rounded to f16, those beyond its range to
// its largest; what is not finite stays so. Products of two are exact in f32, and sums stay f32. A matrix of gradients, which are too small for f16,
// is multiplied by a power of 2 before it is rounded, and divided by it afterwards.
enable f16;

override ROW_SCALE: f32 = 1.0;
override COLUMN_SCALE: f32 = 1.0;
const LARGEST: f32 = 65504.0;

alias Held = f16;
alias HeldQuad = vec4<f16>;

fn held(value: f32) -> Held {
    return Held(select(clamp(value, -LARGEST, LARGEST), value, (bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u));
}

fn held_row(value: f32) -> Held {
    return held(value * ROW_SCALE);
}

fn held_column(value: f32) -> Held {
    return held(value * COLUMN_SCALE);
}

fn row_quad(held: HeldQuad) -> vec4<f32> {
    return vec4<f32>(held) * (1.0 / ROW_SCALE);
}

fn column_quad(held: HeldQuad) -> vec4<f32> {
    return vec4<f32>(held) * (1.0 / COLUMN_SCALE);
}
