// Combines what splits of a group's elements left in `partials` [groups, splits, 3]: the mean, the sum of squared
// deviations from it, and the number of elements. Returns the mean and the sum of squared deviations of all `count`.
// Deviations are taken from the first split's mean, which is near that of all, so that nothing cancels.
// Barriers: called by whole workgroups.
fn combined(group: u32, splits: u32, count: f32, lane: u32) -> vec2<f32> {
    let base = group * splits * 3u;
    let near = partials[base];
    var sums = vec2<f32>(0.0);
    for (var s = lane; s < splits; s += 256u) {
        let at = base + s * 3u;
        let deviation = partials[at] - near;
        let weighted = partials[at + 2u] * deviation;
        sums += vec2<f32>(weighted, partials[at + 1u] + weighted * deviation);
    }
    sums = sum_pairs(lane, 256u, sums);
    let offset = sums.x / count;
    let squares = sums.y - sums.x * offset;
    return vec2<f32>(near + offset, relu(squares));
}
