//! Checks a device against golden numbers: a network on values that are functions of their names alone.

mod bars;
mod golden;
mod values;

pub use bars::Verdict;
pub use golden::{Golden, verify};
pub use values::{fill, labels, one_hot, uniform};
