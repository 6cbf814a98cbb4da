//! Sums of rows: independent accumulators, which the compiler turns into vector lanes, joined in double precision.

use super::Scalar;

/// Accumulators of a sum.
const LANES: usize = 16;

/// Elements after which the accumulators are joined, so that rounding errors stay those of short sums.
const RUN: usize = 1024;

/// Σ f(a_i, b_i).
#[inline(always)]
pub(super) fn sum_with<T: Scalar>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    let mut total = 0.0;
    for (a, b) in a.chunks(RUN).zip(b.chunks(RUN)) {
        let mut lanes = [T::ZERO; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += f(a, b);
            }
        }
        for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
            *lane += f(a, b);
        }
        total += lanes.iter().map(|lane| lane.wide()).sum::<f64>();
    }
    total
}

/// Σ a_i.
#[inline(always)]
pub(super) fn sum<T: Scalar>(a: &[T]) -> f64 {
    sum_with(a, a, |a, _| a)
}

/// Σ a_i·b_i.
#[inline(always)]
pub(super) fn dot<T: Scalar>(a: &[T], b: &[T]) -> f64 {
    sum_with(a, b, |a, b| a * b)
}

/// y ← y + factor·x.
#[inline(always)]
pub(super) fn add_scaled<T: Scalar>(y: &mut [T], factor: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}
