// What the tile of a workgroup holds in its memory of the two matrices: f32.
alias Held = f32;
alias HeldQuad = vec4<f32>;

fn held_row(value: f32) -> Held {
    return value;
}

fn held_column(value: f32) -> Held {
    return value;
}

fn row_quad(held: HeldQuad) -> vec4<f32> {
    return held;
}

fn column_quad(held: HeldQuad) -> vec4<f32> {
    return held;
}
