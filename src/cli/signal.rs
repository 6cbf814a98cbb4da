//! Ctrl-C, and the signals that ask a program to end.
//!
//! Until something is worth saving they end the process at once, with code 130. While a training holds what [`defer`]
//! returns, the first signal sets the flag of [`asked`] alone, and the training looks at it after every step and every
//! batch of a validation, saves its state and ends; a second signal ends the process at once. Either way no temporary file
//! is left.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, Ordering},
};

use super::output::note;
use crate::checkpoint::discard_partial_files;

/// Does the first signal wait for the training?
static DEFERRED: AtomicBool = AtomicBool::new(false);

/// Has there been one since?
static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on signals end the process at once.
pub(super) fn listen() {
    let asked = Arc::clone(&ASKED);
    let installed = ctrlc::set_handler(move || {
        if !DEFERRED.load(Ordering::SeqCst) || asked.swap(true, Ordering::SeqCst) {
            discard_partial_files(|| std::process::exit(130));
        }
        note!("\nstopping after this step; once more to stop at once without saving");
    });
    if let Err(error) = installed {
        note!("Ctrl-C will not save: {error}");
    }
}

/// The flag that a signal sets while it is deferred.
pub(super) fn asked() -> Arc<AtomicBool> {
    Arc::clone(&ASKED)
}

/// While this lives, the first signal sets the flag of [`asked`] instead of ending the process.
pub(super) struct Deferred;

/// To be called when data and device are there, just before a training's first step.
pub(super) fn defer() -> Deferred {
    DEFERRED.store(true, Ordering::SeqCst);
    Deferred
}

impl Drop for Deferred {
    fn drop(&mut self) {
        DEFERRED.store(false, Ordering::SeqCst);
    }
}
