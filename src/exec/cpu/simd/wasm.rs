//! Vectors of WebAssembly's simd128, and its relaxed multiply-add where the module is compiled for it.

use std::arch::wasm32::*;

use super::{Job, LANES, Lanes, Vector};

/// Registers of a vector.
const REGISTERS: usize = LANES / 4;

#[derive(Clone, Copy)]
struct Simd128([v128; REGISTERS]);

impl Vector<f32> for Simd128 {
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0.0)
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([f32x4_splat(value); REGISTERS])
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "loads take pointers")]
    fn load(from: &Lanes<f32>) -> Self {
        let mut out = Self::zero();
        for i in 0..REGISTERS {
            // SAFETY: four of the sixteen numbers that the reference covers; any alignment will do.
            out.0[i] = unsafe { v128_load(from.as_ptr().add(4 * i).cast()) };
        }
        out
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "stores take pointers")]
    fn store(self, to: &mut Lanes<f32>) {
        for i in 0..REGISTERS {
            // SAFETY: as in `load`.
            unsafe { v128_store(to.as_mut_ptr().add(4 * i).cast(), self.0[i]) };
        }
    }

    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for i in 0..REGISTERS {
            self.0[i] = f32x4_add(self.0[i], other.0[i]);
        }
        self
    }

    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for i in 0..REGISTERS {
            self.0[i] = f32x4_sub(self.0[i], other.0[i]);
        }
        self
    }

    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for i in 0..REGISTERS {
            self.0[i] = f32x4_mul(self.0[i], other.0[i]);
        }
        self
    }

    #[inline(always)]
    fn add_product(mut self, a: Self, b: Self) -> Self {
        for i in 0..REGISTERS {
            #[cfg(target_feature = "relaxed-simd")]
            {
                self.0[i] = f32x4_relaxed_madd(a.0[i], b.0[i], self.0[i]);
            }
            #[cfg(not(target_feature = "relaxed-simd"))]
            {
                self.0[i] = f32x4_add(self.0[i], f32x4_mul(a.0[i], b.0[i]));
            }
        }
        self
    }

    /// By blocks of 4×4: pairs of rows, then of pairs.
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let mut out = rows;
        for down in 0..REGISTERS {
            for across in 0..REGISTERS {
                let at = 4 * down;
                let a = rows[at].0[across];
                let b = rows[at + 1].0[across];
                let c = rows[at + 2].0[across];
                let d = rows[at + 3].0[across];
                let (low_ab, high_ab) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
                let (low_cd, high_cd) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
                out[4 * across].0[down] = i32x4_shuffle::<0, 1, 4, 5>(low_ab, low_cd);
                out[4 * across + 1].0[down] = i32x4_shuffle::<2, 3, 6, 7>(low_ab, low_cd);
                out[4 * across + 2].0[down] = i32x4_shuffle::<0, 1, 4, 5>(high_ab, high_cd);
                out[4 * across + 3].0[down] = i32x4_shuffle::<2, 3, 6, 7>(high_ab, high_cd);
            }
        }
        out
    }
}

/// Runs a job in f32. Tiles of 2×16 sums leave registers for both factors: engines have 16 on x86-64.
pub(super) fn run_f32(job: impl Job<f32>) {
    job.run::<Simd128, 2, 1, 1>();
}
