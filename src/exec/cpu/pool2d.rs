//! Max and average pooling over windows, and their gradient.

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

    /// The positions of a window that lie on the map, in order.
    fn window(&self, i: usize, j: usize) -> impl Iterator<Item = usize> {
        let Pool2d { size, stride, padding, .. } = self.pool;
        let width = self.w;
        let range = move |at: usize, side: usize| {
            let start = at * stride;
            start.saturating_sub(padding)..(start + size).saturating_sub(padding).min(side)
        };
        let columns = range(j, self.w);
        range(i, self.h).flat_map(move |row| columns.clone().map(move |column| row * width + column))
    }

    /// The first of the largest elements of a window.
    fn winner<T: Scalar>(&self, x: &[T], i: usize, j: usize) -> usize {
        let mut window = self.window(i, j);
        let first = window.next().expect("invariant: the padding is at most half the window");
        window.fold(first, |best, at| if x[at] > x[best] { at } else { best })
    }

    fn is_max2(&self) -> bool {
        self.pool == Pool2d::MAX2
    }

    /// The gradient of one plane under [`Pool2d::MAX2`], without branches.
    fn max2_gradient<T: Scalar>(&self, dx: &mut [T], x: &[T], dy: &[T]) {
        let (w, covered) = (self.w, 2 * self.out_w);
        dx[2 * self.out_h * w..].fill(T::ZERO);
        for (i, dy) in dy.chunks_exact(self.out_w).enumerate() {
            let (top, bottom) = x[2 * i * w..][..2 * w].split_at(w);
            let (dtop, dbottom) = dx[2 * i * w..][..2 * w].split_at_mut(w);
            dtop[covered..].fill(T::ZERO);
            dbottom[covered..].fill(T::ZERO);
            let x = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
            let dx = dtop.as_chunks_mut::<2>().0.iter_mut().zip(dbottom.as_chunks_mut::<2>().0);
            for (((&[a, b], &[c, d]), (dtop, dbottom)), &dy) in x.zip(dx).zip(dy) {
                let (right, right_below) = (b > a, d > c);
                let below = if right_below { d } else { c } > if right { b } else { a };
                let only = |hit: bool| if hit { dy } else { T::ZERO };
                *dtop = [only(!below & !right), only(!below & right)];
                *dbottom = [only(below & !right_below), only(below & right_below)];
            }
        }
    }
}

/// The first of the largest of a 2×2 window's elements.
#[inline(always)]
fn max2<T: Scalar>([a, b]: [T; 2], [c, d]: [T; 2]) -> T {
    let top = if b > a { b } else { a };
    let bottom = if d > c { d } else { c };
    if bottom > top { bottom } else { top }
}

pub(super) struct Forward(pub(super) Windows);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let windows = &self.0;
        let x = io.input(0);
        let ([y], _) = io.write();
        let share = T::of(1.0 / (windows.pool.size * windows.pool.size) as f64);
        y.par_chunks_mut(windows.out_h * windows.out_w).zip(x.par_chunks(windows.h * windows.w)).for_each(|(y, x)| {
            for (i, y) in y.chunks_exact_mut(windows.out_w).enumerate() {
                if windows.is_max2() {
                    let (top, bottom) = x[2 * i * windows.w..][..2 * windows.w].split_at(windows.w);
                    for ((y, &top), &bottom) in y.iter_mut().zip(top.as_chunks().0).zip(bottom.as_chunks().0) {
                        *y = max2(top, bottom);
                    }
                    continue;
                }
                for (j, y) in y.iter_mut().enumerate() {
                    *y = match windows.pool.kind {
                        PoolKind::Max => x[windows.winner(x, i, j)],
                        PoolKind::Avg => windows.window(i, j).fold(T::ZERO, |sum, at| sum + x[at]) * share,
                    };
                }
            }
        });
    }
}

pub(super) struct Gradient(pub(super) Windows);

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let windows = &self.0;
        let (dy, x) = (io.input(0), io.input(1));
        let ([dx], _) = io.write();
        let (area, out_area) = (windows.h * windows.w, windows.out_h * windows.out_w);
        let share = T::of(1.0 / (windows.pool.size * windows.pool.size) as f64);
        dx.par_chunks_mut(area).zip(x.par_chunks(area)).zip(dy.par_chunks(out_area)).for_each(|((dx, x), dy)| {
            if windows.is_max2() {
                return windows.max2_gradient(dx, x, dy);
            }
            dx.fill(T::ZERO);
            for (at, &dy) in dy.iter().enumerate() {
                let (i, j) = (at / windows.out_w, at % windows.out_w);
                match windows.pool.kind {
                    PoolKind::Max => dx[windows.winner(x, i, j)] += dy,
                    PoolKind::Avg => windows.window(i, j).for_each(|at| dx[at] += dy * share),
                }
            }
        });
    }
}
