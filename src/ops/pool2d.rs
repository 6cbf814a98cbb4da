//! Max and average pooling over windows.

use super::{Contract, GradArgs, Op, expect_inputs, expect_nchw, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "pool2d";

/// How a window becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The largest element; padding never wins. The first of several equal ones takes the gradient. A NaN counts
    /// as larger than any number.
    Max,
    /// The sum of the elements divided by the window's full area: padding counts as zeros, as in PyTorch.
    Avg,
}

/// Pooling over square windows, as `torch.nn.functional.max_pool2d` and `avg_pool2d` (odd sizes are floored).
///
/// Input: x `[N, C, H, W]`. Output: `[N, C, H', W']`, H' = (H + 2·padding − size)/stride + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool2d {
    /// Max or average.
    pub kind: PoolKind,
    /// Side of the window, in pixels.
    pub size: usize,
    /// Step between windows, in pixels.
    pub stride: usize,
    /// Border, in pixels; at most half the size.
    pub padding: usize,
}

impl Pool2d {
    /// 2×2 max pooling with stride 2.
    pub const MAX2: Self = Self { kind: PoolKind::Max, size: 2, stride: 2, padding: 0 };

    fn output(&self, input: &Shape) -> Result<Shape> {
        let [n, c, h, w] = expect_nchw(STEM, "input", input)?;
        let size = |side: usize| (side + 2 * self.padding).checked_sub(self.size).map(|room| room / self.stride + 1);
        if self.stride == 0 || self.size == 0 || self.padding * 2 > self.size {
            return Err(shape_error(
                STEM,
                "a window with padding of at most half its size",
                format!("{self:?}"),
                "change it",
            ));
        }
        match (size(h), size(w)) {
            (Some(height), Some(width)) => Ok(Shape::new(&[n, c, height, width])),
            _ => Err(shape_error(
                STEM,
                format!("a map of at least {0}×{0}", self.size),
                format!("{h}×{w}"),
                "use larger images",
            )),
        }
    }
}

impl Contract for Pool2d {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        Ok(vec![self.output(inputs[0])?])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let dx = args.emit.emit(Op::from(Pool2dGrad { pool: *self }), &[dy, args.inputs[0]])?[0];
        args.add(0, dx);
        Ok(())
    }
}

/// The gradient of [`Pool2d`]. Inputs: dy `[N, C, H', W']`, x `[N, C, H, W]`. Output: dx like x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool2dGrad {
    /// The pooling.
    pub pool: Pool2d,
}

impl Contract for Pool2dGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        let output = self.pool.output(inputs[1])?;
        if &output != inputs[0] {
            return Err(shape_error(STEM, format!("an output gradient {output}"), inputs[0], "check the sizes"));
        }
        Ok(vec![inputs[1].clone()])
    }
}
