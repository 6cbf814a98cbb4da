//! One plane normalised, activated and pooled, and the way back: block by block, so that all of a block stays in the
//! first-level cache, and in loops over columns, which the compiler turns into vectors.

use super::{
    super::{Scalar, sum::total},
    Curve,
};

/// z = act((x − mean)·scale + shift), with the same rounding wherever it is computed, so that ties are the same too.
#[derive(Clone, Copy)]
pub(super) struct Affine<T> {
    pub(super) mean: T,
    pub(super) scale: T,
    pub(super) shift: T,
}

impl<T: Scalar> Affine<T> {
    #[inline(always)]
    pub(super) fn normal(&self, centred: T) -> T {
        centred * self.scale + self.shift
    }
}

/// What dx takes from the sums over the channel: `dx = scale·(dz − mean − (x − μ)·slope)`.
#[derive(Clone, Copy)]
pub(super) struct Correction<T> {
    pub(super) mean: T,
    pub(super) slope: T,
}

/// Elements of y in a block.
const BLOCK: usize = 256;
/// Columns that a block's windows have.
const COLUMNS: usize = 2 * BLOCK;

/// Windows that loops over pairs of columns work on, of which the last ones may be left over from another block: a
/// multiple of what the compiler makes of a vector loop, whose remainder is slow.
fn padded(windows: usize) -> usize {
    windows.next_multiple_of(64)
}

/// The larger, or NaN where one is.
#[inline(always)]
fn larger<T: Scalar>(a: T, b: T) -> T {
    if (b > a) | b.is_nan() { b } else { a }
}

/// Room for a block.
pub(super) struct Room<T> {
    /// The gradient of y.
    gradient: [T; BLOCK],
    /// The gradient before the activation, of each window.
    dz: [T; BLOCK],
    /// x − μ of each window's winner.
    centred: [T; BLOCK],
    /// 1 where that stands in the window's right column.
    right: [T; BLOCK],
    /// The larger z of each column.
    largest: [T; COLUMNS],
    /// Its x − μ; later the column's part of dz.
    column: [T; COLUMNS],
    /// 1 where the lower of two is the larger.
    below: [T; COLUMNS],
}

impl<T: Scalar> Room<T> {
    pub(super) fn new() -> Self {
        Self {
            gradient: [T::ZERO; BLOCK],
            dz: [T::ZERO; BLOCK],
            centred: [T::ZERO; BLOCK],
            right: [T::ZERO; BLOCK],
            largest: [T::ZERO; COLUMNS],
            column: [T::ZERO; COLUMNS],
            below: [T::ZERO; COLUMNS],
        }
    }
}

/// The gradient of a plane of y: `dy + share`, and a peak more at one place.
#[derive(Clone, Copy)]
pub(super) struct PlaneGradient<'a, T> {
    pub(super) dy: &'a [T],
    pub(super) share: T,
    pub(super) peak: Option<Peak<T>>,
}

/// The gradient of a plane's maximum.
#[derive(Clone, Copy)]
pub(super) struct Peak<T> {
    pub(super) gradient: T,
    pub(super) place: usize,
}

/// An element of x that became one of y.
struct Winner<T> {
    at: usize,
    centred: T,
    z: T,
}

/// Σ a and Σ a·b of rows that come one after the other: lanes that are joined in double precision now and then.
pub(super) struct Sums<T> {
    total: [T; 16],
    along: [T; 16],
    pending: usize,
    joined: [[f64; 16]; 2],
    /// What is left of rows beyond whole vectors.
    rest: [f64; 2],
}

impl<T: Scalar> Sums<T> {
    /// Elements after which the lanes are joined, so that rounding errors stay those of short sums.
    const RUN: usize = 1024;

    pub(super) fn new() -> Self {
        Self { total: [T::ZERO; 16], along: [T::ZERO; 16], pending: 0, joined: [[0.0; 16]; 2], rest: [0.0; 2] }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, a: &[T], b: &[T]) {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        let (mut total, mut along) = (self.total, self.along);
        for (a, b) in a.iter().zip(b) {
            for i in 0..16 {
                total[i] += a[i];
                along[i] += a[i] * b[i];
            }
        }
        for (&a, &b) in a_rest.iter().zip(b_rest) {
            self.add_one(a, b);
        }
        (self.total, self.along) = (total, along);
        self.pending += 16 * a.len();
        if self.pending >= Self::RUN {
            self.join();
        }
    }

    #[inline(always)]
    fn add_one(&mut self, a: T, b: T) {
        self.rest[0] += a.wide();
        self.rest[1] += (a * b).wide();
    }

    #[inline(always)]
    fn join(&mut self) {
        for i in 0..16 {
            self.joined[0][i] += self.total[i].wide();
            self.joined[1][i] += self.along[i].wide();
        }
        (self.total, self.along, self.pending) = ([T::ZERO; 16], [T::ZERO; 16], 0);
    }

    /// Σ a, Σ a·b.
    #[inline(always)]
    pub(super) fn finish(mut self) -> [f64; 2] {
        self.join();
        [total(self.joined[0]) + self.rest[0], total(self.joined[1]) + self.rest[1]]
    }
}

/// How a plane becomes one of y.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    h: usize,
    w: usize,
    /// y's sides, where windows are pooled.
    pooled: Option<[usize; 2]>,
}

/// A run of windows in one row of them.
struct Piece {
    /// The place of the first among a block's columns.
    at: usize,
    /// Its first element in the plane, and the one below.
    top: usize,
    bottom: usize,
    columns: usize,
}

impl Windows {
    pub(super) fn new(h: usize, w: usize, pool: bool) -> Self {
        Self { h, w, pooled: pool.then_some([h / 2, w / 2]) }
    }

    /// Elements of a plane of y.
    pub(super) fn outputs(&self) -> usize {
        self.pooled.map_or(self.h * self.w, |[h, w]| h * w)
    }

    /// How many windows from `first` on make a block: whole rows of them where a row fits.
    #[inline(always)]
    fn block(&self, first: usize, across: usize) -> usize {
        let row = across - first % across;
        let whole = if row > BLOCK { BLOCK } else { row + (BLOCK - row) / across * across };
        whole.min(self.outputs() - first)
    }

    /// The piece that starts with a block's window `at`.
    #[inline(always)]
    fn piece(&self, first: usize, at: usize, count: usize, across: usize) -> Piece {
        let (row, column) = ((first + at) / across, (first + at) % across);
        let top = 2 * row * self.w + 2 * column;
        Piece { at: 2 * at, top, bottom: top + self.w, columns: 2 * (across - column).min(count - at) }
    }

    /// y of a plane.
    #[inline(always)]
    pub(super) fn forward<T: Scalar, A: Curve>(&self, affine: Affine<T>, x: &[T], y: &mut [T], room: &mut Room<T>) {
        let Some([_, across]) = self.pooled else {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = A::value(affine.normal(x - affine.mean));
            }
            return;
        };
        let mut first = 0;
        while first < y.len() {
            let count = self.block(first, across);
            let mut at = 0;
            while at < count {
                let piece = self.piece(first, at, count, across);
                let (top, bottom) = (&x[piece.top..][..piece.columns], &x[piece.bottom..][..piece.columns]);
                let largest = &mut room.largest[piece.at..][..piece.columns];
                for ((largest, &top), &bottom) in largest.iter_mut().zip(top).zip(bottom) {
                    let top = A::value(affine.normal(top - affine.mean));
                    let bottom = A::value(affine.normal(bottom - affine.mean));
                    *largest = larger(top, bottom);
                }
                at += piece.columns / 2;
            }
            let padded = padded(count);
            let pairs = room.largest[..2 * padded].as_chunks::<2>().0;
            for (y, &[left, right]) in room.dz[..padded].iter_mut().zip(pairs) {
                *y = larger(left, right);
            }
            y[first..first + count].copy_from_slice(&room.dz[..count]);
            first += count;
        }
    }

    /// Adds a plane's dz and dz·(x − μ).
    #[inline(always)]
    pub(super) fn reduce<T: Scalar, A: Curve>(
        &self,
        affine: Affine<T>,
        gradient: PlaneGradient<'_, T>,
        x: &[T],
        sums: &mut Sums<T>,
        room: &mut Room<T>,
    ) {
        let mut first = 0;
        while first < gradient.dy.len() {
            let count = match self.pooled {
                Some([_, across]) => self.block(first, across),
                None => BLOCK.min(x.len() - first),
            };
            if let Some([_, across]) = self.pooled {
                self.winners::<T, A>(affine, gradient, x, first..first + count, across, room);
            } else {
                let terms = room.dz[..count].iter_mut().zip(&mut room.centred[..count]);
                for (((dz, centred), &x), &dy) in terms.zip(&x[first..]).zip(&gradient.dy[first..]) {
                    *centred = x - affine.mean;
                    *dz = A::gradient(dy + gradient.share, A::value(affine.normal(*centred)));
                }
            }
            sums.add(&room.dz[..count], &room.centred[..count]);
            first += count;
        }
        // Apart, because the rows above would have to wait for a single element's way through memory.
        if let Some(peak) = gradient.peak {
            let winner = self.winner::<T, A>(affine, x, peak.place);
            sums.add_one(A::gradient(peak.gradient, winner.z), winner.centred);
        }
    }

    /// Where an element of y comes from.
    #[inline(always)]
    fn winner<T: Scalar, A: Curve>(&self, affine: Affine<T>, x: &[T], place: usize) -> Winner<T> {
        let element = |at: usize| {
            let centred = x[at] - affine.mean;
            Winner { at, centred, z: A::value(affine.normal(centred)) }
        };
        let Some([_, across]) = self.pooled else { return element(place) };
        let top = 2 * (place / across * self.w + place % across);
        let mut best = element(top);
        for at in [top + 1, top + self.w, top + self.w + 1] {
            let other = element(at);
            if other.z > best.z {
                best = other;
            }
        }
        best
    }

    /// Fills the room for some windows: dz, x − μ and the column of each winner, and which of a column is the larger.
    /// Where x has a NaN all of the channel is NaN, of which the first wins here too.
    #[inline(always)]
    fn winners<T: Scalar, A: Curve>(
        &self,
        affine: Affine<T>,
        gradient: PlaneGradient<'_, T>,
        x: &[T],
        windows: std::ops::Range<usize>,
        across: usize,
        room: &mut Room<T>,
    ) {
        let count = windows.len();
        for (g, &dy) in room.gradient[..count].iter_mut().zip(&gradient.dy[windows.start..]) {
            *g = dy + gradient.share;
        }
        let mut at = 0;
        while at < count {
            let piece = self.piece(windows.start, at, count, across);
            let (top, bottom) = (&x[piece.top..][..piece.columns], &x[piece.bottom..][..piece.columns]);
            let largest = &mut room.largest[piece.at..][..piece.columns];
            let column = &mut room.column[piece.at..][..piece.columns];
            let below = &mut room.below[piece.at..][..piece.columns];
            let to = largest.iter_mut().zip(column).zip(below);
            for ((((largest, column), below), &top), &bottom) in to.zip(top).zip(bottom) {
                let (top, bottom) = (top - affine.mean, bottom - affine.mean);
                let (z, lower) = (A::value(affine.normal(top)), A::value(affine.normal(bottom)));
                let is_below = lower > z;
                *largest = if is_below { lower } else { z };
                *column = if is_below { bottom } else { top };
                *below = if is_below { T::ONE } else { T::ZERO };
            }
            at += piece.columns / 2;
        }
        let padded = padded(count);
        let largest = room.largest[..2 * padded].as_chunks::<2>().0;
        let below = room.below[..2 * padded].as_chunks::<2>().0;
        let from = largest.iter().zip(below).zip(&room.gradient[..padded]);
        let to = room.dz[..padded].iter_mut().zip(&mut room.right[..padded]);
        for ((dz, is_right), ((&[left, right], &[left_below, right_below]), &g)) in to.zip(from) {
            // Of two equal ones the first in row-major order wins: the right one where it is above the left one.
            let wins = (right > left) | ((right == left) & (left_below > right_below));
            *is_right = if wins { T::ONE } else { T::ZERO };
            *dz = A::gradient(g, if right > left { right } else { left });
        }
        let column = room.column[..2 * padded].as_chunks::<2>().0;
        let to = room.centred[..padded].iter_mut();
        for ((centred, &[left, right]), &is_right) in to.zip(column).zip(&room.right[..padded]) {
            *centred = if is_right > T::ZERO { right } else { left };
        }
    }

    /// dx of a plane.
    #[inline(always)]
    pub(super) fn backward<T: Scalar, A: Curve>(
        &self,
        affine: Affine<T>,
        correction: Correction<T>,
        gradient: PlaneGradient<'_, T>,
        x: &[T],
        dx: &mut [T],
        room: &mut Room<T>,
    ) {
        let Affine { mean, scale, .. } = affine;
        let mut first = 0;
        while let Some([_, across]) = self.pooled
            && first < gradient.dy.len()
        {
            let count = self.block(first, across);
            self.winners::<T, A>(affine, gradient, x, first..first + count, across, room);
            let padded = padded(count);
            let column = room.column[..2 * padded].as_chunks_mut::<2>().0;
            let won = room.dz[..padded].iter().zip(&room.right[..padded]);
            for ([left, right], (&dz, &is_right)) in column.iter_mut().zip(won) {
                let is_right = is_right > T::ZERO;
                *left = if is_right { T::ZERO } else { dz };
                *right = if is_right { dz } else { T::ZERO };
            }
            let mut at = 0;
            while at < count {
                let piece = self.piece(first, at, count, across);
                let (top, bottom) = (&x[piece.top..][..piece.columns], &x[piece.bottom..][..piece.columns]);
                let (above, under) = dx.split_at_mut(piece.bottom);
                let to = above[piece.top..][..piece.columns].iter_mut().zip(&mut under[..piece.columns]);
                let won = room.column[piece.at..][..piece.columns].iter().zip(&room.below[piece.at..]);
                for ((((above, under), &top), &bottom), (&dz, &below)) in to.zip(top).zip(bottom).zip(won) {
                    let is_below = below > T::ZERO;
                    let (dtop, dbottom) = if is_below { (T::ZERO, dz) } else { (dz, T::ZERO) };
                    *above = scale * (dtop - correction.mean - (top - mean) * correction.slope);
                    *under = scale * (dbottom - correction.mean - (bottom - mean) * correction.slope);
                }
                at += piece.columns / 2;
            }
            first += count;
        }
        if self.pooled.is_some() {
            self.outside(affine, correction, x, dx);
        } else {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(gradient.dy) {
                let centred = x - mean;
                let dz = A::gradient(dy + gradient.share, A::value(affine.normal(centred)));
                *dx = scale * (dz - correction.mean - centred * correction.slope);
            }
        }
        if let Some(peak) = gradient.peak {
            let winner = self.winner::<T, A>(affine, x, peak.place);
            dx[winner.at] += scale * A::gradient(peak.gradient, winner.z);
        }
    }

    /// dx of the elements outside of all windows.
    #[inline(always)]
    fn outside<T: Scalar>(&self, affine: Affine<T>, correction: Correction<T>, x: &[T], dx: &mut [T]) {
        let Some([down, across]) = self.pooled else { return };
        let Affine { mean, scale, .. } = affine;
        let lone = |x: T| scale * (T::ZERO - correction.mean - (x - mean) * correction.slope);
        if 2 * across < self.w {
            for row in 0..2 * down {
                let at = (row + 1) * self.w - 1;
                dx[at] = lone(x[at]);
            }
        }
        let rest = 2 * down * self.w;
        for (dx, &x) in dx[rest..].iter_mut().zip(&x[rest..]) {
            *dx = lone(x);
        }
    }
}
