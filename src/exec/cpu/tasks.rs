//! Tasks that are handed out one by one to threads, each with scratch memory of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::exec::cpu::parallel::*;

/// Calls `f(task, scratch)` for each task; `scratch` is cut into `per_thread` elements for each thread.
///
/// Which thread takes a task depends on timing; what the task computes must not.
pub(super) fn for_each_task<T: Send>(
    scratch: &mut [T],
    per_thread: usize,
    threads: usize,
    tasks: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let next = AtomicUsize::new(0);
    let lanes = scratch.par_chunks_exact_mut(per_thread).take(threads).with_max_len(1);
    lanes.for_each(|scratch| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            f(task, scratch);
        }
    });
}

/// The part of `scratch` that starts at a cache line.
pub(super) fn aligned<T>(scratch: &mut [T]) -> &mut [T] {
    let offset = scratch.as_ptr().align_offset(64).min(scratch.len());
    &mut scratch[offset..]
}

/// Cuts `len` elements off the front of `rest`.
pub(super) fn carve<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    rest.split_off_mut(..len).expect("invariant: the kernel asked for enough scratch memory")
}
