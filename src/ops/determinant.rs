//! The diversity of a similarity matrix: its determinant (paper Eq. 2), or what the released code also offers.

use super::{Contract, GradArgs, Multiply, Op, expect_inputs, shape_error, similarity::MAX_LEARNERS};
use crate::{Result, shape::Shape};

const STEM: &str = "determinant";

/// How a similarity matrix becomes a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// `det(S)`, a diversity: training maximises it (paper Eq. 2).
    Det,
    /// `log(max(det(S), eps))`, a diversity; no gradient where det(S) ≤ eps.
    LogDet {
        /// The smallest determinant that is told apart from 0.
        eps: f64,
    },
    /// `log(max(det(S + εI), ε^L))/L`, a diversity with a slope also where learners are alike; no gradient below the
    /// maximum's second number, to which the determinant of a similarity matrix can fall by rounding alone.
    ShiftedLogDet {
        /// ε, above 0: what is added to the diagonal.
        eps: f64,
    },
    /// `Σ_{l≠k} S[l,k]`, a similarity: training minimises it.
    Sum,
}

/// The diversity objective of a square matrix, with its gradient matrix.
///
/// `C = ∂D/∂S`: for `Det` the cofactors, each by eliminating its own minor, so that S may be singular;
/// for `LogDet` the cofactors divided by the determinant; for `ShiftedLogDet` those of S + εI, divided by L too; for `Sum`
/// 1 off the diagonal.
///
/// Input: S `[L, L]`, L at most 16. Outputs: D `[1]`, C `[L, L]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Determinant {
    /// What is computed.
    pub objective: Objective,
}

impl Contract for Determinant {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        match inputs[0].dims() {
            &[l, k] if l == k && (1..=MAX_LEARNERS).contains(&l) => Ok(vec![Shape::new(&[1]), Shape::new(&[l, l])]),
            _ => Err(shape_error(STEM, "a square matrix of at most 16×16", inputs[0], "use at most 16 learners")),
        }
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dd = args.output_grad(0);
        let ds = args.emit.emit(Op::from(Multiply), &[args.outputs[1], dd])?[0];
        args.add(0, ds);
        Ok(())
    }
}
