// Where a NaN must stay one. By its bits: comparisons may be compiled as if there were no NaN, max() may give the number
// beside it, and exp() may lose it.
fn is_nan(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}

// Whether a value takes the place of the largest of those before it: a larger one does, and the first NaN.
fn beats(value: f32, largest: f32) -> bool {
    return !is_nan(largest) & (is_nan(value) | (value > largest));
}

// max(value, 0). The bits of numbers below 0 are 0x80000001 to 0xff800000, that of −∞.
fn relu(value: f32) -> f32 {
    return select(value, 0.0, bitcast<u32>(value) - 0x80000001u < 0x7f800000u);
}

// 1/(1 + exp(−value)).
fn sigmoid(value: f32) -> f32 {
    return select(1.0 / (1.0 + exp(-value)), value, is_nan(value));
}
