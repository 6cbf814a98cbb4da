// Sums of two values over runs of `lanes` of a workgroup's 256 invocations, as reduce.wgsl has them of one.
var<workgroup> pairs: array<vec2<f32>, 256>;
var<workgroup> pair_rows: array<vec2<f32>, 256>;

const PAIRS_IN_A_ROW: u32 = 16u;

// Barriers: called by whole workgroups. What is written here was last read before a barrier of the previous call.
fn sum_pairs(lane: u32, lanes: u32, value: vec2<f32>) -> vec2<f32> {
    let first = lane & ~(lanes - 1u);
    pairs[lane] = value;
    workgroupBarrier();
    if lane - first < PAIRS_IN_A_ROW {
        var sum = vec2<f32>(0.0);
        for (var i = lane; i < first + lanes; i += PAIRS_IN_A_ROW) {
            sum += pairs[i];
        }
        pair_rows[lane] = sum;
    }
    workgroupBarrier();
    if lane == first {
        var sum = vec2<f32>(0.0);
        for (var i = first; i < first + min(lanes, PAIRS_IN_A_ROW); i += 1u) {
            sum += pair_rows[i];
        }
        pair_rows[first] = sum;
    }
    workgroupBarrier();
    return pair_rows[first];
}
