// SGD with momentum and weight decay over a segment of all parameters:
// g ← g + decay·p; v ← momentum·v + g; p ← p − lr·(nesterov ? g + momentum·v : v).
// Nothing changes where the loss is not finite or was not before; `healthy` then becomes 0.
// table [rows, 3]: first element, elements, part; a workgroup takes one row. lr, decay [parts]; loss [1];
// gradients, parameters, momenta [segment], four elements a vector; healthy [1], the bits of a number.
struct Params { rows: u32, momentum: f32, nesterov: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> lr: array<f32>;
@group(0) @binding(3) var<storage, read> decay: array<f32>;
@group(0) @binding(4) var<storage, read> loss: array<u32>;
@group(0) @binding(5) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> momenta: array<vec4<f32>>;
// Atomic because one workgroup clears it while others look; what they then see leads them to the same decision.
@group(0) @binding(8) var<storage, read_write> healthy: array<atomic<u32>>;

fn step_of(velocity: vec4<f32>, gradient: vec4<f32>) -> vec4<f32> {
    return select(velocity, gradient + params.momentum * velocity, params.nesterov != 0u);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, counts);
    if row >= params.rows {
        return;
    }
    // By its bits: comparisons may be compiled as if there were no NaN.
    let finite = (loss[0] & 0x7f800000u) != 0x7f800000u;
    if !finite || atomicLoad(&healthy[0]) == 0u {
        if row == 0u && lane == 0u {
            atomicStore(&healthy[0], 0u);
        }
        return;
    }
    let begin = table[row * 3u];
    let elements = table[row * 3u + 1u];
    let part = table[row * 3u + 2u];
    let rate = lr[part];
    let decayed = decay[part];
    // Where a row starts within a vector, and at its end, elements are taken one by one.
    let quads = select(0u, elements / 4u, begin % 4u == 0u);
    for (var i = begin / 4u + lane; i < begin / 4u + quads; i += 256u) {
        let value = parameters[i];
        let gradient = gradients[i] + decayed * value;
        let velocity = params.momentum * momenta[i] + gradient;
        momenta[i] = velocity;
        parameters[i] = value - rate * step_of(velocity, gradient);
    }
    for (var e = begin + 4u * quads + lane; e < begin + elements; e += 256u) {
        let i = e / 4u;
        let k = e % 4u;
        let value = parameters[i][k];
        let gradient = gradients[i][k] + decayed * value;
        let velocity = params.momentum * momenta[i][k] + gradient;
        momenta[i][k] = velocity;
        parameters[i][k] = value - rate * step_of(vec4<f32>(velocity), vec4<f32>(gradient)).x;
    }
}
