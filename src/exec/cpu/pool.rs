//! The threads that ops run on: a pool of the executor's own or, where there are no threads, the caller's.

use crate::{Result, exec::threads};

/// Runs work on threads of its own.
#[cfg(not(target_family = "wasm"))]
pub(super) struct Pool(rayon::ThreadPool);

#[cfg(not(target_family = "wasm"))]
impl Pool {
    /// By default one thread a core; `flush` turns denormal numbers into 0 on them.
    pub(super) fn new(threads: Option<usize>, flush: bool) -> Result<Self> {
        let count = threads::count(threads)?;
        let start = move |_| {
            if flush {
                super::denormals::flush_on_this_thread();
            }
        };
        let builder = rayon::ThreadPoolBuilder::new().num_threads(count).start_handler(start);
        let pool = builder.thread_name(|i| format!("moue-cpu-{i}")).build();
        Ok(Self(pool.map_err(|error| threads::refused(&format!("{count} threads"), &error))?))
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
        threads::count(threads).map(|_| Self)
    }

    pub(super) fn threads(&self) -> usize {
        1
    }

    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }
}
