//! Cutting maps into patches and joining them.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{Io, Kernel, nchw},
};
use crate::{ops::Patches, shape::Shape};

/// Where patches lie.
pub(super) struct Grid {
    patches: Patches,
    /// Channels of a patch, its height and width.
    c: usize,
    h: usize,
    w: usize,
}

impl Grid {
    /// From the patches' shape.
    pub(super) fn new(patches: Patches, stacked: &Shape) -> Self {
        let [_, c, h, w] = nchw(stacked);
        Self { patches, c: c / (patches.rows * patches.columns), h, w }
    }

    /// Where the patch of a plane, counted through all stacked ones, begins in the maps.
    fn start(&self, plane: usize) -> usize {
        let Patches { rows, columns } = self.patches;
        let (map, patch) = (plane % self.c, plane / self.c);
        let (image, patch) = (patch / (rows * columns), patch % (rows * columns));
        let row = ((image * self.c + map) * rows + patch / columns) * self.h;
        (row * columns + patch % columns) * self.w
    }
}

pub(super) struct Forward(pub(super) Grid);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let Grid { h, w, .. } = self.0;
        let step = self.0.patches.columns * w;
        let x = io.input(0);
        let ([y], _) = io.write();
        y.par_chunks_mut(h * w).enumerate().for_each(|(plane, y)| {
            let x = &x[self.0.start(plane)..];
            for (y, x) in y.chunks_exact_mut(w).zip(x.chunks(step)) {
                y.copy_from_slice(&x[..w]);
            }
        });
    }
}

pub(super) struct Join(pub(super) Grid);

impl<T: Scalar> Kernel<T> for Join {
    fn run(&self, io: &mut Io<'_, T>) {
        let Grid { c, h, w, patches: Patches { rows, columns } } = self.0;
        let y = io.input(0);
        let ([x], _) = io.write();
        x.par_chunks_mut(rows * h * columns * w).enumerate().for_each(|(map, x)| {
            for (row, x) in x.chunks_exact_mut(w).enumerate() {
                let (line, column) = (row / columns, row % columns);
                let patch = line / h * columns + column;
                let plane = (map / c * rows * columns + patch) * c + map % c;
                x.copy_from_slice(&y[(plane * h + line % h) * w..][..w]);
            }
        });
    }
}
