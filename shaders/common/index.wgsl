// The place of an invocation among all of a grid of 256-wide workgroups that is folded into x and y.
fn flat_group(group: vec3<u32>, counts: vec3<u32>) -> u32 {
    return group.y * counts.x + group.x;
}

fn flat_index(group: vec3<u32>, counts: vec3<u32>, lane: u32) -> u32 {
    return flat_group(group, counts) * 256u + lane;
}
