//! CBAM's spatial gate: the attention from pooled channels, and the map times it.

use super::{Contract, GradArgs, Op, expect_groups, expect_inputs, expect_nchw, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "spatial_gate";

/// The spatial gate in training mode (CBAM, Eqs. 1 and 3): a convolution of each group's two pooled maps to one,
/// batch normalisation and a sigmoid give the group's attention, by which all its channels are multiplied.
///
/// `z[n,g,h,w] = Σ_{d,i,j} pooled[n, 2g+d, h+i−K/2, w+j−K/2]·k[g,d,i,j]`, zeros outside of the map;
/// `x̂ = (z − μ_g)·r_g`, μ the mean and r = 1/√(biased variance + eps) of group g over N, H, W;
/// `a = σ(w_g·x̂ + b_g)`, `y[n,c] = x[n,c]·a[n, c/(C/G)]`.
///
/// Inputs: x `[N, C, H, W]`, pooled `[N, 2G, H, W]`, filters k `[G, 2, K, K]` of odd K, weight w `[G]`, bias b `[G]`.
/// Updates in place: running mean `[G]`, running variance `[G]`, as [`super::BatchNorm`]. Outputs: y like x, a
/// `[N, G, H, W]`, x̂ like a, r `[G]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpatialGate {
    /// Groups of channels.
    pub groups: usize,
    /// Added to the variance; 1e-5 in PyTorch.
    pub eps: f64,
    /// Weight of the new batch in the running estimates; 0.01 in CBAM.
    pub momentum: f64,
}

/// Checks x, pooled, filters and vectors `[G]`; returns the shape of the attention.
fn infer(groups: usize, inputs: &[&Shape]) -> Result<Shape> {
    let [n, c, h, w] = expect_nchw(STEM, "input", inputs[0])?;
    expect_groups(STEM, c, groups)?;
    expect_shape(STEM, "pooled maps", inputs[1], &[n, 2 * groups, h, w])?;
    match *inputs[2].dims() {
        [g, 2, height, width] if g == groups && height == width && height % 2 == 1 => {}
        _ => {
            let expected = format!("filters [{groups}, 2, K, K] of odd K");
            return Err(shape_error(STEM, expected, inputs[2], "change the filters or the groups"));
        }
    }
    for (vector, name) in inputs[3..].iter().zip(["weight", "bias", "running mean", "running variance"]) {
        expect_shape(STEM, name, vector, &[groups])?;
    }
    Ok(Shape::new(&[n, groups, h, w]))
}

/// Of the convolution; a multiplication of every element is bound by memory.
fn flops(attention: &Shape, filters: &Shape) -> u64 {
    let per_output: usize = filters.dims()[1..].iter().product();
    2 * attention.elements() as u64 * per_output as u64
}

impl Contract for SpatialGate {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[5])?;
        let attention = infer(self.groups, inputs)?;
        Ok(vec![inputs[0].clone(), attention.clone(), attention, Shape::new(&[self.groups])])
    }

    fn flops(&self, inputs: &[&Shape], outputs: &[&Shape]) -> u64 {
        flops(outputs[1], inputs[2])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let mut inputs = vec![args.output_grad(0)];
        inputs.extend(args.inputs);
        inputs.extend(&args.outputs[2..4]);
        inputs.extend(args.output_grads[1]);
        let outputs = args.emit.emit(Op::from(SpatialGateGrad { groups: self.groups }), &inputs)?;
        for (i, &gradient) in outputs[..5].iter().enumerate() {
            args.add(i, gradient);
        }
        Ok(())
    }
}

/// The gradient of [`SpatialGate`]; the attention is recomputed from x̂.
///
/// With M = N·H·W and `t = (Σ_{c in g} dy·x + da)·a·(1 − a)`: `dx = dy·a`, `dw = Σ t·x̂`, `db = Σ t`,
/// `dz = w·r·(t − (db + x̂·dw)/M)`; dz gives dpooled and dk by the convolution's rules.
///
/// Inputs: dy and x `[N, C, H, W]`, pooled `[N, 2G, H, W]`, k `[G, 2, K, K]`, w, b `[G]`, x̂ `[N, G, H, W]`, r `[G]`,
/// and where the loss depends on the attention directly, da like x̂. Outputs: dx, dpooled, dk, dw, db, and t like x̂.
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
        expect_inputs(STEM, inputs, &[8, 9])?;
        let attention = infer(self.groups, &inputs[1..6])?;
        expect_shape(STEM, "output gradient", inputs[0], inputs[1].dims())?;
        expect_shape(STEM, "normalised values", inputs[6], attention.dims())?;
        expect_shape(STEM, "reciprocal deviation", inputs[7], &[self.groups])?;
        if let Some(gradient) = inputs.get(8) {
            expect_shape(STEM, "attention gradient", gradient, attention.dims())?;
        }
        let mut shapes: Vec<Shape> = inputs[1..6].iter().map(|&shape| shape.clone()).collect();
        shapes.push(attention);
        Ok(shapes)
    }

    fn flops(&self, inputs: &[&Shape], _: &[&Shape]) -> u64 {
        2 * flops(inputs[6], inputs[3])
    }
}

/// The spatial gate in evaluation mode: the running estimates take the place of the batch's.
///
/// Inputs: x `[N, C, H, W]`, pooled `[N, 2G, H, W]`, filters `[G, 2, K, K]`, weight, bias, running mean, running
/// variance `[G]`. Outputs: y like x, a `[N, G, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpatialGateEval {
    /// Groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
}

impl Contract for SpatialGateEval {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[7])?;
        Ok(vec![inputs[0].clone(), infer(self.groups, inputs)?])
    }

    fn flops(&self, inputs: &[&Shape], outputs: &[&Shape]) -> u64 {
        flops(outputs[1], inputs[2])
    }
}
