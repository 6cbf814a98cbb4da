//! The same loops compiled for several instruction sets, chosen at run time.
//!
//! A vector is always [`LANES`] numbers, in as many registers as the instruction set needs.

#[cfg(target_arch = "x86_64")]
mod x86;

use super::Scalar;

/// Numbers of a vector.
pub(super) const LANES: usize = 16;

/// A vector in memory.
pub type Lanes<T> = [T; LANES];

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
}

/// Loops that are compiled for each instruction set.
pub trait Job<T> {
    /// The loops; `run` and all that it calls must be `#[inline(always)]`.
    ///
    /// Products keep `ROWS`×`BLOCKS` vectors in registers, or `FEW`×`BLOCKS` where both factors come as vectors.
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self);
}

/// Runs a job in f32 with the widest instructions of this processor.
pub(super) fn run_f32(job: impl Job<f32>) {
    #[cfg(target_arch = "x86_64")]
    let Err(job) = x86::run_f32(job) else { return };
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

/// `Σ_k a[k/16][i][k%16]·b[j][k]` for rows i: `a` yields, for each 16 k, the rows' vectors.
#[inline(always)]
pub(super) fn rows_times_lanes<'a, T: Scalar, V: Vector<T>, const R: usize, const B: usize>(
    a: impl Iterator<Item = &'a [Lanes<T>; R]>,
    b: [&[[Lanes<T>; LANES]]; B],
) -> [[V; B]; R] {
    let mut acc = [[V::zero(); B]; R];
    for (at, a) in a.enumerate() {
        let b: [&[Lanes<T>; LANES]; B] = b.map(|b| &b[at]);
        for k in 0..LANES {
            let b: [V; B] = b.map(|b| V::load(&b[k]));
            for (acc, a) in acc.iter_mut().zip(a) {
                let a = V::splat(a[k]);
                for (acc, &b) in acc.iter_mut().zip(&b) {
                    *acc = acc.add_product(a, b);
                }
            }
        }
    }
    acc
}

/// `Σ_k a[k][i]·b[j][k]`.
#[inline(always)]
pub(super) fn lanes_times_lanes<'a, T: Scalar, V: Vector<T>, const R: usize, const B: usize>(
    a: impl Iterator<Item = &'a [T; R]>,
    b: [&[Lanes<T>]; B],
) -> [[V; B]; R] {
    let mut acc = [[V::zero(); B]; R];
    for (k, a) in a.enumerate() {
        let b: [V; B] = b.map(|b| V::load(&b[k]));
        for (acc, &a) in acc.iter_mut().zip(a) {
            let a = V::splat(a);
            for (acc, &b) in acc.iter_mut().zip(&b) {
                *acc = acc.add_product(a, b);
            }
        }
    }
    acc
}
