//! moue trains and runs facial-expression-recognition ensembles whose members are made to differ.
//!
//! Lower layers never import upper ones:
//! `error, shape, rng, words → ops → graph → exec → nn → models, diversity → data, checkpoint → predict, evaluation, train, verify, explain → cli, web`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod diversity;
pub mod error;
#[cfg(feature = "cli")]
pub mod evaluation;
pub mod exec;
#[cfg(feature = "cli")]
pub mod explain;
pub mod graph;
pub mod models;
pub mod nn;
pub mod ops;
pub mod predict;
pub mod rng;
pub mod shape;
#[cfg(feature = "cli")]
pub mod train;
pub mod verify;
#[cfg(feature = "web")]
pub mod web;
#[cfg(feature = "cli")]
mod words;

pub use error::{Error, Result};
