//! Ctrl-C, and the signals that ask a program to end.
//!
//! Until something is worth saving they end the process at once, with code 130. While a training holds what [`defer`]
//! returns, the first signal sets the flag of [`asked`] alone, and the training looks at it after every step and every
//! batch of a validation, saves its state and ends; a second signal ends the process at once. Either way no temporary file
//! is left. A hang-up that the process was started to ignore, as by `nohup`, stays ignored.

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
    if let Err(error) = ctrlc::set_handler(arrived) {
        note!("Ctrl-C will not save: {error}");
    }
    #[cfg(unix)]
    if let Err(error) = listen_to_the_others() {
        note!("a request to end will not save: {error}");
    }
}

/// What a signal does.
fn arrived() {
    if !DEFERRED.load(Ordering::SeqCst) || ASKED.swap(true, Ordering::SeqCst) {
        discard_partial_files(|| std::process::exit(130));
    }
    note!("\nstopping after this step; once more to stop at once without saving");
}

/// The request to end, and the loss of the terminal.
#[cfg(unix)]
fn listen_to_the_others() -> std::io::Result<()> {
    use signal_hook::{
        consts::{SIGHUP, SIGTERM},
        iterator::Signals,
    };

    let all = [SIGTERM, SIGHUP];
    let mut signals = Signals::new(all.into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal)))?;
    std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(|_| arrived()))?;
    Ok(())
}

/// Whether the process was started with this signal ignored; no where the system does not tell in a file.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
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
