//! Maps at unit length, for comparing what they look like without how strong they are.

use super::{Contract, GradArgs, Op, expect_inputs, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "unit_length";

/// Each learner's map of each image divided by its length: `y[n,l] = x[n,l] / √(‖x[n,l]‖² + ε)`.
///
/// A map whose length is far below √ε stays near 0 instead of being blown up.
///
/// Input: maps x `[N, L·F…]` (learner-major within an image, any trailing dimensions). Output: y like x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnitLength {
    /// L, which divides the values of an image.
    pub learners: usize,
    /// ε, above 0.
    pub eps: f64,
}

impl UnitLength {
    /// N·L and F of maps of `shape`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the values of an image do not divide into the learners.
    pub fn sizes(&self, shape: &Shape) -> Result<[usize; 2]> {
        let n = shape.dims()[0];
        let per_image: usize = shape.dims()[1..].iter().product();
        if self.learners == 0 || !per_image.is_multiple_of(self.learners) {
            let expected = format!("learners that divide the {per_image} values of an image");
            return Err(shape_error(STEM, expected, self.learners, "stack the learners' maps along the channels"));
        }
        Ok([n * self.learners, per_image / self.learners])
    }
}

impl Contract for UnitLength {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        self.sizes(inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let dx = args.emit.emit(Op::from(UnitLengthGrad(*self)), &[dy, args.inputs[0]])?[0];
        args.add(0, dx);
        Ok(())
    }
}

/// The gradient of [`UnitLength`]: with `r = √(‖x‖² + ε)`, `dx = dy/r − x·(x·dy)/r³`.
///
/// Inputs: dy and x `[N, L·F…]`. Output: dx like x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnitLengthGrad(pub UnitLength);

impl Contract for UnitLengthGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        self.0.sizes(inputs[1])?;
        super::expect_shape(STEM, "gradient", inputs[0], inputs[1].dims())?;
        Ok(vec![inputs[1].clone()])
    }
}
