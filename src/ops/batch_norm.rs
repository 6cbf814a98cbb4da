//! Batch normalisation over N, H, W with an optional activation.

use super::{Contract, Contribution, Function, GradArgs, Op, expect_inputs, expect_nchw, expect_shape};
use crate::{Result, shape::Shape};

const STEM: &str = "batch_norm";

/// Batch normalisation in training mode, as `torch.nn.BatchNorm2d`, then an optional activation.
///
/// `y = act((x − μ_c)·r_c·w_c + b_c)`, μ the mean and r = 1/√(biased variance + eps) of channel c over N, H, W.
///
/// Inputs: x [N, C, H, W], weight [C], bias [C]. Updates in place: running mean [C], running variance [C], by
/// `running = (1 − momentum)·running + momentum·batch`, with the unbiased variance. Outputs: y like x, μ [C], r [C].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance; 1e-5 in PyTorch.
    pub eps: f64,
    /// Weight of the new batch in the running estimates; 0.1 in PyTorch.
    pub momentum: f64,
    /// Applied to the normalised values.
    pub activation: Option<Function>,
}

fn infer(inputs: &[&Shape], vectors: usize) -> Result<[usize; 4]> {
    let dims = expect_nchw(STEM, "input", inputs[0])?;
    for (vector, name) in inputs[1..].iter().zip(["weight", "bias", "mean", "variance"]).take(vectors) {
        expect_shape(STEM, name, vector, &[dims[1]])?;
    }
    Ok(dims)
}

impl Contract for BatchNorm {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[3])?;
        let [_, c, ..] = infer(inputs, 2)?;
        Ok(vec![inputs[0].clone(), Shape::new(&[c]), Shape::new(&[c])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let op = BatchNormGrad { activation: self.activation };
        let (mean, rstd) = (args.outputs[1], args.outputs[2]);
        let outputs =
            args.emit.emit(Op::from(op), &[dy, args.inputs[0], args.inputs[1], args.inputs[2], mean, rstd])?;
        for (i, gradient) in outputs.into_iter().enumerate() {
            args.contributions[i] = Some(Contribution::Add(gradient));
        }
        Ok(())
    }
}

/// The gradient of [`BatchNorm`]; the activation is recomputed from x.
///
/// Inputs: dy and x [N, C, H, W], weight, bias, μ, r [C]. Outputs: dx like x, dweight [C], dbias [C].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormGrad {
    /// The activation of the forward op.
    pub activation: Option<Function>,
}

impl Contract for BatchNormGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[6])?;
        let [_, c, ..] = infer(&inputs[1..], 4)?;
        expect_shape(STEM, "output gradient", inputs[0], inputs[1].dims())?;
        Ok(vec![inputs[1].clone(), Shape::new(&[c]), Shape::new(&[c])])
    }
}

/// Batch normalisation in evaluation mode: the running estimates take the place of the batch's.
///
/// Inputs: x [N, C, H, W], weight, bias, running mean, running variance [C]. Output: y like x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormEval {
    /// Added to the variance.
    pub eps: f64,
    /// Applied to the normalised values.
    pub activation: Option<Function>,
}

impl Contract for BatchNormEval {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[5])?;
        infer(inputs, 4)?;
        Ok(vec![inputs[0].clone()])
    }
}
