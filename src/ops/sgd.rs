//! Stochastic gradient descent over all parameters at once.

use super::{Contract, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "sgd";

/// SGD with momentum and weight decay, as `torch.optim.SGD` without dampening, over all parameters in one op.
///
/// `g ← g + decay·p; v ← momentum·v + g; p ← p − lr·(nesterov ? g + momentum·v : v)`
///
/// A non-finite loss, or a `healthy` flag that is 0, leaves parameters and momenta as they are and sets the flag
/// to 0: the values that led to the failure can still be looked at.
///
/// Inputs: lr `[P]` and decay `[P]` (one entry a part, in order), loss `[1]`, then the parameters' gradients.
/// Updates in place: healthy `[1]`, the parameters, their momenta. No outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    /// Momentum, 0 to 1.
    pub momentum: f64,
    /// Nesterov's variant.
    pub nesterov: bool,
    /// For each parameter, into how many equal parts along its first dimension it falls (one for each branch).
    pub parts: Vec<usize>,
}

impl Contract for Sgd {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        if inputs.len() != 3 + self.parts.len() {
            let expected = format!("lr, decay, loss and {} gradients", self.parts.len());
            return Err(shape_error(STEM, expected, inputs.len(), "give a gradient for each parameter"));
        }
        let parts: usize = self.parts.iter().sum();
        expect_shape(STEM, "lr", inputs[0], &[parts])?;
        expect_shape(STEM, "decay", inputs[1], &[parts])?;
        expect_shape(STEM, "loss", inputs[2], &[1])?;
        for (gradient, &count) in inputs[3..].iter().zip(&self.parts) {
            if count == 0 || !gradient.dims()[0].is_multiple_of(count) {
                return Err(shape_error(STEM, format!("a gradient of {count} parts"), gradient, "check the names"));
            }
        }
        Ok(Vec::new())
    }
}
