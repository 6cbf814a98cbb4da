// Sums over runs of `lanes` of a workgroup's 256 invocations, in a fixed order. `lanes` is a power of two.
var<workgroup> scratch: array<f32, 256>;
var<workgroup> row_sums: array<f32, 256>;

// At most 16 values are added in a row, twice, rather than two at a time: a barrier costs more than a few additions.
// The second row is added by one invocation and not by each: a processor that imitates the GPU takes loads of the
// workgroup's memory one by one.
const IN_A_ROW: u32 = 16u;

// Barriers: called by whole workgroups. What is written here was last read before a barrier of the previous call.
fn sum_lanes(lane: u32, lanes: u32, value: f32) -> f32 {
    let first = lane & ~(lanes - 1u);
    scratch[lane] = value;
    workgroupBarrier();
    if lane - first < IN_A_ROW {
        var sum = 0.0;
        for (var i = lane; i < first + lanes; i += IN_A_ROW) {
            sum += scratch[i];
        }
        row_sums[lane] = sum;
    }
    workgroupBarrier();
    if lane == first {
        var sum = 0.0;
        for (var i = first; i < first + min(lanes, IN_A_ROW); i += 1u) {
            sum += row_sums[i];
        }
        row_sums[first] = sum;
    }
    workgroupBarrier();
    return row_sums[first];
}
