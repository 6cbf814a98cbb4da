//! Iterators whose items threads share: rayon's, or where threads cannot be started, the standard library's under the
//! same names. Loops that split themselves for threads that never come would be a quarter of the engine of a page.

#[cfg(not(target_family = "wasm"))]
pub(super) use rayon::prelude::*;
#[cfg(target_family = "wasm")]
pub(super) use serial::*;

#[cfg(target_family = "wasm")]
mod serial {
    use std::slice::{Chunks, ChunksExactMut, ChunksMut, IterMut};

    /// In order, by the caller.
    pub(in crate::exec::cpu) trait ParallelIterator: Iterator + Sized {
        /// There is one thread, which has one value.
        fn for_each_init<V>(self, init: impl Fn() -> V, f: impl Fn(&mut V, Self::Item)) {
            let mut value = init();
            self.for_each(|item| f(&mut value, item));
        }
    }

    impl<I: Iterator> ParallelIterator for I {}

    /// There are no pieces.
    pub(in crate::exec::cpu) trait IndexedParallelIterator: Iterator + Sized {
        fn with_min_len(self, _: usize) -> Self {
            self
        }

        fn with_max_len(self, _: usize) -> Self {
            self
        }
    }

    impl<I: Iterator> IndexedParallelIterator for I {}

    pub(in crate::exec::cpu) trait IntoParallelIterator: IntoIterator + Sized {
        fn into_par_iter(self) -> Self::IntoIter {
            self.into_iter()
        }
    }

    impl<I: IntoIterator> IntoParallelIterator for I {}

    pub(in crate::exec::cpu) trait ParallelSlice<T> {
        fn par_chunks(&self, size: usize) -> Chunks<'_, T>;
    }

    impl<T> ParallelSlice<T> for [T] {
        fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
            self.chunks(size)
        }
    }

    pub(in crate::exec::cpu) trait ParallelSliceMut<T> {
        fn par_iter_mut(&mut self) -> IterMut<'_, T>;
        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;
        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T>;
    }

    impl<T> ParallelSliceMut<T> for [T] {
        fn par_iter_mut(&mut self) -> IterMut<'_, T> {
            self.iter_mut()
        }

        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
            self.chunks_mut(size)
        }

        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T> {
            self.chunks_exact_mut(size)
        }
    }
}
