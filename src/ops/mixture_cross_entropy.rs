//! Softmax cross-entropy of the mean of the branches' answers.

use super::{
    Contract, GradArgs, Op, cross_entropy::Sizes, expect_inputs, expect_shape, shape_error, similarity::MAX_LEARNERS,
};
use crate::{Result, shape::Shape};

const STEM: &str = "mixture_cross_entropy";

/// Cross-entropy of the branches' mixture with target distributions, the mean over the batch, weighted as all branches
/// together are by [`CrossEntropy`](super::CrossEntropy): the two are equal where all branches answer alike, and else this
/// one is smaller, by how much the answers differ.
///
/// `loss = W·(1/N) Σ_n −Σ_k t[n,k]·log q[n,k]` with `q[n,k] = Σ_b weight_b·softmax(z[n,b])_k / W` and `W = Σ_b weight_b`,
/// over the branches of weight > 0; 0 where there is none.
///
/// Inputs: logits z `[N, B·K]` (branch-major), targets t `[N, K]` (one-hot, or a distribution), branch weights `[B]`, at
/// least 0; B at most 16. Output: loss `[1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MixtureCrossEntropy;

/// Checks the inputs.
fn check(logits: &Shape, targets: &Shape, weights: &Shape) -> Result<()> {
    let Sizes { branches, rows, .. } = Sizes::new(STEM, logits, targets, weights)?;
    if rows > 1 {
        return Err(shape_error(
            STEM,
            "targets [N, K] for all branches together",
            targets,
            "give each image one target",
        ));
    }
    if branches > MAX_LEARNERS {
        let expected = format!("at most {MAX_LEARNERS} branches");
        return Err(shape_error(STEM, expected, branches, "use fewer branches"));
    }
    Ok(())
}

impl Contract for MixtureCrossEntropy {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[3])?;
        check(inputs[0], inputs[1], inputs[2])?;
        Ok(vec![Shape::new(&[1])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dloss = args.output_grad(0);
        let inputs = [dloss, args.inputs[0], args.inputs[1], args.inputs[2]];
        let dz = args.emit.emit(Op::from(MixtureCrossEntropyGrad), &inputs)?[0];
        args.add(0, dz);
        Ok(())
    }
}

/// The gradient of [`MixtureCrossEntropy`]: with `p = softmax(z[n,b])` and `r_k = p_k / q[n,k]`,
/// `dz_j = dloss·weight_b/N·(p_j·Σ_k t_k·r_k − t_j·r_j)`.
///
/// Inputs: dloss `[1]`, logits `[N, B·K]`, targets `[N, K]`, branch weights `[B]`. Output: dz like the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MixtureCrossEntropyGrad;

impl Contract for MixtureCrossEntropyGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[4])?;
        expect_shape(STEM, "loss gradient", inputs[0], &[1])?;
        check(inputs[1], inputs[2], inputs[3])?;
        Ok(vec![inputs[1].clone()])
    }
}
