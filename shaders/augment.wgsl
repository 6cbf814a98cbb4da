// Training images out of a pool: y = λ·image(record) + (1 − λ)·image(its partner), an invocation a pixel.
// records [N], pool0 … pool5 [elements] with three bytes in each, y [images, 3, size, size] from image `first` on.
struct Params {
    first: u32, size: u32, y_at: u32, bgr: u32,
    mean_red: f32, mean_green: f32, mean_blue: f32, std_red: f32, std_green: f32, std_blue: f32,
}

struct Record {
    range: f32,
    start: f32,
    width: f32,
    height: f32,
    channels: f32,
    block: f32,
    warp: array<f32, 6>,
    colours: array<f32, 9>,
    top: f32,
    left: f32,
    bottom: f32,
    right: f32,
    partner: f32,
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<Record>;
@group(0) @binding(2) var<storage, read> pool0: array<f32>;
@group(0) @binding(3) var<storage, read> pool1: array<f32>;
@group(0) @binding(4) var<storage, read> pool2: array<f32>;
@group(0) @binding(5) var<storage, read> pool3: array<f32>;
@group(0) @binding(6) var<storage, read> pool4: array<f32>;
@group(0) @binding(7) var<storage, read> pool5: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<NewMap>;

// Tensors of the pool, 1 to 6; the bindings behind them show the first again.
override RANGES: u32 = 6u;

// Where an image lies, and what its colours become.
struct Source {
    range: u32,
    start: u32,
    stride: u32,
    colour: bool,
    block: u32,
    changes: array<vec3<f32>, 3>,
}

fn source_of(i: u32) -> Source {
    var changes: array<vec3<f32>, 3>;
    for (var part = 0u; part < 3u; part += 1u) {
        let first = 3u * part;
        changes[part] =
            vec3<f32>(records[i].colours[first], records[i].colours[first + 1u], records[i].colours[first + 2u]);
    }
    return Source(
        u32(records[i].range),
        64u * u32(records[i].start),
        u32(records[i].width),
        records[i].channels == 3.0,
        u32(records[i].block),
        changes,
    );
}

fn element(range: u32, i: u32) -> u32 {
    if RANGES > 1u && range == 1u {
        return u32(pool1[i]);
    }
    if RANGES > 2u && range == 2u {
        return u32(pool2[i]);
    }
    if RANGES > 3u && range == 3u {
        return u32(pool3[i]);
    }
    if RANGES > 4u && range == 4u {
        return u32(pool4[i]);
    }
    if RANGES > 5u && range == 5u {
        return u32(pool5[i]);
    }
    return u32(pool0[i]);
}

// The mean of a block of stored pixels, in [0, 1].
fn averaged(source: Source, x: u32, row: u32) -> vec3<f32> {
    var sums = vec3<u32>();
    for (var dy = 0u; dy < source.block; dy += 1u) {
        for (var dx = 0u; dx < source.block; dx += 1u) {
            let pixel = (row * source.block + dy) * source.stride + x * source.block + dx;
            let bytes = element(source.range, source.start + select(pixel / 3u, pixel, source.colour));
            let shifts = select(vec3<u32>(8u * (pixel % 3u)), vec3<u32>(0u, 8u, 16u), source.colour);
            sums += (vec3<u32>(bytes) >> shifts) & vec3<u32>(255u);
        }
    }
    return vec3<f32>(sums) * (1.0 / (255.0 * f32(source.block * source.block)));
}

// A pixel after the three changes of colour.
fn coloured(source: Source, x: u32, row: u32) -> vec3<f32> {
    var pixel = averaged(source, x, row);
    for (var part = 0u; part < 3u; part += 1u) {
        let change = source.changes[part];
        let rest = change.y * dot(pixel, vec3<f32>(0.2989, 0.587, 0.114)) + change.z;
        pixel = clamp(pixel * change.x + rest, vec3<f32>(0.0), vec3<f32>(1.0));
    }
    return pixel;
}

// How much of a pixel centred at u lies on a picture of `size` pixels.
fn tent(u: f32, size: f32) -> f32 {
    return clamp(min(u + 0.5, size + 0.5 - u), 0.0, 1.0);
}

// Rounded as on the host.
fn between(a: vec3<f32>, b: vec3<f32>, t: f32) -> vec3<f32> {
    return a + (b - a) * t;
}

// Red, green and blue of a pixel of record i's image.
fn image(i: u32, x: u32, row: u32) -> vec3<f32> {
    let width = u32(records[i].width);
    let inside = f32(row) >= records[i].top && f32(row) < records[i].bottom
        && f32(x) >= records[i].left && f32(x) < records[i].right;
    if width == 0u || inside {
        return vec3<f32>();
    }
    let source = source_of(i);
    let sides = vec2<f32>(f32(width / source.block), f32(u32(records[i].height) / source.block));
    let size = f32(params.size);
    let centre = vec2<f32>(f32(x), f32(row)) + 0.5;
    let u = records[i].warp[0] * centre.x + records[i].warp[1] * centre.y + records[i].warp[2];
    let v = records[i].warp[3] * centre.x + records[i].warp[4] * centre.y + records[i].warp[5];
    let cover = tent(u, size) * tent(v, size);
    var value = vec3<f32>();
    if cover > 0.0 {
        let at = clamp(vec2<f32>(u, v) * (sides / size) - 0.5, vec2<f32>(), sides - 1.0);
        let low = vec2<u32>(at);
        let high = min(low + 1u, vec2<u32>(sides) - 1u);
        let weight = at - vec2<f32>(low);
        let above = between(coloured(source, low.x, low.y), coloured(source, high.x, low.y), weight.x);
        let below = between(coloured(source, low.x, high.y), coloured(source, high.x, high.y), weight.x);
        value = cover * between(above, below, weight.y);
    }
    let mean = vec3<f32>(params.mean_red, params.mean_green, params.mean_blue);
    return (value - mean) / vec3<f32>(params.std_red, params.std_green, params.std_blue);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let area = params.size * params.size;
    let pixel = group.x * 256u + lane;
    if pixel >= area {
        return;
    }
    // A workgroup has one image, so that all of it goes the same way.
    let i = params.first + group.y;
    let x = pixel % params.size;
    let row = pixel / params.size;
    let share = records[i].share;
    var value = image(i, x, row);
    if share != 1.0 {
        value = share * value + (1.0 - share) * image(u32(records[i].partner), x, row);
    }
    if params.bgr != 0u {
        value = value.zyx;
    }
    let to = params.y_at + 3u * group.y * area + pixel;
    y[to] = to_map(value.x);
    y[to + area] = to_map(value.y);
    y[to + 2u * area] = to_map(value.z);
}
