// How the feature maps, and the gradients of some, that are written lie in memory: as f16, values beyond its range as its
// largest; what is not finite stays so. Gradients, which are too small for f16, are multiplied by 2¹³ before they are
// rounded: those from 2⁻²⁷ to 8 keep all 11 bits.
alias NewMap = f16;
alias NewMapQuad = vec4<f16>;

const GRADIENT_SCALE: f32 = 8192.0;
const LARGEST_IN_MAP: f32 = 65504.0;

fn to_map(value: f32) -> NewMap {
    let is_finite = (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
    return NewMap(select(value, clamp(value, -LARGEST_IN_MAP, LARGEST_IN_MAP), is_finite));
}

fn to_gradient(value: f32) -> NewMap {
    return to_map(value * GRADIENT_SCALE);
}

fn to_map_quad(values: vec4<f32>) -> NewMapQuad {
    return NewMapQuad(to_map(values.x), to_map(values.y), to_map(values.z), to_map(values.w));
}

fn to_gradient_quad(values: vec4<f32>) -> NewMapQuad {
    return to_map_quad(values * GRADIENT_SCALE);
}
