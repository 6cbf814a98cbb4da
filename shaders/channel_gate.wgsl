// Map times channel attention, y = x·a, and its maximum and mean over the channels of each group.
// A workgroup takes 32 pixels; 8 invocations share a pixel's channels.
// x, y [images, groups·channels, plane] (channels of a group), a [all images, groups·channels] from first_image on,
// pooled [images, groups, 2, plane]: maximum, mean; largest_channel [images, groups, plane].
struct Params {
    images: u32, groups: u32, channels: u32, plane: u32, first_image: u32,
    x_at: u32, y_at: u32, pooled_at: u32, largest_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> pooled: array<f32>;
@group(0) @binding(5) var<storage, read_write> largest_channel: array<f32>;

var<workgroup> sums: array<f32, 256>;
var<workgroup> maxima: array<f32, 256>;
var<workgroup> channels_of: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = flat_group(group, counts) * 32u + lane % 32u;
    let slice = lane / 32u;
    let inside = flat < params.images * params.groups * params.plane;
    let cell = flat / params.plane;
    let pixel = flat % params.plane;
    let row = cell * params.channels;
    let weights = params.first_image * params.groups * params.channels + row;
    var sum = 0.0;
    var largest = 0.0;
    // `channels` stands for no channel: a slice may have none.
    var channel = params.channels;
    if inside {
        for (var c = slice; c < params.channels; c += 8u) {
            let at = (row + c) * params.plane + pixel;
            let value = x[params.x_at + at] * a[weights + c];
            y[params.y_at + at] = value;
            sum += value;
            if channel == params.channels || value > largest {
                largest = value;
                channel = c;
            }
        }
    }
    sums[lane] = sum;
    maxima[lane] = largest;
    channels_of[lane] = channel;
    // Barrier: reached by all invocations, inside or not.
    workgroupBarrier();
    if inside && slice == 0u {
        for (var other = lane + 32u; other < 256u; other += 32u) {
            let candidate = channels_of[other];
            let value = maxima[other];
            sum += sums[other];
            if candidate < params.channels && (value > largest || (value == largest && candidate < channel)) {
                largest = value;
                channel = candidate;
            }
        }
        pooled[params.pooled_at + 2u * cell * params.plane + pixel] = largest;
        pooled[params.pooled_at + (2u * cell + 1u) * params.plane + pixel] = sum / f32(params.channels);
        largest_channel[params.largest_at + cell * params.plane + pixel] = f32(channel);
    }
}
