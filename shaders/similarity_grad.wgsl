// Gradient of the similarity:
// dφ_l(x_n) = −(2γ·scale/images) Σ_k (dS[l,k] + dS[k,l])·kernel[n,l,k]·(φ_l(x_n) − φ_k(x_n)).
// ds [learners, learners], maps, dmaps [images, learners, features], gamma [1], kernels [images, learners, learners].
struct Params { images: u32, learners: u32, features: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ds: array<f32>;
@group(0) @binding(2) var<storage, read> maps: array<f32>;
@group(0) @binding(3) var<storage, read> gamma: array<f32>;
@group(0) @binding(4) var<storage, read> kernels: array<f32>;
@group(0) @binding(5) var<storage, read_write> dmaps: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    let per_image = params.learners * params.features;
    if i >= params.images * per_image {
        return;
    }
    let n = i / per_image;
    let l = i % per_image / params.features;
    let f = i % params.features;
    let here = maps[i];
    var sum = 0.0;
    for (var k = 0u; k < params.learners; k += 1u) {
        let slope = ds[l * params.learners + k] + ds[k * params.learners + l];
        let kernel = kernels[(n * params.learners + l) * params.learners + k];
        sum += slope * kernel * (here - maps[n * per_image + k * params.features + f]);
    }
    dmaps[i] = -2.0 * gamma[0] * params.scale / f32(params.images) * sum;
}
