// Sums over runs of `lanes` of a workgroup's 256 invocations, in a fixed order. `lanes` is a power of two.
var<workgroup> scratch: array<f32, 256>;

// Barriers: `lanes` comes from a uniform buffer or is a constant, so that all invocations loop alike.
fn sum_lanes(lane: u32, lanes: u32, value: f32) -> f32 {
    workgroupBarrier();
    scratch[lane] = value;
    workgroupBarrier();
    for (var span = lanes / 2u; span > 0u; span /= 2u) {
        if (lane & (lanes - 1u)) < span {
            scratch[lane] += scratch[lane + span];
        }
        workgroupBarrier();
    }
    return scratch[lane & ~(lanes - 1u)];
}
