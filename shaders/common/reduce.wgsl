// Sums over runs of `lanes` of a workgroup's 256 invocations, in a fixed order. `lanes` is a power of two.
var<workgroup> scratch: array<f32, 256>;

// At most 16 values are added in a row, twice, rather than two at a time: a barrier costs more than a few additions,
// most of all where a processor imitates the GPU.
const IN_A_ROW: u32 = 16u;

// Barriers: called by whole workgroups.
fn sum_lanes(lane: u32, lanes: u32, value: f32) -> f32 {
    let first = lane & ~(lanes - 1u);
    workgroupBarrier();
    scratch[lane] = value;
    workgroupBarrier();
    let leads = lane - first < IN_A_ROW;
    var sum = 0.0;
    if leads {
        for (var i = lane; i < first + lanes; i += IN_A_ROW) {
            sum += scratch[i];
        }
    }
    workgroupBarrier();
    if leads {
        scratch[lane] = sum;
    }
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < min(lanes, IN_A_ROW); i += 1u) {
        sum += scratch[first + i];
    }
    return sum;
}
