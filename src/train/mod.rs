//! Training: settings, stages, sessions on a device, metrics and the folder of a run.

pub mod bench;
pub mod choices;
mod config;
mod curves;
pub mod evaluate;
mod heatmaps;
pub mod metrics;
mod options;
pub mod schedule;
pub mod session;
pub mod svg;
pub mod tensorboard;
pub mod trainer;

pub use config::TrainConfig;
pub use curves::curves_svg;
pub use heatmaps::{confusion_svg, similarity_svg};
pub use metrics::{ClassScore, EpochRecord, Evaluation, Summary, arg_max, majority_vote};
pub use options::TrainOptions;
