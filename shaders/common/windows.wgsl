// Four windows, for each of the four columns of a quad.
struct Windows {
    at: vec4<u32>,
    rows: vec4<u32>,
    columns: vec4<u32>,
}

fn windows_of(pixel: u32, group: u32) -> Windows {
    let a = window_of(pixel, group);
    let b = window_of(pixel + 1u, group);
    let c = window_of(pixel + 2u, group);
    let d = window_of(pixel + 3u, group);
    return Windows(
        vec4<u32>(a.at, b.at, c.at, d.at),
        vec4<u32>(a.rows, b.rows, c.rows, d.rows),
        vec4<u32>(a.columns, b.columns, c.columns, d.columns),
    );
}

// Whether the filter's place i, j lies on the map.
fn are_inside(windows: Windows, i: u32, j: u32) -> vec4<bool> {
    if !PADDED {
        return vec4<bool>(true);
    }
    let bits = (windows.rows >> vec4<u32>(i)) & (windows.columns >> vec4<u32>(j)) & vec4<u32>(1u);
    return bits != vec4<u32>();
}

// Inputs, or 0 where the filter's place is outside the map.
fn inputs_or_zero(places: vec4<u32>, are_inside: vec4<bool>) -> vec4<f32> {
    let at = select(vec4<u32>(), places, are_inside);
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), are_inside);
}
