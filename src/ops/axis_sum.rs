//! Sums over one axis, such as the mean over channels or patches, and repetition along a new one: each is the other's
//! gradient.

use super::{Contract, GradArgs, Op, expect_inputs, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "axis_sum";

/// `y[…, …] = scale·Σ_i x[…, i, …]`: the axis disappears.
///
/// Input: x of at least two dimensions. Output: y, x's dimensions without the axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AxisSum {
    /// The axis, from 0.
    pub axis: usize,
    /// Of the sum; one over the axis's length gives the mean.
    pub scale: f64,
}

impl Contract for AxisSum {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        let mut dims = inputs[0].dims().to_vec();
        if dims.len() < 2 || self.axis >= dims.len() {
            let expected = format!("a tensor with an axis {} and others", self.axis);
            return Err(shape_error(STEM, expected, inputs[0], "check the axis"));
        }
        dims.remove(self.axis);
        Ok(vec![Shape::new(&dims)])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let length = args.emit.shape(args.inputs[0]).dims()[self.axis];
        let op = AxisRepeat { axis: self.axis, length, scale: self.scale };
        let dx = args.emit.emit(Op::from(op), &[dy])?[0];
        args.add(0, dx);
        Ok(())
    }
}

/// `y[…, i, …] = scale·x[…, …]` for i in 0..length: a new axis.
///
/// Input: x. Output: y, x's dimensions with `length` inserted before the axis that was there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AxisRepeat {
    /// The new axis, from 0 to the number of x's.
    pub axis: usize,
    /// Its length, at least 1.
    pub length: usize,
    /// Of each copy.
    pub scale: f64,
}

impl Contract for AxisRepeat {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        let mut dims = inputs[0].dims().to_vec();
        if self.axis > dims.len() {
            let expected = format!("a tensor of at least {} dimensions", self.axis);
            return Err(shape_error(STEM, expected, inputs[0], "check the axis"));
        }
        dims.insert(self.axis, self.length);
        Ok(vec![Shape::new(&dims)])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let dx = args.emit.emit(Op::from(AxisSum { axis: self.axis, scale: self.scale }), &[dy])?[0];
        args.add(0, dx);
        Ok(())
    }
}
