//! The attention vector of CBAM's channel gate.

use super::{Contract, GradArgs, Op, expect_groups, expect_inputs, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "channel_attention";

/// CBAM's channel attention (Woo et al. 2018, Eq. 2), one shared MLP a group.
///
/// `a = σ(Σ_d W₂·relu(W₁·p_d + b₁) + b₂)`, d over the descriptors (average, maximum); with two, b₂ counts twice.
///
/// Inputs: descriptors p `[D, N, C]`, W₁ `[M, C/G]`, b₁ `[M]`, W₂ `[C, M/G]`, b₂ `[C]`; M hidden units in all.
/// Outputs: a `[N, C]` in (0, 1), hidden `[D, N, M]` after ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelAttention {
    /// Groups, each with an MLP of its own.
    pub groups: usize,
}

/// D, N, C, M.
fn sizes(groups: usize, p: &Shape, w1: &Shape, w2: &Shape) -> Result<[usize; 4]> {
    let (&[d, n, c], &[m, _]) = (p.dims(), w1.dims()) else {
        return Err(shape_error(STEM, "descriptors [D, N, C] and weights [M, C/G]", format!("{p}, {w1}"), "reshape"));
    };
    expect_groups(STEM, c, groups)?;
    expect_groups(STEM, m, groups)?;
    expect_shape(STEM, "first weight", w1, &[m, c / groups])?;
    expect_shape(STEM, "second weight", w2, &[c, m / groups])?;
    Ok([d, n, c, m])
}

impl Contract for ChannelAttention {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[5])?;
        let [d, n, c, m] = sizes(self.groups, inputs[0], inputs[1], inputs[3])?;
        expect_shape(STEM, "first bias", inputs[2], &[m])?;
        expect_shape(STEM, "second bias", inputs[4], &[c])?;
        Ok(vec![Shape::new(&[n, c]), Shape::new(&[d, n, m])])
    }

    fn flops(&self, inputs: &[&Shape], _: &[&Shape]) -> u64 {
        let d_n = inputs[0].dims()[0] * inputs[0].dims()[1];
        2 * d_n as u64 * (inputs[1].elements() + inputs[3].elements()) as u64
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let da = args.output_grad(0);
        let (p, w1, w2) = (args.inputs[0], args.inputs[1], args.inputs[3]);
        let (a, hidden) = (args.outputs[0], args.outputs[1]);
        let op = ChannelAttentionGrad { groups: self.groups };
        let outputs = args.emit.emit(Op::from(op), &[da, a, hidden, p, w1, w2])?;
        for (i, gradient) in outputs.into_iter().take(5).enumerate() {
            args.add(i, gradient);
        }
        Ok(())
    }
}

/// The gradient of [`ChannelAttention`].
///
/// Inputs: da `[N, C]`, a `[N, C]`, hidden `[D, N, M]`, p `[D, N, C]`, W₁ `[M, C/G]`, W₂ `[C, M/G]`.
/// Outputs: dp, dW₁, db₁ `[M]`, dW₂, db₂ `[C]`, dhidden `[D, N, M]` (before ReLU; an intermediate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelAttentionGrad {
    /// Groups.
    pub groups: usize,
}

impl Contract for ChannelAttentionGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[6])?;
        let [d, n, c, m] = sizes(self.groups, inputs[3], inputs[4], inputs[5])?;
        expect_shape(STEM, "attention gradient", inputs[0], &[n, c])?;
        expect_shape(STEM, "attention", inputs[1], &[n, c])?;
        expect_shape(STEM, "hidden units", inputs[2], &[d, n, m])?;
        let hidden = Shape::new(&[d, n, m]);
        Ok(vec![inputs[3].clone(), inputs[4].clone(), Shape::new(&[m]), inputs[5].clone(), Shape::new(&[c]), hidden])
    }

    fn flops(&self, inputs: &[&Shape], _: &[&Shape]) -> u64 {
        let d_n = inputs[3].dims()[0] * inputs[3].dims()[1];
        4 * d_n as u64 * (inputs[4].elements() + inputs[5].elements()) as u64
    }
}
