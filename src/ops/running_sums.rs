//! Sums over the runs of a program, which the host reads when it likes.

use super::{Contract, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "running_sums";

/// The most inputs of one op: each is a binding of its own, beside the sums.
pub const MOST_INPUTS: usize = 7;

/// Adds numbers to sums that outlive the run, together with what each addition rounds off (Knuth's TwoSum, *The Art of
/// Computer Programming* vol. 2, §4.2.2, theorem B).
///
/// `s' = fl(s + x); e' = e + (s + x − s')`, so that `s + e` has about twice the digits of one number. Counts are exact
/// up to 2⁴⁸. No gradient goes through it.
///
/// Inputs: 1 to [`MOST_INPUTS`] tensors of any shape, E elements in all, taken one after the other.
/// Updates in place: the sums `[2, E]`, s and then e. No outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunningSums;

impl Contract for RunningSums {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        if !(1..=MOST_INPUTS).contains(&inputs.len()) {
            let expected = format!("1 to {MOST_INPUTS} tensors to sum");
            return Err(shape_error(STEM, expected, inputs.len(), "share them out among several ops"));
        }
        Ok(Vec::new())
    }
}
