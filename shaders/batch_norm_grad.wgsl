// Gradient of batch normalisation, its activation, 2×2 max pooling and descriptors. With g the gradient of an element
// of y, dz = g·act'(z) at the first largest z of a window, 0 elsewhere, and x̂ = (x − μ)·r:
// dbias = Σ dz, dweight = Σ dz·x̂, dx = weight·r·(dz − dbias/count − x̂·dweight/count).
//
// `reduce` leaves dweight and dbias of splits of each channel; `apply` combines these and computes dx; `whole` does
// both for channels of few elements.
// x, dx [images, channels, plane], rows `width` long; dy [images, channels, outputs], rows `out_across` long;
// affine: weight and bias [channels], from weight_at and bias_at on; moments [2, channels]: μ, r;
// descriptors: their gradient [2, all_images, channels], and positions [all_images, channels], bound to something else
// without them; partial sums [all_splits, 2, channels]: dweight, dbias.
//
// An item is an element, a vector of four where planes are whole vectors (ALIGNED), or with pooling a block of 2×2
// elements, cut off at the edge where a side is odd: `items` blocks, `across` in a row. A workgroup has `share` items of a channel, or with descriptors `share` whole images, runs
// of `lanes` invocations a plane each. In `whole` it has several channels, `run` invocations each.
struct Params {
    images: u32, channels: u32, plane: u32, height: u32, width: u32,
    items: u32, across: u32, outputs: u32, out_across: u32,
    walk_images: u32, walk_items: u32, run: u32, lanes: u32, share: u32, first_split: u32, all_splits: u32, first_image: u32, all_images: u32,
    dy_at: u32, x_at: u32, dx_at: u32, weight_at: u32, bias_at: u32, count: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
override ALIGNED: bool = false;

@group(0) @binding(1) var<storage, read> dy: array<MapQuad>;
@group(0) @binding(2) var<storage, read> x: array<MapQuad>;
@group(0) @binding(3) var<storage, read> affine: array<f32>;
@group(0) @binding(4) var<storage, read> moments: array<f32>;
@group(0) @binding(5) var<storage, read> descriptors: array<f32>;
@group(0) @binding(6) var<storage, read> positions: array<f32>;

// reduce, whole
@group(0) @binding(7) var<storage, read_write> partials_out: array<f32>;

// apply
@group(0) @binding(7) var<storage, read> partials: array<f32>;

// apply, whole
@group(0) @binding(8) var<storage, read_write> dx: array<NewMapQuad>;

// What a channel is normalised by.
struct Norm {
    average: f32,
    reciprocal: f32,
    scale: f32,
    shift: f32,
}

fn norm_of(channel: u32) -> Norm {
    let reciprocal = moments[params.channels + channel];
    let scale = reciprocal * affine[params.weight_at + channel];
    return Norm(moments[channel], reciprocal, scale, affine[params.bias_at + channel]);
}

// A plane, and what each of its elements and the one at `place` get from the descriptors.
struct Plane {
    map: u32,
    each: f32,
    peak: f32,
    place: u32,
}

fn plane_of(image: u32, channel: u32) -> Plane {
    let map = image * params.channels + channel;
    if !DESCRIPTORS {
        return Plane(map, 0.0, 0.0, 0u);
    }
    let at = params.first_image * params.channels + map;
    let peak = descriptors[params.all_images * params.channels + at];
    return Plane(map, descriptors[at] / f32(params.outputs), peak, u32(positions[at]));
}

fn element(at: u32) -> f32 {
    return from_map(x[at / 4u][at % 4u]);
}

fn store(at: u32, value: f32) {
    dx[at / 4u][at % 4u] = to_gradient(value);
}

fn dy_element(at: u32) -> f32 {
    return from_gradient(dy[at / 4u][at % 4u]);
}

// dz of an element of y, from the gradient that arrives there and its z.
fn before_activation(plane: Plane, output: u32, arriving: f32, z: f32) -> f32 {
    var gradient = arriving;
    if DESCRIPTORS {
        gradient += plane.each + select(0.0, plane.peak, output == plane.place);
    }
    if ACTIVATION == 1u {
        return select(0.0, gradient, z > 0.0);
    }
    if ACTIVATION == 2u {
        return gradient * z * (1.0 - z);
    }
    return gradient;
}

// A block: where its elements are, which are on the map, their x − μ and dz.
struct Block {
    at: u32,
    right: bool,
    bottom: bool,
    centred: vec4<f32>,
    dz: vec4<f32>,
}

fn block_of(plane: Plane, item: u32, norm: Norm) -> Block {
    let row = item / params.across;
    let column = item - row * params.across;
    let at = plane.map * params.plane + 2u * (row * params.width + column);
    let right = 2u * column + 1u < params.width;
    let bottom = 2u * row + 1u < params.height;
    var block = Block(at, right, bottom, vec4<f32>(0.0), vec4<f32>(0.0));
    let first = params.x_at + at;
    block.centred.x = element(first) - norm.average;
    if right {
        block.centred.y = element(first + 1u) - norm.average;
    }
    if bottom {
        block.centred.z = element(first + params.width) - norm.average;
    }
    if right && bottom {
        block.centred.w = element(first + params.width + 1u) - norm.average;
        let centred = block.centred;
        let top = vec2<f32>(activated(centred.x, norm.scale, norm.shift), activated(centred.y, norm.scale, norm.shift));
        let low = vec2<f32>(activated(centred.z, norm.scale, norm.shift), activated(centred.w, norm.scale, norm.shift));
        let winner = first_largest(top, low);
        let z = max(max(top.x, top.y), max(low.x, low.y));
        let output = row * params.out_across + column;
        let dz = before_activation(plane, output, dy_element(params.dy_at + plane.map * params.outputs + output), z);
        block.dz = select(vec4<f32>(0.0), vec4<f32>(dz), vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(winner));
    }
    return block;
}

// A vector of four elements, the first of which is `item` of its plane: their x − μ and dz.
struct Quad {
    centred: vec4<f32>,
    dz: vec4<f32>,
}

fn quad_of(plane: Plane, item: u32, norm: Norm) -> Quad {
    let at = plane.map * params.plane + item;
    let arriving = from_gradient_quad(dy[(params.dy_at + at) / 4u]);
    let centred = from_map_quad(x[(params.x_at + at) / 4u]) - norm.average;
    let dz = vec4<f32>(
        before_activation(plane, item, arriving.x, activated(centred.x, norm.scale, norm.shift)),
        before_activation(plane, item + 1u, arriving.y, activated(centred.y, norm.scale, norm.shift)),
        before_activation(plane, item + 2u, arriving.z, activated(centred.z, norm.scale, norm.shift)),
        before_activation(plane, item + 3u, arriving.w, activated(centred.w, norm.scale, norm.shift)),
    );
    return Quad(centred, dz);
}

// dz·(x − μ) and dz, summed over an item.
fn item_sums(plane: Plane, item: u32, norm: Norm) -> vec2<f32> {
    if POOL {
        let block = block_of(plane, item, norm);
        return vec2<f32>(dot(block.dz, block.centred), block.dz.x + block.dz.y + block.dz.z + block.dz.w);
    }
    if ALIGNED {
        let quad = quad_of(plane, 4u * item, norm);
        return vec2<f32>(dot(quad.dz, quad.centred), dot(quad.dz, vec4<f32>(1.0)));
    }
    let at = plane.map * params.plane + item;
    let centred = element(params.x_at + at) - norm.average;
    let z = activated(centred, norm.scale, norm.shift);
    let dz = before_activation(plane, item, dy_element(params.dy_at + at), z);
    return vec2<f32>(dz * centred, dz);
}

// dweight and dbias of a run's items. Where there are descriptors, a plane's are loaded before its items.
// Barriers: called by whole workgroups.
fn sums(channel: u32, group: u32, lane: u32) -> vec2<f32> {
    let norm = norm_of(channel);
    let member = lane & (params.run - 1u);
    let begin = group * params.share;
    var result = vec2<f32>(0.0);
    if DESCRIPTORS {
        let end = min(begin + params.share, params.images);
        for (var image = begin + member / params.lanes; image < end; image += params.run / params.lanes) {
            let plane = plane_of(image, channel);
            for (var item = member & (params.lanes - 1u); item < params.items; item += params.lanes) {
                result += item_sums(plane, item, norm);
            }
        }
    } else {
        let end = min(begin + params.share, params.images * params.items);
        var walk = walk_from(begin + member, params.items);
        for (var e = begin + member; e < end; e += params.run) {
            result += item_sums(plane_of(walk.image, channel), walk.pixel, norm);
            walk = walk_on(walk, params.walk_images, params.walk_items, params.items);
        }
    }
    return sum_pairs(lane, params.run, result) * vec2<f32>(norm.reciprocal, 1.0);
}

// dx of an item; `level` and `slope` are what dbias and dweight take from each element.
fn write_item(plane: Plane, item: u32, norm: Norm, level: f32, slope: f32) {
    if POOL {
        let block = block_of(plane, item, norm);
        let value = norm.scale * (block.dz - level - block.centred * slope);
        let to = params.dx_at + block.at;
        store(to, value.x);
        if block.right {
            store(to + 1u, value.y);
        }
        if block.bottom {
            store(to + params.width, value.z);
        }
        if block.right && block.bottom {
            store(to + params.width + 1u, value.w);
        }
        return;
    }
    if ALIGNED {
        let quad = quad_of(plane, 4u * item, norm);
        let value = norm.scale * (quad.dz - level - quad.centred * slope);
        dx[(params.dx_at + plane.map * params.plane) / 4u + item] = to_gradient_quad(value);
        return;
    }
    let at = plane.map * params.plane + item;
    let centred = element(params.x_at + at) - norm.average;
    let z = activated(centred, norm.scale, norm.shift);
    let dz = before_activation(plane, item, dy_element(params.dy_at + at), z);
    store(params.dx_at + at, norm.scale * (dz - level - centred * slope));
}

fn write_dx(channel: u32, group: u32, lane: u32, sums: vec2<f32>) {
    let norm = norm_of(channel);
    let member = lane & (params.run - 1u);
    let begin = group * params.share;
    let level = sums.y / params.count;
    let slope = norm.reciprocal * sums.x / params.count;
    if DESCRIPTORS {
        let end = min(begin + params.share, params.images);
        for (var image = begin + member / params.lanes; image < end; image += params.run / params.lanes) {
            let plane = plane_of(image, channel);
            for (var item = member & (params.lanes - 1u); item < params.items; item += params.lanes) {
                write_item(plane, item, norm, level, slope);
            }
        }
        return;
    }
    let end = min(begin + params.share, params.images * params.items);
    var walk = walk_from(begin + member, params.items);
    for (var e = begin + member; e < end; e += params.run) {
        write_item(plane_of(walk.image, channel), walk.pixel, norm, level, slope);
        walk = walk_on(walk, params.walk_images, params.walk_items, params.items);
    }
}

@compute @workgroup_size(256)
fn reduce(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let result = sums(channel, group.x, lane);
    if lane == 0u {
        let at = (params.first_split + group.x) * 2u * params.channels + channel;
        partials_out[at] = result.x;
        partials_out[at + params.channels] = result.y;
    }
}

@compute @workgroup_size(256)
fn apply(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    var result = vec2<f32>(0.0);
    for (var s = lane; s < params.all_splits; s += 256u) {
        let at = s * 2u * params.channels + channel;
        result += vec2<f32>(partials[at], partials[at + params.channels]);
    }
    // Barriers: all invocations of the workgroup are here.
    write_dx(channel, group.x, lane, sum_pairs(lane, 256u, result));
}

@compute @workgroup_size(256)
fn whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y * (256u / params.run) + lane / params.run;
    let result = sums(channel, 0u, lane);
    if (lane & (params.run - 1u)) == 0u {
        partials_out[channel] = result.x;
        partials_out[params.channels + channel] = result.y;
    }
    write_dx(channel, 0u, lane, result);
}
