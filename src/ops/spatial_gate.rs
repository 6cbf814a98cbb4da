//! A map times its spatial attention.

use super::{Contract, GradArgs, Op, expect_groups, expect_inputs, expect_nchw, expect_shape};
use crate::{Result, shape::Shape};

const STEM: &str = "spatial_gate";

/// Multiplies all channels of a group by the group's spatial attention (CBAM, Eq. 1).
///
/// Inputs: x [N, C, H, W], a [N, G, H, W]. Output: `y[n,c] = x[n,c]·a[n, c/(C/G)]` like x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpatialGate {
    /// Groups of channels.
    pub groups: usize,
}

impl Contract for SpatialGate {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        let [n, c, h, w] = expect_nchw(STEM, "input", inputs[0])?;
        expect_groups(STEM, c, self.groups)?;
        expect_shape(STEM, "attention", inputs[1], &[n, self.groups, h, w])?;
        Ok(vec![inputs[0].clone()])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let op = SpatialGateGrad { groups: self.groups };
        let outputs = args.emit.emit(Op::from(op), &[dy, args.inputs[0], args.inputs[1]])?;
        args.add(0, outputs[0]);
        args.add(1, outputs[1]);
        Ok(())
    }
}

/// The gradient of [`SpatialGate`]: `dx = dy·a`, `da[n,g,h,w] = Σ_{c in g} dy·x`.
///
/// Inputs: dy [N, C, H, W], x [N, C, H, W], a [N, G, H, W]. Outputs: dx like x, da like a.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpatialGateGrad {
    /// Groups of channels.
    pub groups: usize,
}

impl Contract for SpatialGateGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[3])?;
        expect_shape(STEM, "output gradient", inputs[0], inputs[1].dims())?;
        SpatialGate { groups: self.groups }.infer(&inputs[1..])?;
        Ok(vec![inputs[1].clone(), inputs[2].clone()])
    }
}
