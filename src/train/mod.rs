//! Training: settings, stages, sessions on a device, metrics and the folder of a run.

pub mod bench;
pub mod choices;
mod config;
pub mod evaluate;
pub mod metrics;
mod options;
pub mod schedule;
pub mod session;
pub mod trainer;

pub use config::TrainConfig;
pub use metrics::{ClassScore, EpochRecord, Evaluation, Summary, arg_max, majority_vote};
pub use options::TrainOptions;
