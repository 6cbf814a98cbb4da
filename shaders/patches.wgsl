// Patches of maps: `cut` takes x [images, channels, rows·height, columns·width] apart into
// y [images, rows·columns·channels, height, width], `join` puts such an x together again.
struct Params { elements: u32, channels: u32, height: u32, width: u32, rows: u32, columns: u32, x_at: u32, y_at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Where element i of the stacked patches lies in the maps.
fn place(i: u32) -> u32 {
    let column = i % params.width;
    let row = i / params.width % params.height;
    let plane = i / (params.width * params.height);
    let channel = plane % params.channels;
    let tile = plane / params.channels % (params.rows * params.columns);
    let image = plane / (params.channels * params.rows * params.columns);
    let line = ((image * params.channels + channel) * params.rows + tile / params.columns) * params.height + row;
    return (line * params.columns + tile % params.columns) * params.width + column;
}

@compute @workgroup_size(256)
fn cut(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.elements {
        return;
    }
    y[params.y_at + i] = x[params.x_at + place(i)];
}

@compute @workgroup_size(256)
fn join(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.elements {
        return;
    }
    y[params.y_at + place(i)] = x[params.x_at + i];
}
