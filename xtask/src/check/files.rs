//! Rules on single files.

use super::Tree;

const MAX_LINES: usize = 500;

/// Source files over 500 lines.
pub(super) fn too_long(tree: &Tree) -> Vec<String> {
    let source = |path: &str| [".rs", ".wgsl", ".ts", ".js", ".mjs"].iter().any(|end| path.ends_with(end));
    tree.iter()
        .filter(|(path, _)| source(path))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: expected at most {MAX_LINES} lines, found {lines}; split it by subject"))
        .collect()
}

/// The first folders of paths that exist on one machine only.
const MACHINE_FOLDERS: [&str; 4] = ["home", "root", "work", "Users"];

/// Whether a line has an absolute path below one of [`MACHINE_FOLDERS`].
fn names_machine_path(line: &str) -> bool {
    MACHINE_FOLDERS.iter().any(|folder| {
        line.match_indices(&format!("/{folder}/")).any(|(at, found)| {
            // In `src/work/`, `$HOME/work/` or a web address the path starts further left.
            let starts = !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/})~*".contains(c));
            let goes_on = line[at + found.len()..].starts_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
            starts && goes_on
        })
    })
}

/// Lines that name a path of one machine.
pub(super) fn machine_paths(tree: &Tree) -> Vec<String> {
    tree.iter()
        .flat_map(|(path, text)| text.lines().enumerate().map(move |(number, line)| (path, number + 1, line)))
        .filter(|(_, _, line)| names_machine_path(line))
        .map(|(path, number, line)| format!("{path}:{number}: names a path of one machine: {}", line.trim()))
        .collect()
}

/// Shaders that do not begin with a comment, tests that are ignored without a reason.
pub(super) fn unexplained(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.iter() {
        if path.ends_with(".wgsl") && !text.starts_with("//") {
            found.push(format!("{path}: expected a comment on what the shader computes in the first line"));
        }
        // Written apart, so that this file does not contain it.
        if path.ends_with(".rs") && text.contains(concat!("#[", "ignore]")) {
            found.push(format!("{path}: expected a reason for each ignored test, found one without"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_hundred_and_first_line_fails() {
        let (good, bad) = ("x\n".repeat(500), "x\n".repeat(501));
        assert!(too_long(&Tree::of(&[("src/a.rs", &good), ("Cargo.lock", &bad)])).is_empty());
        assert_eq!(too_long(&Tree::of(&[("shaders/a.wgsl", &bad)])).len(), 1);
    }

    #[test]
    fn a_path_of_one_machine_fails_and_others_do_not() {
        for folder in MACHINE_FOLDERS {
            let line = format!("let data = \"/{folder}/me/data\";");
            assert_eq!(machine_paths(&Tree::of(&[("src/a.rs", &line)])).len(), 1, "{line}");
        }
        for line in ["see ../shared/work/x", "https://example.org/home/x", "$HOME/work/x", "/usr/lib/x", "a/root/b"] {
            assert!(machine_paths(&Tree::of(&[("README.md", line)])).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_shader_without_a_first_comment_fails() {
        assert!(unexplained(&Tree::of(&[("shaders/a.wgsl", "// Adds.\nfn main() {}")])).is_empty());
        assert_eq!(unexplained(&Tree::of(&[("shaders/a.wgsl", "\nfn main() {}")])).len(), 1);
    }

    #[test]
    fn an_ignored_test_without_a_reason_fails() {
        let bare = concat!("#[", "ignore]\nfn slow() {}");
        assert_eq!(unexplained(&Tree::of(&[("tests/a.rs", bare)])).len(), 1);
        assert!(unexplained(&Tree::of(&[("tests/a.rs", "#[ignore = \"needs a GPU\"]")])).is_empty());
    }
}
