//! Training: stages, sessions on a device, runs and their records.

pub mod bench;
pub mod evaluate;
pub mod schedule;
pub mod session;
pub mod trainer;
