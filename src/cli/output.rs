//! What the program says: results on stdout, all else on stderr.
//!
//! Nothing is printed in another way. What goes to stderr is progress: where it cannot be written it is dropped, and the
//! work goes on. Results are why a command was run: where they cannot be written, the command fails at its end, when
//! all that it leaves in files is whole. A reader that has closed the pipe has read enough, which is no failure.

use std::{
    fmt,
    io::{self, Write},
    sync::Mutex,
};

/// Says a line of results on stdout; see [`finish`].
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::output::results(format_args!("{}\n", format_args!($($words)*))) };
}

/// Says a line on stderr: progress, notes, errors.
macro_rules! note {
    ($($words:tt)*) => { $crate::cli::output::progress(format_args!("{}\n", format_args!($($words)*))) };
}

pub(super) use {note, say};

/// Why stdout takes no more results.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to stdout as it is; after a failure nothing.
pub(super) fn results(text: fmt::Arguments<'_>) {
    let _ = Results.write_fmt(text);
}

/// Writes to stderr as it is, or drops it.
pub(super) fn progress(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Stdout as a writer that never fails: [`finish`] tells what became of the results.
pub(super) struct Results;

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        attempt(|| io::stdout().lock().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        attempt(|| io::stdout().lock().flush());
        Ok(())
    }
}

/// Writes unless a write has failed before, and keeps the first failure.
fn attempt(write: impl FnOnce() -> io::Result<()>) {
    if let Ok(mut failure) = FAILURE.lock()
        && failure.is_none()
    {
        *failure = write().err();
    }
}

/// Ends the results: writes what is still buffered, and says why a part of them could not be written, unless it is that
/// their reader has gone.
pub(super) fn finish() -> Option<io::Error> {
    let _ = Results.flush();
    let failure = FAILURE.lock().ok().and_then(|mut failure| failure.take());
    failure.filter(|failure| failure.kind() != io::ErrorKind::BrokenPipe)
}
