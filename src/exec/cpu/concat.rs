//! Joining tensors along an axis, taking parts, and their gradients.

use super::{
    Scalar,
    kernel::{Io, Kernel},
};
use crate::{ops::Slice, shape::Shape};

pub(super) struct Forward {
    /// The product of the dimensions before the axis.
    outer: usize,
}

impl Forward {
    pub(super) fn new(axis: usize, inputs: &[&Shape]) -> Self {
        Self { outer: inputs[0].dims()[..axis].iter().product() }
    }
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let row = (0..io.inputs()).map(|i| io.input(i).len()).sum::<usize>() / self.outer;
        let mut start = 0;
        for i in 0..io.inputs() {
            let x = io.input(i);
            let width = x.len() / self.outer;
            let ([y], _) = io.write();
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(row)) {
                y[start..start + width].copy_from_slice(x);
            }
            start += width;
        }
    }
}

/// Where the part lies in each row of the whole.
pub(super) struct Part {
    row: usize,
    start: usize,
    width: usize,
}

impl Part {
    pub(super) fn new(slice: &Slice, whole: &Shape) -> Self {
        let inner: usize = whole.dims()[slice.axis + 1..].iter().product();
        Self { row: whole.dims()[slice.axis] * inner, start: slice.start * inner, width: slice.length * inner }
    }
}

impl<T: Scalar> Kernel<T> for Part {
    fn run(&self, io: &mut Io<'_, T>) {
        let x = io.input(0);
        let ([y], _) = io.write();
        for (x, y) in x.chunks_exact(self.row).zip(y.chunks_exact_mut(self.width)) {
            y.copy_from_slice(&x[self.start..self.start + self.width]);
        }
    }
}

/// The gradient of [`Part`].
pub(super) struct Whole(pub(super) Part);

impl<T: Scalar> Kernel<T> for Whole {
    fn run(&self, io: &mut Io<'_, T>) {
        let Part { row, start, width } = self.0;
        let dy = io.input(0);
        let ([dx], _) = io.write();
        for (dy, dx) in dy.chunks_exact(width).zip(dx.chunks_exact_mut(row)) {
            dx[..start].fill(T::ZERO);
            dx[start..start + width].copy_from_slice(dy);
            dx[start + width..].fill(T::ZERO);
        }
    }
}
