// How the feature maps, and the gradients of some, that are read lie in memory: as f32.
alias Map = f32;
alias MapQuad = vec4<f32>;

fn from_map(kept: Map) -> f32 {
    return kept;
}

fn from_gradient(kept: Map) -> f32 {
    return kept;
}

fn from_map_quad(kept: MapQuad) -> vec4<f32> {
    return kept;
}

fn from_gradient_quad(kept: MapQuad) -> vec4<f32> {
    return kept;
}
