// What batch norm does to an element, with the same rounding forwards and backwards, so that ties are the same too.

// 0 none, 1 ReLU, 2 sigmoid.
override ACTIVATION: u32 = 0u;
// Whether the activated values are pooled over windows of 2×2; an item is a window then, else an element.
override POOL: bool = false;
// Whether each plane of y is described by its average, its maximum and the place of that.
override DESCRIPTORS: bool = false;

// act(centred·scale + shift), `centred` being x − μ and scale r·weight.
fn activated(centred: f32, scale: f32, shift: f32) -> f32 {
    let value = fma(centred, scale, shift);
    if ACTIVATION == 1u {
        return relu(value);
    }
    if ACTIVATION == 2u {
        return sigmoid(value);
    }
    return value;
}

// Which of a window's values is the first largest: its top left, top right, bottom left, bottom right.
fn first_largest(top: vec2<f32>, bottom: vec2<f32>) -> u32 {
    let top_right = top.y > top.x;
    let bottom_right = bottom.y > bottom.x;
    let is_below = select(bottom.x, bottom.y, bottom_right) > select(top.x, top.y, top_right);
    return select(select(0u, 1u, top_right), select(2u, 3u, bottom_right), is_below);
}
