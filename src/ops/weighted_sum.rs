//! Sums of tensors with fixed weights: addition, subtraction, scaling, the parts of a loss, the end of a residual block.

use super::{ActivationGrad, Contract, Function, GradArgs, Op, expect_inputs, expect_shape};
use crate::{Result, shape::Shape};

const STEM: &str = "weighted_sum";

/// `y = act(Σ_i weight_i·x_i)` over 1 to 4 tensors of one shape. Output: y.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedSum {
    /// A weight an input.
    pub weights: Vec<f64>,
    /// Applied to the sum.
    pub activation: Option<Function>,
}

impl Contract for WeightedSum {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1, 2, 3, 4])?;
        expect_inputs(STEM, inputs, &[self.weights.len()])?;
        for input in inputs {
            expect_shape(STEM, "inputs", input, inputs[0].dims())?;
        }
        Ok(vec![inputs[0].clone()])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let mut dy = args.output_grad(0);
        if let Some(function) = self.activation {
            dy = args.emit.emit(Op::from(ActivationGrad { function }), &[dy, args.outputs[0]])?[0];
        }
        for (i, &weight) in self.weights.iter().enumerate() {
            if !args.wanted[i] {
                continue;
            }
            let dx = match args.emit.constant_value(dy) {
                Some(value) => {
                    let shape = args.emit.shape(dy).clone();
                    args.emit.constant(shape, value * weight)
                }
                None if weight == 1.0 => dy,
                None => args.emit.emit(Op::from(Self { weights: vec![weight], activation: None }), &[dy])?[0],
            };
            args.add(i, dx);
        }
        Ok(())
    }
}
