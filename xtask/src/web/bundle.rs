//! The files of the page beside the engine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{Result, command::Command, root};

/// What of `web/` is for developers only.
const LEFT_OUT: [&str; 6] = ["bench", "dist", "node_modules", "package-lock.json", "tests", "README.md"];

/// An empty folder.
pub(super) fn fresh(dist: &Path) -> Result<()> {
    let failed = |error: std::io::Error| format!("{}: {error}", dist.display());
    if dist.exists() {
        std::fs::remove_dir_all(dist).map_err(failed)?;
    }
    std::fs::create_dir_all(dist).map_err(failed)
}

/// Copies the page, if it is there.
pub(super) fn copy_page(dist: &Path) -> Result<()> {
    let web = root().join("web");
    for name in names(&web)? {
        let wanted = !LEFT_OUT.contains(&&*name) && !name.starts_with('.') && !name.starts_with("tsconfig");
        if wanted {
            copy(&web.join(&name), &dist.join(&name))?;
        }
    }
    Ok(())
}

/// Copies the face detector's model from the crate that ships it, with its licence.
pub(super) fn copy_detector(dist: &Path) -> Result<()> {
    let args = ["metadata", "--format-version", "1", "--locked", "--features", "web"];
    let output = Command::cargo(args).hidden().run()?;
    let metadata = output.last_json()?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let manifest =
        packages.iter().find(|package| package["name"] == "rustface").and_then(|p| p["manifest_path"].as_str());
    let manifest = PathBuf::from(manifest.ok_or("cargo does not know the crate rustface")?);
    let home = manifest.parent().ok_or("the crate rustface has no folder")?;
    copy(&home.join("model/seeta_fd_frontal_v1.0.bin"), &dist.join("face_detector.bin"))?;
    copy(&home.join("LICENSE"), &dist.join("face_detector.LICENSE.txt"))
}

/// Writes `files.json`, by which the page's service worker knows what belongs to one version: `version`, and the SHA-256
/// of each of the `files`.
pub(super) fn list_files(dist: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    hash_below(dist, "", &mut files)?;
    files.remove(LIST);
    let listed = serde_json::json!(files).to_string();
    let list = serde_json::json!({"version": hash(listed.as_bytes()), "files": files});
    std::fs::write(dist.join(LIST), list.to_string()).map_err(|error| format!("{LIST}: {error}"))
}

const LIST: &str = "files.json";

/// The hashes of all files below a folder, by their paths from it with `/` between names.
fn hash_below(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for name in names(folder)? {
        let (path, below) = (folder.join(&name), format!("{prefix}{name}"));
        if path.is_dir() {
            hash_below(&path, &format!("{below}/"), files)?;
        } else {
            let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            files.insert(below, hash(&bytes));
        }
    }
    Ok(())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: std::io::Error| format!("{} to {}: {error}", from.display(), to.display());
    if !from.is_dir() {
        return std::fs::copy(from, to).map(|_| ()).map_err(failed);
    }
    std::fs::create_dir_all(to).map_err(failed)?;
    names(from)?.iter().try_for_each(|name| copy(&from.join(name), &to.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_file_and_its_version_changes_with_any_of_them() {
        let dist = crate::target("test-list-of-files");
        fresh(&dist).unwrap();
        std::fs::create_dir(dist.join("api")).unwrap();
        std::fs::write(dist.join("api/a.js"), "abc").unwrap();
        std::fs::write(dist.join("b.js"), "").unwrap();
        let list = || -> serde_json::Value {
            list_files(&dist).unwrap();
            serde_json::from_slice(&std::fs::read(dist.join(LIST)).unwrap()).unwrap()
        };
        let first = list();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(first["files"]["api/a.js"], abc);
        assert_eq!(first["files"].as_object().unwrap().len(), 2);
        assert_eq!(list(), first);
        std::fs::write(dist.join("b.js"), "changed").unwrap();
        assert_ne!(list()["version"], first["version"]);
        std::fs::remove_dir_all(&dist).unwrap();
    }
}
