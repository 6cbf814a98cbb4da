//! One stem an op, in every folder that an op has a room in.

use super::Tree;

/// The stems: the files of `src/ops`.
fn stems(tree: &Tree) -> Vec<&str> {
    tree.below("src/ops").filter_map(|(path, _)| path.strip_suffix(".rs")).filter(|stem| *stem != "mod").collect()
}

/// Whether a shader is one of the stem's: `conv2d.wgsl`, `conv2d_grad_input.wgsl`, but `pool.wgsl` is not `pool2d`'s.
fn is_shader_of(file: &str, stem: &str) -> bool {
    file.strip_suffix(".wgsl")
        .and_then(|name| name.strip_prefix(stem))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Ops without a CPU kernel, a GPU kernel, a shader or tests.
pub(super) fn missing_rooms(tree: &Tree) -> Vec<String> {
    let mut missing = Vec::new();
    for stem in stems(tree) {
        for room in
            [format!("src/exec/cpu/{stem}.rs"), format!("src/exec/gpu/{stem}.rs"), format!("tests/ops/{stem}.rs")]
        {
            // A large room is a folder.
            if !tree.has(&room) && !tree.has(&room.replace(".rs", "/mod.rs")) {
                missing.push(format!("op {stem}: expected {room}, found none; see \"Add an op\" in ARCHITECTURE.md"));
            }
        }
        if !tree.below("shaders").any(|(file, _)| is_shader_of(file, stem)) {
            missing.push(format!("op {stem}: expected shaders/{stem}.wgsl or shaders/{stem}_*.wgsl, found none"));
        }
    }
    if missing.is_empty() && stems(tree).is_empty() {
        missing.push("expected ops in src/ops, found none".to_owned());
    }
    missing
}

/// Shaders outside `shaders/common` whose name starts with the stem of no op and of no file of the GPU executor.
pub(super) fn homeless_shaders(tree: &Tree) -> Vec<String> {
    let mut stems = stems(tree);
    stems.extend(tree.below("src/exec/gpu").filter_map(|(path, _)| path.strip_suffix(".rs")));
    tree.below("shaders")
        .filter(|(file, _)| file.ends_with(".wgsl") && !file.starts_with("common/"))
        .filter(|(file, _)| !stems.iter().any(|stem| is_shader_of(file, stem)))
        .map(|(file, _)| {
            format!("shaders/{file}: expected a name that starts with an op of src/ops or a file of src/exec/gpu")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 6] = [
        ("src/ops/mod.rs", ""),
        ("src/ops/pool2d.rs", ""),
        ("src/exec/cpu/pool2d.rs", ""),
        ("src/exec/gpu/pool2d.rs", ""),
        ("shaders/pool2d_grad.wgsl", ""),
        ("tests/ops/pool2d.rs", ""),
    ];

    #[test]
    fn a_whole_op_passes_and_without_any_one_room_it_does_not() {
        assert!(missing_rooms(&Tree::of(&WHOLE)).is_empty());
        for room in &WHOLE[2..] {
            let rest: Vec<_> = WHOLE.into_iter().filter(|file| file != room).collect();
            assert_eq!(missing_rooms(&Tree::of(&rest)).len(), 1, "without {}", room.0);
        }
    }

    #[test]
    fn a_tree_without_ops_fails() {
        assert!(!missing_rooms(&Tree::of(&WHOLE[..1])).is_empty());
    }

    #[test]
    fn a_shader_of_no_op_fails_and_common_pieces_are_free() {
        let mut tree = WHOLE.to_vec();
        tree.push(("shaders/common/tile.wgsl", ""));
        tree.extend([("src/exec/gpu/partial_sums.rs", ""), ("shaders/partial_sums.wgsl", "")]);
        assert!(homeless_shaders(&Tree::of(&tree)).is_empty());
        tree.push(("shaders/pool.wgsl", ""));
        tree.push(("shaders/pool2dx.wgsl", ""));
        assert_eq!(homeless_shaders(&Tree::of(&tree)).len(), 2);
    }
}
