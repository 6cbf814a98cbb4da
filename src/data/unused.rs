//! What lies in a data set's folder and is not used: named, so that nothing vanishes silently.

use std::collections::HashSet;
use std::path::Path;

use super::files::{is_image, names_in};
use crate::Result;

/// A file or folder in a data set's folder that its loader does not read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unused {
    /// Its path below the data set's folder, with `/`; a folder's ends with one.
    pub path: String,
    /// The images in it: 1 or 0 for a file.
    pub images: usize,
}

impl std::fmt::Display for Unused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.path.ends_with('/'), self.images) {
            (true, 1) => write!(f, "not used: {} (1 image)", self.path),
            (true, images) => write!(f, "not used: {} ({images} images)", self.path),
            (false, _) => write!(f, "not used: {}", self.path),
        }
    }
}

/// What a loader knows of a folder: files that it reads or names, and whole folders.
#[derive(Debug, Default)]
pub(super) struct Known {
    paths: HashSet<String>,
    above: HashSet<String>,
}

impl Known {
    /// Adds a file, or a folder with all that is in it, by its path below the data set's folder.
    pub(super) fn add(&mut self, path: &str) {
        let path = key(path);
        for (at, _) in path.match_indices('/') {
            if !self.above.contains(&path[..at]) {
                self.above.insert(path[..at].to_string());
            }
        }
        self.paths.insert(path);
    }

    /// Adds a folder whose files are added one by one: what else is in it is named, not the folder.
    pub(super) fn open(&mut self, path: &str) {
        self.above.insert(key(path));
    }

    /// [`Known::add`] for a path on the disk; what lies outside of `dir` is left out.
    pub(super) fn add_path(&mut self, dir: &Path, path: &Path) {
        if let Ok(below) = path.strip_prefix(dir) {
            let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            if parts.is_empty() {
                self.paths.insert(String::new());
            } else {
                self.add(&parts.join("/"));
            }
        }
    }

    /// What else is in the data set's folder, hidden files apart. A folder of which nothing is known is one entry.
    pub(super) fn unused(&self, dir: &Path) -> Result<Vec<Unused>> {
        let mut found = Vec::new();
        if !self.paths.contains("") {
            self.walk(dir, "", &mut found)?;
        }
        Ok(found)
    }

    fn walk(&self, dir: &Path, below: &str, found: &mut Vec<Unused>) -> Result<()> {
        for name in names_in(&dir.join(below), |_| true)? {
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            let key = key(&path);
            if self.paths.contains(&key) {
                continue;
            }
            let here = dir.join(&path);
            if self.above.contains(&key) {
                self.walk(dir, &path, found)?;
            } else if here.is_dir() {
                found.push(Unused { images: images_in(&here), path: path + "/" });
            } else {
                found.push(Unused { path, images: usize::from(is_image(&name)) });
            }
        }
        Ok(())
    }
}

/// Systems that take `A.png` for `a.png` may list a file under another spelling than the table that names it.
fn key(path: &str) -> String {
    if cfg!(target_os = "linux") { path.into() } else { super::files::composed(path).to_lowercase() }
}

/// The images below a folder; links to folders are not followed, so that a circle of them ends.
fn images_in(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let count = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => images_in(&entry.path()),
        _ => usize::from(is_image(&entry.file_name().to_string_lossy())),
    };
    entries.flatten().map(count).sum()
}
