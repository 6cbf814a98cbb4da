// How feature maps and their gradients lie in memory: f32.
alias Map = f32;
alias MapQuad = vec4<f32>;

fn from_map(kept: Map) -> f32 {
    return kept;
}

fn to_map(value: f32) -> Map {
    return value;
}

fn from_gradient(kept: Map) -> f32 {
    return kept;
}

fn to_gradient(value: f32) -> Map {
    return value;
}

fn from_quad(kept: MapQuad) -> vec4<f32> {
    return kept;
}

fn to_quad(values: vec4<f32>) -> MapQuad {
    return values;
}

fn from_gradients(kept: MapQuad) -> vec4<f32> {
    return kept;
}
