//! The same loops compiled for several instruction sets, chosen at run time.
//!
//! A vector is always [`LANES`] numbers, in as many registers as the instruction set needs.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::slice::Chunks;

use super::Scalar;

/// Numbers of a vector.
pub(super) const LANES: usize = 16;

/// A vector in memory.
pub(super) type Lanes<T> = [T; LANES];

/// Rows of a product's tile are padded to a multiple of this, which each instruction set's own number divides.
pub(super) const ROWS: usize = 12;

/// A vector in registers.
pub trait Vector<T>: Copy {
    /// All lanes 0.
    fn zero() -> Self;
    /// All lanes the same.
    fn splat(value: T) -> Self;
    /// From memory.
    fn load(from: &Lanes<T>) -> Self;
    /// To memory.
    fn store(self, to: &mut Lanes<T>);
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self − other`.
    fn sub(self, other: Self) -> Self;
    /// `self · other`.
    fn mul(self, other: Self) -> Self;
    /// `self + a·b`, rounded once where the processor can.
    fn add_product(self, a: Self, b: Self) -> Self;
    /// Row and column exchanged.
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES]
    where
        T: Scalar,
    {
        let mut from = [[T::ZERO; LANES]; LANES];
        for (from, row) in from.iter_mut().zip(rows) {
            row.store(from);
        }
        let mut to = [Self::zero(); LANES];
        for (i, to) in to.iter_mut().enumerate() {
            let mut column = [T::ZERO; LANES];
            for (value, row) in column.iter_mut().zip(&from) {
                *value = row[i];
            }
            *to = Self::load(&column);
        }
        to
    }
    /// Asks for the cache line of an element, where the processor can.
    #[inline(always)]
    fn prefetch(_: &T) {}
}

/// Loops that are compiled for each instruction set.
pub trait Job<T> {
    /// The loops; `run` and all that it calls must be `#[inline(always)]`, and no closure may compute: it would be a
    /// function of its own, compiled without the instructions.
    ///
    /// Products keep `ROWS`×`BLOCKS` vectors in registers, or `FEW`×`BLOCKS` where both factors come as vectors.
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self);
}

/// Runs a job in f32 with the widest instructions of this processor.
pub(super) fn run_f32(job: impl Job<f32>) {
    #[cfg(target_arch = "x86_64")]
    let Err(job) = x86::run_f32(job) else { return };
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    wasm::run_f32(job);
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    job.run::<Portable<f32>, 3, 2, 1>();
}

/// Runs a job in f64 with the widest instructions of this processor.
pub(super) fn run_f64(job: impl Job<f64>) {
    #[cfg(target_arch = "x86_64")]
    let Err(job) = x86::run_f64(job) else { return };
    job.run::<Portable<f64>, 1, 1, 1>();
}

/// A vector that the compiler maps to whatever registers there are.
#[derive(Clone, Copy)]
struct Portable<T>(Lanes<T>);

impl<T: Scalar> Portable<T> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl<T: Scalar> Vector<T> for Portable<T> {
    #[inline(always)]
    fn zero() -> Self {
        Self([T::ZERO; LANES])
    }
    #[inline(always)]
    fn splat(value: T) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    fn load(from: &Lanes<T>) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes<T>) {
        *to = self.0;
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        self.add(a.mul(b))
    }
}

/// N vectors that stand `step` apart.
#[inline(always)]
pub(super) fn load<T: Scalar, V: Vector<T>, const N: usize>(from: &[Lanes<T>], step: usize) -> [V; N] {
    let from = &from[..(N - 1) * step + 1];
    let mut out = [V::zero(); N];
    for (i, out) in out.iter_mut().enumerate() {
        *out = V::load(&from[i * step]);
    }
    out
}

/// Puts N vectors `step` apart.
#[inline(always)]
pub(super) fn store<T: Scalar, V: Vector<T>, const N: usize>(values: [V; N], to: &mut [Lanes<T>], step: usize) {
    let to = &mut to[..(N - 1) * step + 1];
    for (i, value) in values.into_iter().enumerate() {
        value.store(&mut to[i * step]);
    }
}

/// Row and column exchanged.
#[inline(always)]
pub(super) fn transpose<V: Copy, const R: usize, const C: usize>(rows: &[[V; C]; R], empty: V) -> [[V; R]; C] {
    let mut out = [[empty; R]; C];
    for (i, row) in rows.iter().enumerate() {
        for (j, &value) in row.iter().enumerate() {
            out[j][i] = value;
        }
    }
    out
}

/// Asks for the next chunk of what will be needed, so that it comes from memory while something else is computed.
#[inline(always)]
pub(super) fn prefetch<T: Scalar, V: Vector<T>>(ahead: &mut Chunks<'_, Lanes<T>>) {
    for line in ahead.next().unwrap_or_default() {
        V::prefetch(&line[0]);
    }
}

/// `acc[i][j] += a[i]·b[j]`.
#[inline(always)]
pub(super) fn add_outer<T: Scalar, V: Vector<T>, const R: usize, const B: usize>(
    acc: &mut [[V; B]; R],
    a: [T; R],
    b: [&Lanes<T>; B],
) {
    let mut columns = [V::zero(); B];
    for (column, b) in columns.iter_mut().zip(b) {
        *column = V::load(b);
    }
    for (acc, a) in acc.iter_mut().zip(a) {
        let a = V::splat(a);
        for (acc, &b) in acc.iter_mut().zip(&columns) {
            *acc = acc.add_product(a, b);
        }
    }
}

/// `Σ_k a[k/16][i][k%16]·b[j][k]` for rows i; of each 16 k, the rows' vectors stand together, `step` vectors from
/// those of the 16 before. With each 16 k it asks for a chunk of all that is `ahead`.
#[inline(always)]
pub(super) fn rows_times_lanes<T: Scalar, V: Vector<T>, const R: usize, const B: usize>(
    a: &[Lanes<T>],
    step: usize,
    b: [&[[Lanes<T>; LANES]]; B],
    ahead: &mut [Chunks<'_, Lanes<T>>; B],
) -> [[V; B]; R] {
    let mut acc = [[V::zero(); B]; R];
    for at in 0..b[0].len() {
        let rows: &[Lanes<T>; R] = a[at * step..].first_chunk().expect("invariant: tiles are padded");
        let mut filters = [&b[0][at]; B];
        for (filters, b) in filters.iter_mut().zip(b) {
            *filters = &b[at];
        }
        for ahead in ahead.iter_mut() {
            prefetch::<T, V>(ahead);
        }
        for k in 0..LANES {
            let mut a = [T::ZERO; R];
            for (a, row) in a.iter_mut().zip(rows) {
                *a = row[k];
            }
            let mut b = [&filters[0][k]; B];
            for (b, filters) in b.iter_mut().zip(filters) {
                *b = &filters[k];
            }
            add_outer(&mut acc, a, b);
        }
    }
    acc
}

/// `Σ_k a[k][i + first]·b[j][k]` for R lanes i.
#[inline(always)]
pub(super) fn lanes_times_lanes<T: Scalar, V: Vector<T>, const R: usize, const B: usize>(
    a: &[Lanes<T>],
    first: usize,
    b: [&[Lanes<T>]; B],
) -> [[V; B]; R] {
    let mut acc = [[V::zero(); B]; R];
    let parts = a.as_flattened().as_chunks::<R>().0;
    let per_vector = LANES / R;
    for (k, b0) in b[0].iter().enumerate() {
        let mut vectors = [b0; B];
        for (vector, b) in vectors.iter_mut().zip(b) {
            *vector = &b[k];
        }
        add_outer(&mut acc, parts[k * per_vector + first / R], vectors);
    }
    acc
}
