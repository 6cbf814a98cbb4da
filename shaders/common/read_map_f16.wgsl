// How the feature maps, and the gradients of some, that are read lie in memory: as write_map_f16.wgsl has them.
alias Map = f16;
alias MapQuad = vec4<f16>;

const ORIGINAL_SIZE: f32 = 1.0 / 8192.0;

fn from_map(kept: Map) -> f32 {
    return f32(kept);
}

fn from_gradient(kept: Map) -> f32 {
    return f32(kept) * ORIGINAL_SIZE;
}

fn from_map_quad(kept: MapQuad) -> vec4<f32> {
    return vec4<f32>(kept);
}

fn from_gradient_quad(kept: MapQuad) -> vec4<f32> {
    return vec4<f32>(kept) * ORIGINAL_SIZE;
}
