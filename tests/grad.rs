//! Every gradient rule against central differences, on the CPU executor in float64.

#[path = "grad/differences.rs"]
mod differences;
#[path = "grad/exact.rs"]
mod exact;
#[path = "grad/rules.rs"]
mod rules;
#[path = "grad/shared.rs"]
mod shared;
mod support;
