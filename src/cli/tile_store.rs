//! The tiles that searches found, in files of the user's cache folder: one for each adapter, driver and set of shaders.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::output::note;
use crate::{
    checkpoint::{bytes_hash, write_atomic},
    exec::gpu::{TileStore, shaders},
};

/// Whether the fastest tile of each convolution is measured on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TileSearch {
    /// On real GPUs; for adapters that compute on the processor the tiles are known.
    #[default]
    Auto,
    /// On every adapter.
    On,
    /// Nowhere.
    Off,
}

impl TileSearch {
    /// Whether it holds for an adapter.
    #[must_use]
    pub fn is_on(self, software: bool) -> bool {
        self == Self::On || (self == Self::Auto && !software)
    }
}

/// What a file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    device: String,
    shaders: String,
    tiles: BTreeMap<String, String>,
}

/// A folder of such files.
pub struct FileStore {
    folder: PathBuf,
    shaders: String,
}

impl FileStore {
    /// In the user's cache folder, where the system has one.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
        Some(Self::new(strategy.cache_dir().join("moue")))
    }

    /// In a folder of one's own.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        let texts: Vec<String> =
            shaders().iter().map(|shader| format!("{}\n{:?}\n", shader.text, shader.constants)).collect();
        Self { folder, shaders: bytes_hash(texts.concat().as_bytes()) }
    }

    /// The file of a device.
    #[must_use]
    pub fn path(&self, device: &str) -> PathBuf {
        let hash = bytes_hash(format!("{device}\n{}", self.shaders).as_bytes());
        self.folder.join(format!("tiles-{}.json", &hash[..16]))
    }

    /// What a file says of a device; nothing where there is none.
    fn read(&self, path: &Path, device: &str) -> Result<BTreeMap<String, String>, String> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            other => other.map_err(|error| error.to_string())?,
        };
        let saved: Saved = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if (&*saved.device, &saved.shaders) != (device, &self.shaders) {
            return Err(format!("it is of another device, {}, or of other shaders", saved.device));
        }
        Ok(saved.tiles)
    }
}

impl TileStore for FileStore {
    fn load(&mut self, device: &str) -> BTreeMap<String, String> {
        let path = self.path(device);
        self.read(&path, device).unwrap_or_else(|problem| {
            note!("tile search: {} is not used, searching anew: {problem}", path.display());
            BTreeMap::new()
        })
    }

    fn save(&mut self, device: &str, tiles: &BTreeMap<String, String>) {
        let path = self.path(device);
        let saved = Saved { device: device.to_owned(), shaders: self.shaders.clone(), tiles: tiles.clone() };
        let written = fs::create_dir_all(&self.folder).map_err(|error| error.to_string()).and_then(|()| {
            write_atomic(&path, "writing the tiles", |to| Ok(serde_json::to_writer_pretty(to, &saved)?))
                .map_err(|error| error.to_string())
        });
        if let Err(problem) = written {
            note!("tile search: the tiles were found but not kept in {}: {problem}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, FileStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileStore::new(folder.path().join("cache/moue"));
        (folder, store)
    }

    #[test]
    fn tiles_are_found_again_by_the_same_device_only() {
        let (_folder, mut store) = store();
        let tiles = BTreeMap::from([("a shape".to_owned(), "64x128 by 64".to_owned())]);
        assert!(store.load("one, driver 1").is_empty());
        store.save("one, driver 1", &tiles);
        assert_eq!(store.load("one, driver 1"), tiles);
        assert!(store.load("one, driver 2").is_empty());
    }

    #[test]
    fn a_corrupt_or_foreign_file_is_said_and_not_used() {
        let (_folder, mut store) = store();
        let tiles = BTreeMap::from([("a shape".to_owned(), "64x128 by 64".to_owned())]);
        store.save("one", &tiles);
        let (one, two) = (store.path("one"), store.path("two"));
        fs::copy(&one, &two).expect("copied");
        assert!(store.read(&two, "two").expect_err("foreign").contains("another device, one"));
        let text = fs::read_to_string(&one).expect("text");
        fs::write(&one, &text[..text.len() / 2]).expect("written");
        assert!(store.read(&one, "one").expect_err("corrupt").contains("EOF"));
        assert!(store.load("one").is_empty());
        store.save("one", &tiles);
        assert_eq!(store.load("one"), tiles);
    }

    #[test]
    fn software_adapters_are_searched_only_when_asked() {
        let on = |search: TileSearch| [search.is_on(false), search.is_on(true)];
        assert_eq!(
            [on(TileSearch::Auto), on(TileSearch::On), on(TileSearch::Off)],
            [[true, false], [true, true], [false, false]]
        );
    }
}
