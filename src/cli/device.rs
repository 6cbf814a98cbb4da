//! The device that a command runs on.

use super::output::note;
#[cfg(feature = "gpu")]
use super::tile_store::{FileStore, TileSearch};
pub use crate::exec::open::{Opened, auto, open};
use crate::{
    Result,
    exec::{DeviceChoice, Precision},
};

/// The flags that say what a command computes on.
#[derive(Debug, clap::Args)]
pub(super) struct DeviceArgs {
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME.
    #[arg(id = "device", long = "device", value_name = "DEVICE", default_value = "auto")]
    pub(super) choice: DeviceChoice,
    /// What the device computes in.
    #[arg(long, value_enum, default_value = "f32")]
    pub(super) precision: Precision,
    /// Threads of the processor; all by default.
    #[arg(long)]
    pub(super) threads: Option<usize>,
}

impl DeviceArgs {
    /// Opens the device, and says so.
    ///
    /// # Errors
    /// See [`open`].
    pub(super) fn open(&self) -> Result<Opened> {
        let opened = open(&self.choice, self.precision, self.threads)?;
        announce(&opened);
        Ok(opened)
    }
}

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
