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
    let mut sum = 0.0;
    for (a, b) in a.chunks(RUN).zip(b.chunks(RUN)) {
        let mut lanes = [T::ZERO; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += f(a, b);
            }
        }
        // Not to the lanes, which would have to go through memory.
        for (&a, &b) in a_rest.iter().zip(b_rest) {
            sum += f(a, b).wide();
        }
        let mut wide = [0.0; LANES];
        for (wide, lane) in wide.iter_mut().zip(lanes) {
            *wide = lane.wide();
        }
        sum += total(wide);
    }
    sum
}

/// The sum of all lanes, halved again and again.
#[inline(always)]
pub(super) fn total(mut lanes: [f64; LANES]) -> f64 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
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
