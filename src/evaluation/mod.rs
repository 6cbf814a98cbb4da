//! How good answers are, how sure that is, and whether two networks differ.
//!
//! [`Evaluation`] counts by class and [`Answered`] has the other figures of a split; [`statistics`] the intervals and
//! tests; [`Members`] how alike the branches' mistakes are, [`MapFigures`] what they look at; [`Kept`] is a file of
//! predictions, and [`compare()`] sets such files beside each other.

mod by_class;
mod compare;
mod figures;
mod kept;
mod maps;
mod members;
pub mod statistics;

pub use by_class::{ClassScore, Evaluation};
pub use compare::{Arm, ArmFigures, Verdict, Versus, compare};
pub use figures::{Answered, Figures, Reliability, VoteFigures, auroc, average_precision};
pub use kept::{About, Kept, SplitOf};
pub use maps::{MapFigures, MapSums};
pub use members::Members;
