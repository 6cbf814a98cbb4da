//! Average and maximum over all positions of a map.

use super::{Contract, Contribution, GradArgs, Op, expect_inputs, expect_nchw, expect_shape};
use crate::{Result, shape::Shape};

const STEM: &str = "global_pool";

/// Which descriptors of a map are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The mean over H, W.
    Avg,
    /// The maximum over H, W.
    Max,
    /// Both, as CBAM's channel gate needs them.
    AvgMax,
}

impl Pooling {
    /// The number of descriptors.
    #[must_use]
    pub fn count(self) -> usize {
        if self == Self::AvgMax { 2 } else { 1 }
    }
}

/// Pools each channel over its H×W positions.
///
/// Input: x `[N, C, H, W]`. Outputs: descriptors `[D, N, C]` (D = 1 or 2: average first), and the position h·W + w of
/// each first maximum `[N, C]` as a number (zeros for `Avg`), to which the gradient of the maximum goes. A NaN counts as
/// larger than any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GlobalPool {
    /// Which descriptors.
    pub pooling: Pooling,
}

impl Contract for GlobalPool {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        let [n, c, ..] = expect_nchw(STEM, "input", inputs[0])?;
        Ok(vec![Shape::new(&[self.pooling.count(), n, c]), Shape::new(&[n, c])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let [n, c, h, w] = expect_nchw(STEM, "input", args.emit.shape(args.inputs[0]))?;
        let op = GlobalPoolGrad { pooling: self.pooling, shape: [n, c, h, w] };
        let mut inputs = vec![dy, args.outputs[1]];
        inputs.extend(args.input_grads[0]);
        let dx = args.emit.emit(Op::from(op), &inputs)?[0];
        args.contributions[0] = Some(Contribution::Replace(dx));
        Ok(())
    }
}

/// The gradient of [`GlobalPool`], added to what the map's other consumers contributed.
///
/// Inputs: dy `[D, N, C]`, positions `[N, C]`, optionally the gradient so far `[N, C, H, W]`. Output: dx
/// `[N, C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GlobalPoolGrad {
    /// Which descriptors.
    pub pooling: Pooling,
    /// The map's `[N, C, H, W]`.
    pub shape: [usize; 4],
}

impl Contract for GlobalPoolGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2, 3])?;
        let [n, c, ..] = self.shape;
        expect_shape(STEM, "output gradient", inputs[0], &[self.pooling.count(), n, c])?;
        expect_shape(STEM, "positions", inputs[1], &[n, c])?;
        if let Some(so_far) = inputs.get(2) {
            expect_shape(STEM, "gradient so far", so_far, &self.shape)?;
        }
        Ok(vec![Shape::from(self.shape)])
    }
}
