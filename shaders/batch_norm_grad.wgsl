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
// An item is an element, or with pooling a block of 2×2 elements, cut off at the edge where a side is odd: `items`
// blocks, `across` in a row. A workgroup has `share` items of a channel, or with descriptors `share` whole images, runs
// of `lanes` invocations a plane each.
struct Params {
    images: u32, channels: u32, plane: u32, height: u32, width: u32,
    items: u32, across: u32, outputs: u32, out_across: u32,
    walk_images: u32, walk_items: u32, lanes: u32, share: u32, first_split: u32, all_splits: u32, first_image: u32, all_images: u32,
    dy_at: u32, x_at: u32, dx_at: u32, weight_at: u32, bias_at: u32, count: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> affine: array<f32>;
@group(0) @binding(4) var<storage, read> moments: array<f32>;
@group(0) @binding(5) var<storage, read> descriptors: array<f32>;
@group(0) @binding(6) var<storage, read> positions: array<f32>;

// reduce, whole
@group(0) @binding(7) var<storage, read_write> partials_out: array<f32>;

// apply
@group(0) @binding(7) var<storage, read> partials: array<f32>;

// apply, whole
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;

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
    image: u32,
    map: u32,
    each: f32,
    peak: f32,
    place: u32,
}

// A plane of no image.
const NOWHERE: Plane = Plane(0xffffffffu, 0u, 0.0, 0.0, 0u);

fn plane_of(image: u32, channel: u32) -> Plane {
    let map = image * params.channels + channel;
    if !DESCRIPTORS {
        return Plane(image, map, 0.0, 0.0, 0u);
    }
    let at = params.first_image * params.channels + map;
    let peak = descriptors[params.all_images * params.channels + at];
    return Plane(image, map, descriptors[at] / f32(params.outputs), peak, u32(positions[at]));
}

// dz of an element of y, from its z.
fn before_activation(plane: Plane, output: u32, z: f32) -> f32 {
    var gradient = dy[params.dy_at + plane.map * params.outputs + output];
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
    block.centred.x = x[first] - norm.average;
    if right {
        block.centred.y = x[first + 1u] - norm.average;
    }
    if bottom {
        block.centred.z = x[first + params.width] - norm.average;
    }
    if right && bottom {
        block.centred.w = x[first + params.width + 1u] - norm.average;
        let centred = block.centred;
        let top = vec2<f32>(activated(centred.x, norm.scale, norm.shift), activated(centred.y, norm.scale, norm.shift));
        let low = vec2<f32>(activated(centred.z, norm.scale, norm.shift), activated(centred.w, norm.scale, norm.shift));
        let winner = first_largest(top, low);
        let z = max(max(top.x, top.y), max(low.x, low.y));
        let dz = before_activation(plane, row * params.out_across + column, z);
        block.dz = select(vec4<f32>(0.0), vec4<f32>(dz), vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(winner));
    }
    return block;
}

// The first of an invocation's items, the next one, and whether it is the workgroup's.
fn first_item(group: u32, lane: u32) -> Walk {
    if !DESCRIPTORS {
        return walk_from(group * params.share + lane, params.items);
    }
    let item = lane & (params.lanes - 1u);
    return Walk(select(NOWHERE.image, group * params.share + lane / params.lanes, item < params.items), item);
}

fn next_item(walk: Walk, lane: u32) -> Walk {
    if !DESCRIPTORS {
        return walk_on(walk, params.walk_images, params.walk_items, params.items);
    }
    if walk.pixel + params.lanes < params.items {
        return Walk(walk.image, walk.pixel + params.lanes);
    }
    return Walk(walk.image + 256u / params.lanes, lane & (params.lanes - 1u));
}

fn is_mine(walk: Walk, group: u32) -> bool {
    let end = (group + 1u) * params.share;
    if !DESCRIPTORS {
        return walk.image < params.images && walk.image * params.items + walk.pixel < end;
    }
    return walk.image < min(end, params.images);
}

// dweight and dbias of a workgroup's items. Barriers: called by whole workgroups.
fn sums(channel: u32, group: u32, lane: u32) -> vec2<f32> {
    let norm = norm_of(channel);
    var result = vec2<f32>(0.0);
    var plane = NOWHERE;
    for (var walk = first_item(group, lane); is_mine(walk, group); walk = next_item(walk, lane)) {
        if walk.image != plane.image {
            plane = plane_of(walk.image, channel);
        }
        if POOL {
            let block = block_of(plane, walk.pixel, norm);
            result += vec2<f32>(dot(block.dz, block.centred), block.dz.x + block.dz.y + block.dz.z + block.dz.w);
        } else {
            let centred = x[params.x_at + plane.map * params.plane + walk.pixel] - norm.average;
            let dz = before_activation(plane, walk.pixel, activated(centred, norm.scale, norm.shift));
            result += vec2<f32>(dz * centred, dz);
        }
    }
    let dweight = sum_lanes(lane, 256u, result.x) * norm.reciprocal;
    let dbias = sum_lanes(lane, 256u, result.y);
    return vec2<f32>(dweight, dbias);
}

fn write_dx(channel: u32, group: u32, lane: u32, dweight: f32, dbias: f32) {
    let norm = norm_of(channel);
    let level = dbias / params.count;
    let slope = norm.reciprocal * dweight / params.count;
    var plane = NOWHERE;
    for (var walk = first_item(group, lane); is_mine(walk, group); walk = next_item(walk, lane)) {
        if walk.image != plane.image {
            plane = plane_of(walk.image, channel);
        }
        if POOL {
            let block = block_of(plane, walk.pixel, norm);
            let value = norm.scale * (block.dz - level - block.centred * slope);
            let to = params.dx_at + block.at;
            dx[to] = value.x;
            if block.right {
                dx[to + 1u] = value.y;
            }
            if block.bottom {
                dx[to + params.width] = value.z;
            }
            if block.right && block.bottom {
                dx[to + params.width + 1u] = value.w;
            }
        } else {
            let at = plane.map * params.plane + walk.pixel;
            let centred = x[params.x_at + at] - norm.average;
            let dz = before_activation(plane, walk.pixel, activated(centred, norm.scale, norm.shift));
            dx[params.dx_at + at] = norm.scale * (dz - level - centred * slope);
        }
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
    let dweight = sum_lanes(lane, 256u, result.x);
    let dbias = sum_lanes(lane, 256u, result.y);
    write_dx(channel, group.x, lane, dweight, dbias);
}

@compute @workgroup_size(256)
fn whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y;
    let result = sums(channel, 0u, lane);
    if lane == 0u {
        partials_out[channel] = result.x;
        partials_out[params.channels + channel] = result.y;
    }
    write_dx(channel, 0u, lane, result.x, result.y);
}
