//! `files.json`: the page's files and their hashes, by which its service worker knows that a new version is there, and
//! by which the model's copy in a browser is named.

use std::{collections::BTreeMap, path::Path};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Result;

const NAME: &str = "files.json";

/// Writes the list of all files below the folder.
pub(super) fn write(dist: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    collect(dist, "", &mut files)?;
    let text = json!({ "version": version(&files), "files": files }).to_string();
    let path = dist.join(NAME);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The hash of each file by its path, whose parts are joined by `/`.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else if name != NAME {
            files.insert(name, hex(&std::fs::read(entry.path()).map_err(failed)?));
        }
    }
    Ok(())
}

fn version(files: &BTreeMap<String, String>) -> String {
    let lines: String = files.iter().map(|(path, hash)| format!("{path} {hash}\n")).collect();
    hex(lines.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_version_changes_with_any_file_and_with_nothing_else() {
        let dist = std::env::temp_dir().join(format!("moue-files-{}", std::process::id()));
        std::fs::create_dir_all(dist.join("page")).expect("a folder");
        let listed = |text: &str| {
            std::fs::write(dist.join("page/main.js"), text).expect("a file");
            write(&dist).expect("a list");
            let list = std::fs::read_to_string(dist.join(NAME)).expect("the list");
            serde_json::from_str::<serde_json::Value>(&list).expect("JSON")
        };
        let (first, again, other) = (listed("a"), listed("a"), listed("b"));
        std::fs::remove_dir_all(&dist).expect("the folder again");
        assert_eq!(first, again);
        assert_ne!(first["version"], other["version"]);
        assert_eq!(first["files"].as_object().map(serde_json::Map::len), Some(1));
        assert_eq!(first["files"]["page/main.js"], hex(b"a"));
    }
}
