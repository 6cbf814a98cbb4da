//! Networks.

pub mod esr;

pub use esr::{Esr, EsrSpec};
