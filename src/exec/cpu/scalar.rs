//! The numbers that the CPU executor computes with.

use std::{
    fmt::Debug,
    ops::{Add, AddAssign, Div, Mul, Neg, Sub},
};

use super::{
    memory::Memory,
    program::Compiled,
    simd::{self, Job},
};
use crate::{
    Result,
    graph::{Graph, plan::Plan},
};

mod sealed {
    use super::{Compiled, Graph, Job, Memory, Plan, Result};

    /// What the executor needs beyond arithmetic, for either precision in functions without type parameters: all kernels
    /// are then compiled here, and not anew in each crate that names an executor.
    pub trait Sealed: Sized {
        /// Runs a job with the widest instructions of this processor.
        fn run(job: impl Job<Self>);

        /// Prepares a graph.
        fn compile(graph: &Graph, plan: &Plan, memory: &mut Memory<Self>, threads: usize) -> Result<Compiled<Self>>;
    }
}

pub(super) use sealed::Sealed as Dispatch;

impl Dispatch for f32 {
    fn run(job: impl Job<Self>) {
        simd::run_f32(job);
    }

    fn compile(graph: &Graph, plan: &Plan, memory: &mut Memory<Self>, threads: usize) -> Result<Compiled<Self>> {
        Compiled::new(graph, plan, memory, threads)
    }
}

impl Dispatch for f64 {
    fn run(job: impl Job<Self>) {
        simd::run_f64(job);
    }

    fn compile(graph: &Graph, plan: &Plan, memory: &mut Memory<Self>, threads: usize) -> Result<Compiled<Self>> {
        Compiled::new(graph, plan, memory, threads)
    }
}

/// f32 for work, f64 for verification.
pub trait Scalar:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + sealed::Sealed
    + 'static
{
    /// `f32` or `f64`.
    const NAME: &'static str;
    /// Whether numbers below the smallest normal one become 0.
    const FLUSH: bool;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Rounds to this precision.
    fn of(value: f64) -> Self;
    /// The value in double precision.
    fn wide(self) -> f64;
    /// eˣ.
    fn exp(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// NaN.
    fn is_nan(self) -> bool;
    /// Whether it takes the place of the largest of the numbers before it: a larger one does, and the first NaN.
    #[inline(always)]
    fn beats(self, largest: Self) -> bool {
        (self > largest) | (self.is_nan() & !largest.is_nan())
    }
    /// `self·a + b`, rounded once or twice.
    fn mul_add(self, a: Self, b: Self) -> Self;
}

macro_rules! scalar {
    ($t:ident, $flush:literal) => {
        impl Scalar for $t {
            const NAME: &'static str = stringify!($t);
            const FLUSH: bool = $flush;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $t::exp(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                // Where there is no instruction, rounding once takes a long function.
                if cfg!(target_family = "wasm") { self * a + b } else { $t::mul_add(self, a, b) }
            }
        }
    };
}

scalar!(f32, true);
scalar!(f64, false);
