//! Softmax cross-entropy of every branch, and the hits of the branches and of their vote.

use super::{Contract, GradArgs, Op, expect_inputs, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "cross_entropy";

/// Cross-entropy with target distributions, the mean over the batch, summed over branches (paper Eq. 4).
///
/// `loss = Σ_b weight_b · (1/N) Σ_n −Σ_k t[n,k]·log softmax(z[n,b])_k`
///
/// Inputs: logits z `[N, B·K]` (branch-major), targets t `[N, K]` (one-hot, or a distribution), or `[N, B·K]` where each
/// branch has its own; branch weights `[B]`.
/// Outputs: loss `[1]`; each branch's own cross-entropy `[B]`; hits `[B+1]`: how many images each branch, and last the
/// majority vote of the branches with weight > 0, assigns to the target's largest class (ties to the lowest class); of
/// targets of their own the vote's is their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrossEntropy;

/// The sizes of a cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// N, images.
    pub images: usize,
    /// B, branches.
    pub branches: usize,
    /// K, classes.
    pub classes: usize,
    /// Targets of an image: 1 for all branches, or B.
    pub rows: usize,
}

impl Sizes {
    /// Of logits, targets and branch weights; `stem` is the op's.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where they do not fit each other.
    pub fn new(stem: &'static str, logits: &Shape, targets: &Shape, weights: &Shape) -> Result<Self> {
        let (&[images, width], &[branches]) = (targets.dims(), weights.dims()) else {
            let found = format!("{targets}, {weights}");
            return Err(shape_error(stem, "targets [N, K] and branch weights [B]", found, "reshape"));
        };
        let rows = if logits.dims().get(1) == Some(&width) { branches } else { 1 };
        let classes = width / rows;
        expect_shape(stem, "logits [N, B·K]", logits, &[images, branches * classes])?;
        Ok(Self { images, branches, classes, rows })
    }
}

impl Contract for CrossEntropy {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[3])?;
        let Sizes { branches, .. } = Sizes::new(STEM, inputs[0], inputs[1], inputs[2])?;
        Ok(vec![Shape::new(&[1]), Shape::new(&[branches]), Shape::new(&[branches + 1])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dloss = args.output_grad(0);
        let inputs = [dloss, args.inputs[0], args.inputs[1], args.inputs[2]];
        let dz = args.emit.emit(Op::from(CrossEntropyGrad), &inputs)?[0];
        args.add(0, dz);
        Ok(())
    }
}

/// The gradient of [`CrossEntropy`]: `dz = dloss·weight_b/N·(softmax(z)·Σ_k t_k − t)`.
///
/// Inputs: dloss `[1]`, logits `[N, B·K]`, targets `[N, K]` or `[N, B·K]`, branch weights `[B]`. Output: dz like the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrossEntropyGrad;

impl Contract for CrossEntropyGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[4])?;
        expect_shape(STEM, "loss gradient", inputs[0], &[1])?;
        Sizes::new(STEM, inputs[1], inputs[2], inputs[3])?;
        Ok(vec![inputs[1].clone()])
    }
}
