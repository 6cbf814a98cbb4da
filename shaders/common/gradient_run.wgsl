// Runs of dy and of x, and a run of dx, which a shader binds as vectors of four elements.
fn dy_run(at: u32, count: u32) -> vec4<f32> {
    if ALIGNED {
        return from_gradient_quad(dy[at / 4u]);
    }
    let places = places_of(at, count);
    return vec4<f32>(
        from_gradient(dy[places.x / 4u][places.x % 4u]), from_gradient(dy[places.y / 4u][places.y % 4u]),
        from_gradient(dy[places.z / 4u][places.z % 4u]), from_gradient(dy[places.w / 4u][places.w % 4u]),
    );
}

fn x_run(at: u32, count: u32) -> vec4<f32> {
    if ALIGNED {
        return from_map_quad(x[at / 4u]);
    }
    let places = places_of(at, count);
    return vec4<f32>(
        from_map(x[places.x / 4u][places.x % 4u]), from_map(x[places.y / 4u][places.y % 4u]),
        from_map(x[places.z / 4u][places.z % 4u]), from_map(x[places.w / 4u][places.w % 4u]),
    );
}

fn store_run(at: u32, count: u32, values: vec4<f32>) {
    if ALIGNED {
        dx[at / 4u] = to_gradient_quad(values);
        return;
    }
    for (var k = 0u; k < count; k += 1u) {
        dx[(at + k) / 4u][(at + k) % 4u] = to_gradient(values[k]);
    }
}
