//! Max and average pooling over windows, and their gradient.

use std::ops::Range;

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{Io, Kernel, nchw},
    simd::{Job, Vector},
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

    /// Calls `with` for each output of a plane with the place of the first of its window's largest elements, or of
    /// its first NaN.
    #[inline(always)]
    fn winners<T: Scalar>(&self, x: &[T], band: &mut Band<T>, mut with: impl FnMut(usize, usize)) {
        let Pool2d { stride, padding, .. } = self.pool;
        // Beside the map nothing wins.
        band.largest.fill(T::of(f64::NEG_INFINITY));
        for i in 0..self.out_h {
            T::run(RowOfWindows { windows: self, x, rows: self.range(i, self.h), band });
            for j in 0..self.out_w {
                let at = j * stride;
                let (row, step) = (band.best_row[at].wide() as u32, band.step[at].wide() as u32);
                // Where no element is larger than nothing, a neighbour's column may have won.
                let column = (at + step as usize).saturating_sub(padding).min(self.w - 1);
                with(i * self.out_w + j, row as usize * self.w + column);
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
    fn band<T: Scalar>(&self) -> Band<T> {
        // Those beside the map included.
        let columns = vec![T::ZERO; self.w + 2 * self.pool.padding];
        Band {
            largest: columns.clone(),
            row: columns.clone(),
            best: columns.clone(),
            best_row: columns.clone(),
            step: columns,
        }
    }

    /// What each element of a window counts in its average.
    fn share<T: Scalar>(&self) -> T {
        T::of(1.0 / (self.pool.size * self.pool.size) as f64)
    }
}

/// Of each column of a row of windows.
struct Band<T> {
    /// Its largest element.
    largest: Vec<T>,
    /// That element's row.
    row: Vec<T>,
    /// The largest element of the window that begins there.
    best: Vec<T>,
    /// That element's row.
    best_row: Vec<T>,
    /// That element's column, counted from here.
    step: Vec<T>,
}

/// First the largest of each column of a row of windows, then the largest of so many neighbouring columns, from each
/// column on: loops over columns become vectors, and a stride leaves some of them unused.
struct RowOfWindows<'a, T> {
    windows: &'a Windows,
    x: &'a [T],
    /// The map's rows that the windows see.
    rows: Range<usize>,
    band: &'a mut Band<T>,
}

impl<T: Scalar> Job<T> for RowOfWindows<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let Windows { w, pool: Pool2d { size, padding, .. }, .. } = *self.windows;
        let Band { largest, row, best, best_row, step } = self.band;
        let columns = largest.len();
        let (largest, row) = (&mut largest[..columns], &mut row[..columns]);
        let (best, best_row, step) = (&mut best[..columns], &mut best_row[..columns], &mut step[..columns]);
        let Range { start, end } = self.rows;
        largest[padding..][..w].copy_from_slice(&self.x[start * w..][..w]);
        row.fill(T::of(start as f64));
        for below in start + 1..end {
            let at = T::of(below as f64);
            let (largest, row) = (&mut largest[padding..][..w], &mut row[padding..][..w]);
            for ((largest, row), &x) in largest.iter_mut().zip(row).zip(&self.x[below * w..][..w]) {
                let wins = x.beats(*largest);
                *largest = if wins { x } else { *largest };
                *row = if wins { at } else { *row };
            }
        }
        best.copy_from_slice(largest);
        best_row.copy_from_slice(row);
        step.fill(T::ZERO);
        for right in 1..size {
            let at = T::of(right as f64);
            let so_far = best.iter_mut().zip(&mut *best_row).zip(&mut *step);
            for (((best, best_row), step), (&largest, &row)) in so_far.zip(largest[right..].iter().zip(&row[right..])) {
                // Of columns whose largest are equal the one with the upper row wins.
                let (above, below) = (largest.beats(*best), best.beats(largest));
                let wins = above | (!below & (row < *best_row));
                *best = if wins { largest } else { *best };
                *best_row = if wins { row } else { *best_row };
                *step = if wins { at } else { *step };
            }
        }
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
