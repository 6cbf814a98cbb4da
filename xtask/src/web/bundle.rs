//! The files of the page beside the engine.

use std::path::{Path, PathBuf};

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
