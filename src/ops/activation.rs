//! Elementwise ReLU and sigmoid.

use super::{Contract, GradArgs, Op, expect_inputs, expect_shape};
use crate::{Result, shape::Shape};

const STEM: &str = "activation";

/// An elementwise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `max(x, 0)`; its gradient at 0 is 0, as in PyTorch.
    Relu,
    /// `1/(1 + exp(−x))`.
    Sigmoid,
}

/// Applies a [`Function`] to each element. Input: x. Output: y like x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Activation {
    /// The function.
    pub function: Function,
}

impl Contract for Activation {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        Ok(vec![inputs[0].clone()])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let op = ActivationGrad { function: self.function };
        let dx = args.emit.emit(Op::from(op), &[dy, args.outputs[0]])?[0];
        args.add(0, dx);
        Ok(())
    }
}

/// The gradient of [`Activation`], from its output. Inputs: dy, y. Output: dx like y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActivationGrad {
    /// The function.
    pub function: Function,
}

impl Contract for ActivationGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        expect_shape(STEM, "output gradient", inputs[0], inputs[1].dims())?;
        Ok(vec![inputs[1].clone()])
    }
}
