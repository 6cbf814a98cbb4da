//! What an op's room provides to the executor, and what it is given.

use crate::{exec::cpu::parallel::*, shape::Shape};

use super::Scalar;

/// An op prepared for known shapes.
pub(super) trait Kernel<T>: Send + Sync {
    /// Elements of scratch memory that a run with `threads` threads needs.
    fn scratch(&self, _threads: usize) -> usize {
        0
    }

    /// Elements of what is derived from the parameters alone, such as filters in another layout.
    fn derived(&self) -> usize {
        0
    }

    /// Whether to keep what is derived until a parameter changes, where a program does not train: worth its memory
    /// where deriving takes long beside running.
    fn keeps_derived(&self) -> bool {
        false
    }

    /// Derives it, from the inputs behind the first. Runs on a thread of the executor's pool.
    fn derive(&self, _io: &Io<'_, T>, _derived: &mut [T]) {}

    /// Computes the outputs whole and updates the variables. Runs on a thread of the executor's pool.
    fn run(&self, io: &mut Io<'_, T>);
}

/// The first `len` elements of a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) buffer: usize,
    pub(super) len: usize,
}

/// A buffer taken out of the arena while an op writes it.
#[derive(Debug, Default)]
pub(super) struct Held<T> {
    pub(super) data: Vec<T>,
    pub(super) len: usize,
}

/// The tensors of an op at work.
pub(super) struct Io<'a, T> {
    pub(super) arena: &'a [Vec<T>],
    pub(super) inputs: &'a [Span],
    /// The outputs, then the updates.
    pub(super) held: &'a mut [Held<T>],
    pub(super) scratch: &'a mut [T],
    /// What [`Kernel::derive`] computed, from a cache line on.
    pub(super) derived: &'a [T],
    pub(super) threads: usize,
}

impl<'a, T> Io<'a, T> {
    /// The number of inputs.
    pub(super) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Input `i`.
    pub(super) fn input(&self, i: usize) -> &'a [T] {
        let span = self.inputs[i];
        &self.arena[span.buffer][..span.len]
    }

    /// The first `K` of outputs and updates, and the scratch memory.
    pub(super) fn write<const K: usize>(&mut self) -> ([&mut [T]; K], &mut [T]) {
        let mut held = self.held.iter_mut();
        let outputs = std::array::from_fn(|_| {
            let held = held.next().expect("invariant: the graph gave the op all its outputs");
            &mut held.data[..held.len]
        });
        (outputs, self.scratch)
    }
}

/// Elements that a task of an elementwise op works on: two such rows stay in the first-level cache.
pub(super) const BLOCK: usize = 4096;

/// `y = f(x)` for each element.
pub(super) fn map<T: Scalar>(y: &mut [T], x: &[T], f: impl Fn(T) -> T + Sync) {
    y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
    });
}

/// `y = f(a, b)` for each element.
pub(super) fn zip_map<T: Scalar>(y: &mut [T], a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) {
    y.par_chunks_mut(BLOCK).zip(a.par_chunks(BLOCK)).zip(b.par_chunks(BLOCK)).for_each(|((y, a), b)| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
    });
}

/// The four dimensions that a contract has already checked.
pub(super) fn nchw(shape: &Shape) -> [usize; 4] {
    shape.nchw().expect("invariant: the contract checked the rank")
}
