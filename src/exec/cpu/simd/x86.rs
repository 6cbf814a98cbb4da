//! Vectors of AVX-512 and AVX2.

#![expect(
    unsafe_code,
    reason = "instructions beyond SSE2 need it; arrays left to the compiler run 100 times slower in matrix products"
)]

use std::arch::x86_64::*;

use super::{Job, LANES, Lanes, Vector};

/// Defines a vector of `$count` registers. Its methods may only run where the processor has its instructions: they
/// are reached through [`run_f32`] and [`run_f64`] alone, which check.
macro_rules! vector {
    ($name:ident, $t:ty, $register:ty, $count:literal, $width:literal,
     $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident
     $(, $transpose:ident)?) => {
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
            $(
                #[inline(always)]
                fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
                    unsafe { $transpose(rows) }
                }
            )?
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
    _mm512_fmadd_ps,
    transpose_avx512
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
    _mm256_fmadd_ps,
    transpose_avx2
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

/// A 16×16 transpose: pairs of rows, then of pairs, then 4×4 blocks of 128 bits.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn transpose_avx512(rows: [Avx512F32; LANES]) -> [Avx512F32; LANES] {
    // SAFETY: the caller's.
    unsafe {
        let mut quads = rows;
        for first in (0..LANES).step_by(4) {
            let [a, b, c, d] = [rows[first].0[0], rows[first + 1].0[0], rows[first + 2].0[0], rows[first + 3].0[0]];
            let (low_ab, high_ab) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (low_cd, high_cd) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            quads[first].0[0] = _mm512_shuffle_ps::<0x44>(low_ab, low_cd);
            quads[first + 1].0[0] = _mm512_shuffle_ps::<0xEE>(low_ab, low_cd);
            quads[first + 2].0[0] = _mm512_shuffle_ps::<0x44>(high_ab, high_cd);
            quads[first + 3].0[0] = _mm512_shuffle_ps::<0xEE>(high_ab, high_cd);
        }
        // Block l of quads[4·g + k] is now column 4·l + k of rows 4·g to 4·g + 3.
        let mut out = rows;
        for k in 0..4 {
            let [a, b, c, d] = [quads[k].0[0], quads[4 + k].0[0], quads[8 + k].0[0], quads[12 + k].0[0]];
            let (even_ab, odd_ab) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
            let (even_cd, odd_cd) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d));
            out[k].0[0] = _mm512_shuffle_f32x4::<0x88>(even_ab, even_cd);
            out[4 + k].0[0] = _mm512_shuffle_f32x4::<0x88>(odd_ab, odd_cd);
            out[8 + k].0[0] = _mm512_shuffle_f32x4::<0xDD>(even_ab, even_cd);
            out[12 + k].0[0] = _mm512_shuffle_f32x4::<0xDD>(odd_ab, odd_cd);
        }
        out
    }
}

/// A 16×16 transpose of 8×8 blocks: pairs of rows, then of pairs, then the halves.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn transpose_avx2(rows: [Avx2F32; LANES]) -> [Avx2F32; LANES] {
    // SAFETY: the caller's.
    unsafe {
        let mut out = rows;
        for down in 0..2 {
            for across in 0..2 {
                let mut quads = [_mm256_setzero_ps(); 8];
                for first in [0, 4] {
                    let at = 8 * down + first;
                    let a = rows[at].0[across];
                    let b = rows[at + 1].0[across];
                    let c = rows[at + 2].0[across];
                    let d = rows[at + 3].0[across];
                    let (low_ab, high_ab) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                    let (low_cd, high_cd) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                    quads[first] = _mm256_shuffle_ps::<0x44>(low_ab, low_cd);
                    quads[first + 1] = _mm256_shuffle_ps::<0xEE>(low_ab, low_cd);
                    quads[first + 2] = _mm256_shuffle_ps::<0x44>(high_ab, high_cd);
                    quads[first + 3] = _mm256_shuffle_ps::<0xEE>(high_ab, high_cd);
                }
                for k in 0..4 {
                    out[8 * across + k].0[down] = _mm256_permute2f128_ps::<0x20>(quads[k], quads[4 + k]);
                    out[8 * across + 4 + k].0[down] = _mm256_permute2f128_ps::<0x31>(quads[k], quads[4 + k]);
                }
            }
        }
        out
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::cpu::simd::Portable;

    /// Transposes `0, 1, 2, …`, row by row, and keeps the result.
    struct Transposed<'a>(&'a mut Vec<f32>);

    impl Job<f32> for Transposed<'_> {
        #[inline(always)]
        fn run<V: Vector<f32>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
            let mut rows = [V::zero(); LANES];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = V::load(&std::array::from_fn(|j| (i * LANES + j) as f32));
            }
            for column in V::transpose(rows) {
                let mut lanes = [0.0; LANES];
                column.store(&mut lanes);
                self.0.extend(lanes);
            }
        }
    }

    #[test]
    fn every_instruction_set_transposes_alike() {
        let expected: Vec<_> = (0..LANES * LANES).map(|at| (at % LANES * LANES + at / LANES) as f32).collect();
        let mut found = Vec::new();
        Transposed(&mut found).run::<Portable<f32>, 3, 2, 1>();
        assert_eq!(found, expected);
        if has_avx2() {
            found.clear();
            // SAFETY: just checked.
            unsafe { avx2_f32(Transposed(&mut found)) };
            assert_eq!(found, expected);
        }
        if has_avx512() {
            found.clear();
            // SAFETY: just checked.
            unsafe { avx512_f32(Transposed(&mut found)) };
            assert_eq!(found, expected);
        }
    }
}
