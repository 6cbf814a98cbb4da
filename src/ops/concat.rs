//! Joining tensors along an axis, and taking parts of them.

use super::{Contract, GradArgs, Op, expect_inputs, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "concat";

/// Joins tensors along an axis; all other dimensions agree. Inputs: one or more. Output: one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis, from 0, outermost first.
    pub axis: usize,
}

impl Contract for Concat {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        let Some(first) = inputs.first().filter(|first| self.axis < first.rank()) else {
            return Err(shape_error(
                STEM,
                format!("inputs with an axis {}", self.axis),
                inputs.len(),
                "check the axis",
            ));
        };
        let mut dims = first.dims().to_vec();
        dims[self.axis] = 0;
        for input in inputs {
            let mut others = input.dims().to_vec();
            let size = others.get_mut(self.axis).map_or(0, std::mem::take);
            let total = dims[self.axis];
            dims[self.axis] = 0;
            if others != dims {
                return Err(shape_error(
                    STEM,
                    format!("{first} but for axis {}", self.axis),
                    input,
                    "reshape or slice",
                ));
            }
            dims[self.axis] = total + size;
        }
        Ok(vec![Shape::new(&dims)])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let mut start = 0;
        for i in 0..args.inputs.len() {
            let length = args.emit.shape(args.inputs[i]).dims()[self.axis];
            if args.wanted[i] {
                let part = args.emit.emit(Op::from(Slice { axis: self.axis, start, length }), &[dy])?[0];
                args.add(i, part);
            }
            start += length;
        }
        Ok(())
    }
}

/// Takes `length` consecutive indices of an axis, from `start`. Input: x. Output: the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The axis, from 0, outermost first.
    pub axis: usize,
    /// The first index.
    pub start: usize,
    /// The number of indices, at least 1.
    pub length: usize,
}

impl Contract for Slice {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        let mut dims = inputs[0].dims().to_vec();
        match dims.get_mut(self.axis) {
            Some(size) if self.length > 0 && self.start + self.length <= *size => *size = self.length,
            _ => return Err(shape_error(STEM, format!("a tensor that has {self:?}"), inputs[0], "check the range")),
        }
        Ok(vec![Shape::new(&dims)])
    }

    /// Only the part is read.
    fn bytes(&self, _: &[&Shape], outputs: &[&Shape], _: &[&Shape]) -> u64 {
        8 * outputs[0].elements() as u64
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let size = args.emit.shape(args.inputs[0]).dims()[self.axis];
        let dx = args.emit.emit(Op::from(SliceGrad { slice: *self, size }), &[dy])?[0];
        args.add(0, dx);
        Ok(())
    }
}

/// The gradient of [`Slice`]: the part in its place, zeros around it. Input: dy. Output: dx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SliceGrad {
    /// The slice.
    pub slice: Slice,
    /// The axis' full size.
    pub size: usize,
}

impl Contract for SliceGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        let mut dims = inputs[0].dims().to_vec();
        dims[self.slice.axis] = self.size;
        let whole = Shape::new(&dims);
        let part = self.slice.infer(&[&whole])?;
        if &part[0] != inputs[0] {
            return Err(shape_error(STEM, format!("an output gradient {}", part[0]), inputs[0], "check the range"));
        }
        Ok(vec![whole])
    }
}
