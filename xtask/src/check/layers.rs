//! Who may import whom.

use super::Tree;

/// The layers from the lowest up; modules of one layer may import each other.
const LAYERS: [&[&str]; 9] = [
    &["error", "shape", "rng", "words"],
    &["ops"],
    &["graph"],
    &["exec"],
    &["nn"],
    &["models", "diversity"],
    &["data", "checkpoint"],
    &["predict", "evaluation", "train", "verify", "explain", "bench"],
    &["cli", "web"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The module of the crate that a file below `src` belongs to; none for `lib.rs` and `main.rs`, which see all.
fn module_of(path: &str) -> Option<&str> {
    let first = path.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then_some(name)
}

/// The code of a file: without comments, and without the tests, which may look at all layers.
fn code(text: &str) -> String {
    let tests = ["#[cfg(test)]\nmod tests", "#[cfg(all(test"].iter().filter_map(|mark| text.find(mark)).min();
    text[..tests.unwrap_or(text.len())]
        .lines()
        .map(|line| line.find("//").map_or(line, |at| &line[..at]))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What follows each `crate::`: one name, or each first name of a group in braces.
fn crate_paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, mark) in code.match_indices("crate::") {
        // `$crate::` and `mycrate::` are others.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + mark.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(first_names(group));
        } else {
            found.push(identifier(rest));
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of each path in `a::{b, c}, d}…`, up to the brace that closes the group.
fn first_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(identifier(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The modules behind the names that `lib.rs` exports again, such as `Error` of `error`.
fn exports(tree: &Tree) -> Vec<(String, String)> {
    let Some((_, text)) = tree.iter().find(|(path, _)| *path == "src/lib.rs") else { return Vec::new() };
    let mut found = Vec::new();
    for part in code(text).split("pub use ").skip(1) {
        let path = part.split(';').next().unwrap_or_default();
        let module = identifier(path);
        let names = match path.split_once('{') {
            Some((_, group)) => first_names(group),
            None => path.rsplit("::").next().map(identifier).into_iter().collect(),
        };
        found.extend(names.into_iter().map(|name| (name, module.clone())));
    }
    found
}

/// Imports from a layer above, and modules that have no layer yet.
pub(super) fn wrong_imports(tree: &Tree) -> Vec<String> {
    let exports = exports(tree);
    let mut wrong = Vec::new();
    for (path, text) in tree.below("src").filter(|(path, _)| path.ends_with(".rs")) {
        let Some(module) = module_of(path) else { continue };
        let Some(own) = layer(module) else {
            wrong.push(format!("src/{path}: module {module} has no layer; add it to xtask/src/check/layers.rs"));
            continue;
        };
        for name in crate_paths(&code(text)) {
            let target = exports.iter().find(|(export, _)| *export == name).map_or(name.as_str(), |(_, module)| module);
            match layer(target) {
                Some(other) if other > own => {
                    wrong.push(format!(
                        "src/{path}: {module} imports {name} of the layer above; move what it needs down"
                    ));
                }
                Some(_) => {}
                // A macro or constant of the crate's root has no layer.
                None if !tree.has(&format!("src/{target}.rs")) && !tree.has(&format!("src/{target}/mod.rs")) => {}
                None => wrong.push(format!("src/{path}: imports {name}, a module without a layer")),
            }
        }
    }
    wrong
}

/// Words of the GPU executor in the CPU executor.
pub(super) fn gpu_in_cpu(tree: &Tree) -> Vec<String> {
    tree.below("src/exec/cpu")
        .flat_map(|(path, text)| {
            let code = code(text);
            ["wgpu", "exec::gpu", "super::gpu", "super::super::gpu"]
                .into_iter()
                .filter(move |word| code.contains(word))
                .map(move |word| format!("src/exec/cpu/{path}: names {word}; the CPU executor is built without a GPU"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: (&str, &str) = ("src/lib.rs", "pub mod error;\npub use error::{Error, Result};\npub use train::Run;\n");

    #[test]
    fn imports_downwards_pass() {
        let tree = Tree::of(&[
            LIB,
            ("src/exec/cpu/mod.rs", "use crate::{Error, Result, graph::{Graph, plan::Plan}, ops::TensorId};"),
            ("src/graph/mod.rs", "// use crate::exec;\n/// [`crate::exec::Executor`]\nuse crate::shape::Shape;\n"),
        ]);
        assert_eq!(wrong_imports(&tree), [""; 0]);
    }

    #[test]
    fn imports_upwards_fail_alone_in_a_group_and_by_another_name() {
        for text in [
            "use crate::exec::Executor;",
            "use crate::{\n    Result,\n    ops::{Op, TensorId},\n    exec::Program,\n};",
            "fn run(e: &dyn crate::exec::Executor) {}",
            "use crate::Run;",
        ] {
            assert_eq!(wrong_imports(&Tree::of(&[LIB, ("src/graph/mod.rs", text)])).len(), 1, "{text}");
        }
    }

    #[test]
    fn tests_of_a_layer_may_look_up() {
        let text = "use crate::ops::Op;\n#[cfg(test)]\nmod tests {\n    use crate::models::esr;\n}\n";
        assert!(wrong_imports(&Tree::of(&[LIB, ("src/graph/plan.rs", text)])).is_empty());
    }

    #[test]
    fn a_module_without_a_layer_fails() {
        assert_eq!(wrong_imports(&Tree::of(&[LIB, ("src/helpers.rs", "")])).len(), 1);
    }

    #[test]
    fn wgpu_in_the_cpu_executor_fails() {
        let good = ("src/exec/cpu/conv2d.rs", "//! Never imports wgpu.\nuse super::Kernel;\n");
        assert!(gpu_in_cpu(&Tree::of(&[good])).is_empty());
        assert_eq!(gpu_in_cpu(&Tree::of(&[("src/exec/cpu/conv2d.rs", "use wgpu::Buffer;")])).len(), 1);
        assert_eq!(gpu_in_cpu(&Tree::of(&[("src/exec/cpu/mod.rs", "use crate::exec::gpu::Device;")])).len(), 1);
    }
}
