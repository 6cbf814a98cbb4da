// Sums of two values over a workgroup's 256 invocations, in a fixed order: 16 in a row, twice, since a barrier costs
// more than a few additions.
var<workgroup> pairs: array<vec2<f32>, 256>;
var<workgroup> pair_rows: array<vec2<f32>, 16>;

// Barriers: called by whole workgroups.
fn sum_pairs(lane: u32, value: vec2<f32>) -> vec2<f32> {
    workgroupBarrier();
    pairs[lane] = value;
    workgroupBarrier();
    var sum = vec2<f32>(0.0);
    if lane < 16u {
        for (var i = lane; i < 256u; i += 16u) {
            sum += pairs[i];
        }
        pair_rows[lane] = sum;
    }
    workgroupBarrier();
    sum = vec2<f32>(0.0);
    for (var i = 0u; i < 16u; i += 1u) {
        sum += pair_rows[i];
    }
    return sum;
}
