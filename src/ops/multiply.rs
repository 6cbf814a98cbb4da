//! Elementwise products.

use super::{Contract, GradArgs, Op, expect_inputs, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "multiply";

/// `y = a·b`, b of a's shape or one number `[1]`. Inputs: a, b. Output: y like a.
///
/// A gradient flows to a number only if it is a constant or an input (none is computed for b of shape `[1]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Multiply;

impl Contract for Multiply {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        if inputs[1].elements() != 1 {
            expect_shape(STEM, "second factor", inputs[1], inputs[0].dims())?;
        }
        Ok(vec![inputs[0].clone()])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let (a, b) = (args.inputs[0], args.inputs[1]);
        if args.wanted[0] {
            let da = args.emit.emit(Op::from(Self), &[dy, b])?[0];
            args.add(0, da);
        }
        if args.wanted[1] {
            if args.emit.shape(b) != args.emit.shape(a) {
                let found = args.emit.shape(b).clone();
                return Err(shape_error(
                    STEM,
                    "a factor of the full shape where it needs a gradient",
                    found,
                    "expand it",
                ));
            }
            let db = args.emit.emit(Op::from(Self), &[dy, a])?[0];
            args.add(1, db);
        }
        Ok(())
    }
}
