// How the feature maps, and the gradients of some, that are written lie in memory: as f32.
alias NewMap = f32;
alias NewMapQuad = vec4<f32>;

fn to_map(value: f32) -> NewMap {
    return value;
}

fn to_gradient(value: f32) -> NewMap {
    return value;
}

fn to_map_quad(values: vec4<f32>) -> NewMapQuad {
    return values;
}

fn to_gradient_quad(values: vec4<f32>) -> NewMapQuad {
    return values;
}
