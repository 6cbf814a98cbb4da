//! The rules of the source tree that a compiler does not know.

mod files;
mod layers;
mod rooms;

use std::time::Instant;

use crate::{
    Result,
    command::Command,
    report::{Report, Tally},
    root,
};

/// The project's text files: path from the top folder with `/` between its parts, and text.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: Vec<(String, String)>,
}

/// A rule, and what breaks it: one sentence for each place.
type Rule = (&'static str, fn(&Tree) -> Vec<String>);

const RULES: [Rule; 7] = [
    ("each op has all its rooms", rooms::missing_rooms),
    ("each shader belongs to an op or to a part of the GPU executor", rooms::homeless_shaders),
    ("lower layers never import upper ones", layers::wrong_imports),
    ("the CPU executor knows no GPU", layers::gpu_in_cpu),
    ("files stay short", files::too_long),
    ("no path of one machine", files::machine_paths),
    ("each shader says what it does, each ignored test why", files::unexplained),
];

impl Tree {
    /// The files that git tracks or would track.
    fn read() -> Result<Self> {
        let output = Command::new("git", ["ls-files", "-co", "--exclude-standard"]).quiet().run()?;
        if !output.success() {
            return Err(format!("`git ls-files` lists the files to check: {}", output.ending()));
        }
        let mut files: Vec<_> = output
            .stdout
            .lines()
            // Deleted files are still listed, pictures and the like are no text: neither can be read.
            .filter_map(|path| std::fs::read_to_string(root().join(path)).ok().map(|text| (path.to_owned(), text)))
            .collect();
        files.sort();
        files.dedup();
        Ok(Self { files })
    }

    /// A tree for a test.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn has(&self, path: &str) -> bool {
        self.files.iter().any(|(there, _)| there == path)
    }

    /// The files below a folder, its subfolders included.
    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(move |(path, text)| Some((path.strip_prefix(folder)?.strip_prefix('/')?, text)))
    }
}

/// Checks every rule; each is one test of the tally.
///
/// # Errors
/// A sentence where the tree could not be read.
pub(crate) fn tally() -> Result<Tally> {
    let tree = Tree::read()?;
    let mut all = Tally::default();
    for (rule, check) in RULES {
        let broken = check(&tree);
        println!("check {rule} ... {}", if broken.is_empty() { "ok" } else { "FAILED" });
        for sentence in &broken {
            println!("    {sentence}");
        }
        all.absorb(Tally::one(&format!("check: {rule}"), broken.is_empty()));
    }
    Ok(all)
}

/// `cargo xtask check`
///
/// # Errors
/// See [`tally`].
pub(crate) fn run() -> Result<bool> {
    let begin = Instant::now();
    let mut report = Report::default();
    report.step("rules of the tree", tally()?, begin.elapsed().as_secs_f64());
    print!("{}", report.text());
    Ok(report.good())
}
