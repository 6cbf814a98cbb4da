//! Max and average pooling over windows, and their gradient.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Scalar,
    kernel::{Io, Kernel, nchw},
};
use crate::{
    ops::{Pool2d, PoolKind},
    shape::Shape,
};

/// A pooling of known sizes.
pub(super) struct Windows {
    pool: Pool2d,
    h: usize,
    w: usize,
    out_h: usize,
    out_w: usize,
}

impl Windows {
    pub(super) fn new(pool: &Pool2d, input: &Shape, output: &Shape) -> Self {
        let ([.., h, w], [.., out_h, out_w]) = (nchw(input), nchw(output));
        Self { pool: *pool, h, w, out_h, out_w }
    }

    /// The part of window `at` along an axis of length `side` that lies on the map.
    #[inline(always)]
    fn range(&self, at: usize, side: usize) -> Range<usize> {
        let Pool2d { size, stride, padding, .. } = self.pool;
        let start = at * stride;
        start.saturating_sub(padding)..(start + size).saturating_sub(padding).min(side)
    }

    /// Calls `with` for each output of a plane with the place of the first of its window's largest elements: first the
    /// largest of each column of a row of windows, then the largest of each window's columns.
    #[inline(always)]
    fn winners<T: Scalar>(&self, x: &[T], band: &mut [T], mut with: impl FnMut(usize, usize)) {
        let w = self.w;
        let (largest, place) = band.split_at_mut(w);
        for i in 0..self.out_h {
            let rows = self.range(i, self.h);
            largest.copy_from_slice(&x[rows.start * w..][..w]);
            place.fill(T::of(rows.start as f64));
            for row in rows.start + 1..rows.end {
                let at = T::of(row as f64);
                for ((largest, place), &x) in largest.iter_mut().zip(&mut *place).zip(&x[row * w..]) {
                    let wins = x > *largest;
                    *largest = if wins { x } else { *largest };
                    *place = if wins { at } else { *place };
                }
            }
            for j in 0..self.out_w {
                let columns = self.range(j, w);
                let mut best = columns.start;
                for column in columns.start + 1..columns.end {
                    let tie = largest[column] == largest[best] && place[column] < place[best];
                    best = if largest[column] > largest[best] || tie { column } else { best };
                }
                with(i * self.out_w + j, place[best].wide() as usize * w + best);
            }
        }
    }

    /// Calls `with` for each output of a plane with each place of its window.
    #[inline(always)]
    fn members(&self, mut with: impl FnMut(usize, usize)) {
        for i in 0..self.out_h {
            for j in 0..self.out_w {
                for row in self.range(i, self.h) {
                    for column in self.range(j, self.w) {
                        with(i * self.out_w + j, row * self.w + column);
                    }
                }
            }
        }
    }

    /// Room for [`Windows::winners`].
    fn band<T: Scalar>(&self) -> Vec<T> {
        vec![T::ZERO; 2 * self.w]
    }

    /// What each element of a window counts in its average.
    fn share<T: Scalar>(&self) -> T {
        T::of(1.0 / (self.pool.size * self.pool.size) as f64)
    }
}

pub(super) struct Forward(pub(super) Windows);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let windows = &self.0;
        let x = io.input(0);
        let ([y], _) = io.write();
        let share: T = windows.share();
        let planes = y.par_chunks_mut(windows.out_h * windows.out_w).zip(x.par_chunks(windows.h * windows.w));
        planes.for_each_init(
            || windows.band(),
            |band, (y, x)| match windows.pool.kind {
                PoolKind::Max => windows.winners(x, band, |to, from| y[to] = x[from]),
                PoolKind::Avg => {
                    y.fill(T::ZERO);
                    windows.members(|to, from| y[to] += x[from]);
                    y.iter_mut().for_each(|y| *y = *y * share);
                }
            },
        );
    }
}

pub(super) struct Gradient(pub(super) Windows);

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let windows = &self.0;
        let (dy, x) = (io.input(0), io.input(1));
        let ([dx], _) = io.write();
        let (area, out_area) = (windows.h * windows.w, windows.out_h * windows.out_w);
        let share: T = windows.share();
        let planes = dx.par_chunks_mut(area).zip(x.par_chunks(area)).zip(dy.par_chunks(out_area));
        planes.for_each_init(
            || windows.band(),
            |band, ((dx, x), dy)| {
                dx.fill(T::ZERO);
                match windows.pool.kind {
                    PoolKind::Max => windows.winners(x, band, |from, to| dx[to] += dy[from]),
                    PoolKind::Avg => windows.members(|from, to| dx[to] += dy[from] * share),
                }
            },
        );
    }
}
