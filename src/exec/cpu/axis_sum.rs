//! Sums over one axis, and repetition along a new one.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{BLOCK, Io, Kernel},
};
use crate::{
    ops::{AxisRepeat, AxisSum},
    shape::Shape,
};

pub(super) struct Forward {
    length: usize,
    /// Elements from one index of the axis to the next.
    inner: usize,
    scale: f64,
}

impl Forward {
    pub(super) fn new(op: &AxisSum, input: &Shape) -> Self {
        let inner = input.dims()[op.axis + 1..].iter().product();
        Self { length: input.dims()[op.axis], inner, scale: op.scale }
    }
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let Self { length, inner, scale } = *self;
        let x = io.input(0);
        let ([y], _) = io.write();
        if inner == 1 {
            let rows = y.par_iter_mut().zip(x.par_chunks(length));
            rows.for_each(|(y, x)| *y = T::of(super::sum::sum(x) * scale));
            return;
        }
        y.par_chunks_mut(inner).zip(x.par_chunks(length * inner)).for_each(|(y, x)| {
            for (y, at) in y.chunks_mut(SUMS).zip((0..inner).step_by(SUMS)) {
                let mut sums = [0.0; SUMS];
                let sums = &mut sums[..y.len()];
                for row in x.chunks_exact(inner) {
                    for (sum, x) in sums.iter_mut().zip(&row[at..]) {
                        *sum += x.wide();
                    }
                }
                for (y, sum) in y.iter_mut().zip(sums) {
                    *y = T::of(*sum * scale);
                }
            }
        });
    }
}

/// Sums that are taken at once, in double precision.
const SUMS: usize = 64;

pub(super) struct Repeat {
    length: usize,
    inner: usize,
    scale: f64,
}

impl Repeat {
    pub(super) fn new(op: &AxisRepeat, output: &Shape) -> Self {
        let inner = output.dims()[op.axis + 1..].iter().product();
        Self { length: op.length, inner, scale: op.scale }
    }
}

impl<T: Scalar> Kernel<T> for Repeat {
    fn run(&self, io: &mut Io<'_, T>) {
        let Self { length, inner, .. } = *self;
        let scale = T::of(self.scale);
        let x = io.input(0);
        let ([y], _) = io.write();
        // Whole rows, so many that a task is worth its start.
        let rows = BLOCK.div_ceil(length * inner);
        y.par_chunks_mut(rows * length * inner).zip(x.par_chunks(rows * inner)).for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(length * inner).zip(x.chunks_exact(inner)) {
                for y in y.chunks_exact_mut(inner) {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = x * scale;
                    }
                }
            }
        });
    }
}
