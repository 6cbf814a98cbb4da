//! The pooled RBF similarity between the learners' maps (paper Eq. 1).

use super::{Contract, GradArgs, Op, expect_inputs, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "similarity";

/// Similarity matrix of L learners (paper Eq. 1).
///
/// `S[l,k] = (1/N) Σ_n exp(−γ‖φ_l(x_n) − φ_k(x_n)‖²)`; the diagonal is 1, or 0 as in the released code.
///
/// Inputs: maps φ `[N, L·F…]` (learner-major within an image, any trailing dimensions), γ `[1]`, at least 0.
/// Outputs: S `[L, L]` in [0, 1], and each image's kernel values `[N, L, L]`, the diagonal as in S.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Similarity {
    /// The number of learners, 1 to 16.
    pub learners: usize,
    /// Leaves the diagonal at 0, as the released code does.
    pub zero_diagonal: bool,
}

/// The largest number of learners: each is a lane of the determinant's elimination.
pub const MAX_LEARNERS: usize = 16;

impl Similarity {
    /// N and F of maps of `shape`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the elements do not divide into the learners.
    pub fn sizes(&self, shape: &Shape) -> Result<[usize; 2]> {
        let n = shape.dims()[0];
        let per_image: usize = shape.dims()[1..].iter().product();
        if !(1..=MAX_LEARNERS).contains(&self.learners) || !per_image.is_multiple_of(self.learners) {
            let expected = format!("1 to {MAX_LEARNERS} learners that divide the {per_image} values of an image");
            return Err(shape_error(STEM, expected, self.learners, "stack the learners' maps along the channels"));
        }
        Ok([n, per_image / self.learners])
    }
}

impl Contract for Similarity {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        expect_shape(STEM, "γ", inputs[1], &[1])?;
        let [n, _] = self.sizes(inputs[0])?;
        let l = self.learners;
        Ok(vec![Shape::new(&[l, l]), Shape::new(&[n, l, l])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let ds = args.output_grad(0);
        let (ds, scale) = args.emit.unscaled(ds);
        let op = SimilarityGrad { similarity: *self, scale };
        let inputs = [ds, args.inputs[0], args.inputs[1], args.outputs[1]];
        let dmaps = args.emit.emit(Op::from(op), &inputs)?[0];
        args.add(0, dmaps);
        Ok(())
    }
}

/// The gradient of [`Similarity`] with respect to the maps.
///
/// `dφ_l(x_n) = −(2γc/N) Σ_{k≠l} (dS[l,k] + dS[k,l])·kernel[n,l,k]·(φ_l(x_n) − φ_k(x_n))`
///
/// Inputs: dS `[L, L]`, maps, γ `[1]`, kernel values `[N, L, L]`. Output: dφ like the maps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarityGrad {
    /// The forward op.
    pub similarity: Similarity,
    /// c, a factor of dS.
    pub scale: f64,
}

impl Contract for SimilarityGrad {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[4])?;
        let shapes = self.similarity.infer(&[inputs[1], inputs[2]])?;
        expect_shape(STEM, "gradient of S", inputs[0], shapes[0].dims())?;
        expect_shape(STEM, "kernel values", inputs[3], shapes[1].dims())?;
        Ok(vec![inputs[1].clone()])
    }
}
