//! Batch normalisation over N, H, W; with it an activation, 2×2 max pooling and CBAM's channel descriptors.

use super::{Contract, Contribution, Function, GradArgs, Op, expect_inputs, expect_nchw, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "batch_norm";

/// Batch normalisation in training mode, as `torch.nn.BatchNorm2d`, then an optional activation, then optional pooling.
///
/// `z = act((x − μ_c)·r_c·w_c + b_c)`, μ the mean and r = 1/√(biased variance + eps) of channel c over N, H, W;
/// y = z, or z's maxima over 2×2 windows as `torch.nn.MaxPool2d(2)` (odd sizes are floored). The unpooled z is never
/// kept.
///
/// Inputs: x `[N, C, H, W]`, weight `[C]`, bias `[C]`. Updates in place: running mean `[C]`, running variance `[C]`, by
/// `running = (1 − momentum)·running + momentum·batch`, with the unbiased variance. Outputs: y `[N, C, H, W]`, or
/// `[N, C, ⌊H/2⌋, ⌊W/2⌋]` with `pool`; moments `[2, C]`: μ, r. With `descriptors` also those of y as
/// [`super::GlobalPool`] gives them for `AvgMax`: the average and the maximum of each plane `[2, N, C]`, and the
/// position of each first maximum in its plane `[N, C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance; 1e-5 in PyTorch.
    pub eps: f64,
    /// Weight of the new batch in the running estimates; 0.1 in PyTorch.
    pub momentum: f64,
    /// Applied to the normalised values.
    pub activation: Option<Function>,
    /// Whether 2×2 windows are pooled.
    pub pool: bool,
    /// Whether y's planes are described.
    pub descriptors: bool,
}

/// Checks x and as many of the vectors after it as are named.
fn expect_channels(x: &Shape, vectors: &[&Shape], names: &[&str]) -> Result<[usize; 4]> {
    let dims = expect_nchw(STEM, "input", x)?;
    for (vector, name) in vectors.iter().zip(names) {
        expect_shape(STEM, name, vector, &[dims[1]])?;
    }
    Ok(dims)
}

/// y's shape from x's.
fn output(x: &Shape, [n, c, h, w]: [usize; 4], pool: bool) -> Result<Shape> {
    if !pool {
        return Ok(x.clone());
    }
    if h < 2 || w < 2 {
        return Err(shape_error(STEM, "a map of at least 2×2 to pool", format!("{h}×{w}"), "use larger images"));
    }
    Ok(Shape::from([n, c, h / 2, w / 2]))
}

impl Contract for BatchNorm {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[3])?;
        let dims @ [n, c, ..] = expect_channels(inputs[0], &inputs[1..], &["weight", "bias"])?;
        let mut outputs = vec![output(inputs[0], dims, self.pool)?, Shape::new(&[2, c])];
        if self.descriptors {
            outputs.extend([Shape::new(&[2, n, c]), Shape::new(&[n, c])]);
        }
        Ok(outputs)
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let mut inputs = vec![args.output_grad(0), args.inputs[0], args.inputs[1], args.inputs[2], args.outputs[1]];
        let described = args.output_grads.get(2).copied().flatten();
        if let Some(gradient) = described {
            inputs.extend([gradient, args.outputs[3]]);
        }
        let op = BatchNormGrad { activation: self.activation, pool: self.pool, descriptors: described.is_some() };
        let outputs = args.emit.emit(Op::from(op), &inputs)?;
        for (i, gradient) in outputs.into_iter().enumerate() {
            args.contributions[i] = Some(Contribution::Add(gradient));
        }
        Ok(())
    }
}

/// The gradient of [`BatchNorm`]; z is recomputed from x.
///
/// An element of y gets `g = dy + da/A + dm·[it is at the position of the maximum]`, da and dm the gradients of its
/// plane's average and maximum, A the elements of y's plane. A window's g goes to the first of its largest z.
///
/// Inputs: dy like y, x `[N, C, H, W]`, weight, bias `[C]`, moments `[2, C]`; with `descriptors` their gradient
/// `[2, N, C]` and the positions `[N, C]`. Outputs: dx like x, dweight `[C]`, dbias `[C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormGrad {
    /// The activation of the forward op.
    pub activation: Option<Function>,
    /// Whether the forward op pooled.
    pub pool: bool,
    /// Whether the loss depends on the descriptors.
    pub descriptors: bool,
}

impl Contract for BatchNormGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[if self.descriptors { 7 } else { 5 }])?;
        let dims @ [n, c, ..] = expect_channels(inputs[1], &inputs[2..], &["weight", "bias"])?;
        expect_shape(STEM, "output gradient", inputs[0], output(inputs[1], dims, self.pool)?.dims())?;
        expect_shape(STEM, "moments", inputs[4], &[2, c])?;
        if self.descriptors {
            expect_shape(STEM, "gradient of the descriptors", inputs[5], &[2, n, c])?;
            expect_shape(STEM, "positions", inputs[6], &[n, c])?;
        }
        Ok(vec![inputs[1].clone(), Shape::new(&[c]), Shape::new(&[c])])
    }
}

/// Batch normalisation in evaluation mode: the running estimates take the place of the batch's.
///
/// Inputs: x `[N, C, H, W]`, weight, bias, running mean, running variance `[C]`. Outputs: y as of [`BatchNorm`]; with
/// `descriptors` also the average and the maximum of each of its planes `[2, N, C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormEval {
    /// Added to the variance.
    pub eps: f64,
    /// Applied to the normalised values.
    pub activation: Option<Function>,
    /// Whether 2×2 windows are pooled.
    pub pool: bool,
    /// Whether y's planes are described.
    pub descriptors: bool,
}

impl Contract for BatchNormEval {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[5])?;
        let names = ["weight", "bias", "mean", "variance"];
        let dims @ [n, c, ..] = expect_channels(inputs[0], &inputs[1..], &names)?;
        let mut outputs = vec![output(inputs[0], dims, self.pool)?];
        if self.descriptors {
            outputs.push(Shape::new(&[2, n, c]));
        }
        Ok(outputs)
    }
}
