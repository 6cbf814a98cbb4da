//! The threads that ops run on: a pool of the executor's own or, where there are no threads, the caller's.

use crate::{Error, Result};

/// Runs work on threads of its own.
#[cfg(not(target_family = "wasm"))]
pub(super) struct Pool(rayon::ThreadPool);

#[cfg(not(target_family = "wasm"))]
impl Pool {
    /// By default one thread a core; `flush` turns denormal numbers into 0 on them.
    pub(super) fn new(threads: Option<usize>, flush: bool) -> Result<Self> {
        let threads = checked(threads)?;
        let threads = threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
        let start = move |_| {
            if flush {
                super::denormals::flush_on_this_thread();
            }
        };
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(start);
        let pool = builder.thread_name(|i| format!("moue-cpu-{i}")).build().map_err(|error| Error::Device {
            device: "cpu".to_owned(),
            problem: format!("{threads} threads could not be started: {error}"),
            hint: "ask for fewer threads".to_owned(),
        })?;
        Ok(Self(pool))
    }

    pub(super) fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.0.install(work)
    }
}

/// Runs work on the caller's thread.
#[cfg(target_family = "wasm")]
pub(super) struct Pool;

#[cfg(target_family = "wasm")]
impl Pool {
    /// However many threads are asked for there is one; it keeps denormal numbers, for WebAssembly knows no other way.
    pub(super) fn new(threads: Option<usize>, _flush: bool) -> Result<Self> {
        checked(threads).map(|_| Self)
    }

    pub(super) fn threads(&self) -> usize {
        1
    }

    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }
}

fn checked(threads: Option<usize>) -> Result<Option<usize>> {
    if threads == Some(0) {
        return Err(Error::Usage {
            setting: "threads".to_owned(),
            expected: "at least 1".to_owned(),
            found: "0".to_owned(),
            hint: "leave it out to use every core".to_owned(),
        });
    }
    Ok(threads)
}
