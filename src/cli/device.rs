//! The device that a command runs on.

use super::output::note;
#[cfg(feature = "gpu")]
use super::tile_store::{FileStore, TileSearch};
pub use crate::exec::open::{Opened, auto, open};

/// Says on stderr what runs, why, and what it is not trusted with.
pub(super) fn announce(opened: &Opened) {
    note!("device: {}, because {}", opened.name(), opened.reason);
    for note in &opened.executor.device().notes {
        note!("device: {note}");
    }
}

/// What was asked for on the command line.
#[cfg(feature = "gpu")]
static TILE_SEARCH: std::sync::OnceLock<TileSearch> = std::sync::OnceLock::new();

/// Has the devices that are opened from now on search for tiles; the first call counts.
#[cfg(feature = "gpu")]
pub fn search_tiles(search: TileSearch) {
    TILE_SEARCH.get_or_init(|| search);
    crate::exec::open::search_tiles(|software| Some(Box::new(tile_store(software)?)));
}

/// The search that holds for an adapter: where it keeps its tiles, if it is on.
#[cfg(feature = "gpu")]
pub(super) fn tile_store(software: bool) -> Option<FileStore> {
    let search = TILE_SEARCH.get().copied().unwrap_or(TileSearch::Off);
    if search.is_on(software) { FileStore::of_user() } else { None }
}
