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
