//! Vectors of AVX-512 and AVX2.

#![expect(
    unsafe_code,
    reason = "instructions beyond SSE2 need it; arrays left to the compiler run 100 times slower in matrix products"
)]

use std::arch::x86_64::*;

use super::{Job, Lanes, Vector};

/// Defines a vector of `$count` registers. Its methods may only run where the processor has its instructions: they
/// are reached through [`run_f32`] and [`run_f64`] alone, which check.
macro_rules! vector {
    ($name:ident, $t:ty, $register:ty, $count:literal, $width:literal,
     $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident) => {
        #[derive(Clone, Copy)]
        struct $name([$register; $count]);

        // SAFETY of all blocks: the processor has the instructions (see the macro's comment); loads and stores stay
        // within the array of $count·$width elements that they are given.
        impl Vector<$t> for $name {
            #[inline(always)]
            fn zero() -> Self {
                unsafe { Self([$zero(); $count]) }
            }
            #[inline(always)]
            fn splat(value: $t) -> Self {
                unsafe { Self([$splat(value); $count]) }
            }
            // Loops, not closures: a closure is a function of its own, without the instructions, until it is inlined.
            #[inline(always)]
            fn load(from: &Lanes<$t>) -> Self {
                let mut out = Self::zero();
                for i in 0..$count {
                    out.0[i] = unsafe { $load(from.as_ptr().add(i * $width)) };
                }
                out
            }
            #[inline(always)]
            fn store(self, to: &mut Lanes<$t>) {
                for i in 0..$count {
                    unsafe { $store(to.as_mut_ptr().add(i * $width), self.0[i]) };
                }
            }
            #[inline(always)]
            fn add(mut self, other: Self) -> Self {
                for i in 0..$count {
                    self.0[i] = unsafe { $add(self.0[i], other.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn sub(mut self, other: Self) -> Self {
                for i in 0..$count {
                    self.0[i] = unsafe { $sub(self.0[i], other.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn mul(mut self, other: Self) -> Self {
                for i in 0..$count {
                    self.0[i] = unsafe { $mul(self.0[i], other.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn add_product(mut self, a: Self, b: Self) -> Self {
                for i in 0..$count {
                    self.0[i] = unsafe { $fma(a.0[i], b.0[i], self.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn prefetch(at: &$t) {
                unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) }
            }
        }
    };
}

vector!(
    Avx512F32,
    f32,
    __m512,
    1,
    16,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps
);
vector!(
    Avx512F64,
    f64,
    __m512d,
    2,
    8,
    _mm512_setzero_pd,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_fmadd_pd
);
vector!(
    Avx2F32,
    f32,
    __m256,
    2,
    8,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps
);
vector!(
    Avx2F64,
    f64,
    __m256d,
    4,
    4,
    _mm256_setzero_pd,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_fmadd_pd
);

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && has_avx2()
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Runs a job with AVX-512 or AVX2, or returns it where there is neither.
pub(super) fn run_f32<J: Job<f32>>(job: J) -> Result<(), J> {
    if has_avx512() {
        // SAFETY: just checked.
        unsafe { avx512_f32(job) };
    } else if has_avx2() {
        // SAFETY: just checked.
        unsafe { avx2_f32(job) };
    } else {
        return Err(job);
    }
    Ok(())
}

/// Runs a job with AVX-512 or AVX2, or returns it where there is neither.
pub(super) fn run_f64<J: Job<f64>>(job: J) -> Result<(), J> {
    if has_avx512() {
        // SAFETY: just checked.
        unsafe { avx512_f64(job) };
    } else if has_avx2() {
        // SAFETY: just checked.
        unsafe { avx2_f64(job) };
    } else {
        return Err(job);
    }
    Ok(())
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512_f32(job: impl Job<f32>) {
    job.run::<Avx512F32, 12, 8, 2>();
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512_f64(job: impl Job<f64>) {
    job.run::<Avx512F64, 6, 4, 2>();
}

#[target_feature(enable = "avx2,fma")]
fn avx2_f32(job: impl Job<f32>) {
    job.run::<Avx2F32, 6, 4, 1>();
}

#[target_feature(enable = "avx2,fma")]
fn avx2_f64(job: impl Job<f64>) {
    job.run::<Avx2F64, 3, 2, 1>();
}
