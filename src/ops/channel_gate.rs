//! A map times its channel attention, with the pooled descriptors that the spatial gate starts from.

use super::{Contract, Contribution, GradArgs, Op, expect_groups, expect_inputs, expect_nchw, expect_shape};
use crate::{Result, shape::Shape};

const STEM: &str = "channel_gate";

/// Multiplies each channel by its attention and pools the result over the channels of each group.
///
/// `y = x·a`; `pooled[n, 2g] = max_c y`, `pooled[n, 2g+1] = mean_c y` over group g's channels (CBAM, Eq. 3).
///
/// Inputs: x `[N, C, H, W]`, a `[N, C]`. Outputs: y like x, pooled `[N, 2G, H, W]`, and the group-local index of each
/// first maximal channel `[N, G, H, W]` as a number, to which the gradient of the maximum goes. A NaN counts as larger
/// than any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelGate {
    /// Groups of channels.
    pub groups: usize,
}

impl Contract for ChannelGate {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        let [n, c, h, w] = expect_nchw(STEM, "input", inputs[0])?;
        expect_groups(STEM, c, self.groups)?;
        expect_shape(STEM, "attention", inputs[1], &[n, c])?;
        let g = self.groups;
        Ok(vec![inputs[0].clone(), Shape::new(&[n, 2 * g, h, w]), Shape::new(&[n, g, h, w])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let (dy, dpooled) = (args.output_grad(0), args.output_grad(1));
        let op = ChannelGateGrad { groups: self.groups };
        let mut inputs = vec![dy, dpooled, args.outputs[2], args.inputs[0], args.inputs[1]];
        inputs.extend(args.input_grads[1]);
        let outputs = args.emit.emit(Op::from(op), &inputs)?;
        args.add(0, outputs[0]);
        args.contributions[1] = Some(Contribution::Replace(outputs[1]));
        Ok(())
    }
}

/// The gradient of [`ChannelGate`].
///
/// With `t = dy + dmean/(C/G) + dmax·[c is the maximal channel]`: `dx = t·a`, `da[n,c] = so_far[n,c] + Σ_{h,w} t·x`.
///
/// Inputs: dy `[N, C, H, W]`, dpooled `[N, 2G, H, W]`, maximal channels `[N, G, H, W]`, x `[N, C, H, W]`, a `[N, C]`,
/// and, where others use the attention too, its gradient so far `[N, C]`. Outputs: dx like x, da `[N, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelGateGrad {
    /// Groups of channels.
    pub groups: usize,
}

impl Contract for ChannelGateGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[5, 6])?;
        let [n, c, h, w] = expect_nchw(STEM, "input", inputs[3])?;
        expect_groups(STEM, c, self.groups)?;
        expect_shape(STEM, "output gradient", inputs[0], inputs[3].dims())?;
        expect_shape(STEM, "pooled gradient", inputs[1], &[n, 2 * self.groups, h, w])?;
        expect_shape(STEM, "maximal channels", inputs[2], &[n, self.groups, h, w])?;
        expect_shape(STEM, "attention", inputs[4], &[n, c])?;
        if let Some(so_far) = inputs.get(5) {
            expect_shape(STEM, "attention gradient so far", so_far, &[n, c])?;
        }
        Ok(vec![inputs[3].clone(), inputs[4].clone()])
    }
}
