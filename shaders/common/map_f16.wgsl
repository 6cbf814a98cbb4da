// How feature maps and their gradients lie in memory: as f16, values beyond its range as its largest; what is not finite
// stays so. Gradients, which are too small for f16, are multiplied by 2¹³ before they are rounded: those from 2⁻²⁷ to 8
// keep all 11 bits.
alias Map = f16;
alias MapQuad = vec4<f16>;

const GRADIENT_SCALE: f32 = 8192.0;
const LARGEST_IN_MAP: f32 = 65504.0;

fn from_map(kept: Map) -> f32 {
    return f32(kept);
}

fn to_map(value: f32) -> Map {
    let is_finite = (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
    return Map(select(value, clamp(value, -LARGEST_IN_MAP, LARGEST_IN_MAP), is_finite));
}

fn from_gradient(kept: Map) -> f32 {
    return f32(kept) * (1.0 / GRADIENT_SCALE);
}

fn to_gradient(value: f32) -> Map {
    return to_map(value * GRADIENT_SCALE);
}

fn from_quad(kept: MapQuad) -> vec4<f32> {
    return vec4<f32>(kept);
}

fn to_quad(values: vec4<f32>) -> MapQuad {
    return MapQuad(to_map(values.x), to_map(values.y), to_map(values.z), to_map(values.w));
}

fn from_gradients(kept: MapQuad) -> vec4<f32> {
    return vec4<f32>(kept) * (1.0 / GRADIENT_SCALE);
}
