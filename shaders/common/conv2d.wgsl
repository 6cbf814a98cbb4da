// The parts that all shaders of the convolution and of its input gradient have.
//
// The input gradient is the TRANSPOSED convolution of dy: dx[c, h, w] = Σ_{o,i,j} weight[o, c, i, j]·
// dy[o, (h + padding − i)/stride, (w + padding − j)/stride], where the quotients are whole. `inputs` are then the
// channels of dy and `outputs` those of dx.
//
// x [images, groups·inputs, height, width], y [images, groups·outputs, out_height, out_width],
// bias [groups·outputs]; the weight of row m, channel c and place p of a group's filters is at
// m·weight_row + c·weight_channel + p.
struct Params {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, padding: u32, has_bias: u32, row_tiles: u32,
    weight_row: u32, weight_channel: u32, x_at: u32, y_at: u32,
}

override TRANSPOSED: bool = false;
// A constant, since processors that imitate a GPU divide slowly.
override STRIDE: u32 = 1u;
// Without padding every place of every window lies on the map.
override PADDED: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Map>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<NewMap>;

// Where an output pixel's window lies: the place of the filter's first element in the group's first channel of x
// (outside of the map for some, hence modulo 2³²), and which of the filter's rows and columns lie inside, as bits.
struct Window {
    at: u32,
    rows: u32,
    columns: u32,
}

// What a row or column of the filter adds to the place of its first.
fn tap(i: u32) -> u32 {
    if TRANSPOSED {
        return 0u - i / STRIDE;
    }
    return i;
}

// The first row (or column) of x under the filter's first element, modulo 2³².
fn first_of(position: u32) -> u32 {
    if TRANSPOSED {
        return (position + params.padding) / STRIDE;
    }
    return position * STRIDE - params.padding;
}

// Which of the filter's `size` rows (or columns) fall on a row of x, of which there are `extent`.
fn inside(position: u32, size: u32, extent: u32) -> u32 {
    let first = first_of(position);
    var bits = 0u;
    for (var i = 0u; i < size; i += 1u) {
        let falls = !TRANSPOSED || (position + params.padding) % STRIDE == i % STRIDE;
        bits |= select(0u, 1u << i, falls && first + tap(i) < extent);
    }
    return bits;
}

// An output pixel's image, row and column.
fn place_in(pixel: u32) -> vec3<u32> {
    let line = pixel / params.out_width;
    let column = pixel - line * params.out_width;
    let image = line / params.out_height;
    return vec3<u32>(image, line - image * params.out_height, column);
}

fn window_at(place: vec3<u32>, group: u32) -> Window {
    let image = (place.x * params.groups + group) * params.inputs * params.height * params.width;
    return Window(
        params.x_at + image + first_of(place.y) * params.width + first_of(place.z),
        inside(place.y, params.kernel_h, params.height),
        inside(place.z, params.kernel_w, params.width),
    );
}

// Pixels after the last repeat it.
fn window_of(pixel: u32, group: u32) -> Window {
    let last = params.images * params.out_height * params.out_width - 1u;
    return window_at(place_in(min(pixel, last)), group);
}

const NOWHERE: u32 = 0xffffffffu;

// Where an output pixel's value for a group's first channel goes, or NOWHERE.
fn place_of(pixel: u32, group: u32) -> u32 {
    if pixel >= params.images * params.out_height * params.out_width {
        return NOWHERE;
    }
    let place = place_in(pixel);
    let map = (place.x * params.groups + group) * params.outputs;
    return params.y_at + (map * params.out_height + place.y) * params.out_width + place.z;
}

// An element of x. That of the transposed convolution is a gradient, as is its y.
fn input(at: u32) -> f32 {
    if TRANSPOSED {
        return from_gradient(x[at]);
    }
    return from_map(x[at]);
}

// An element of y, as it is kept.
fn output(value: f32) -> NewMap {
    if TRANSPOSED {
        return to_gradient(value);
    }
    return to_map(value);
}

fn store_quad(row: u32, group: u32, places: vec4<u32>, sums: vec4<f32>) {
    if row >= params.outputs {
        return;
    }
    let offset = row * params.out_height * params.out_width;
    var values = sums;
    if params.has_bias != 0u {
        values += bias[group * params.outputs + row];
    }
    if places.x != NOWHERE {
        y[places.x + offset] = output(values.x);
    }
    if places.y != NOWHERE {
        y[places.y + offset] = output(values.y);
    }
    if places.z != NOWHERE {
        y[places.z + offset] = output(values.z);
    }
    if places.w != NOWHERE {
        y[places.w + offset] = output(values.w);
    }
}

// Whether the filter's place i, j lies on the map.
fn is_inside(window: Window, i: u32, j: u32) -> bool {
    return !PADDED || ((window.rows >> i) & (window.columns >> j) & 1u) != 0u;
}

fn places_of(pixel: u32, group: u32) -> vec4<u32> {
    return vec4<u32>(
        place_of(pixel, group), place_of(pixel + 1u, group), place_of(pixel + 2u, group), place_of(pixel + 3u, group),
    );
}
