//! Training: settings, metrics and the folder of a run.

pub mod choices;
mod config;
mod curves;
mod heatmaps;
pub mod metrics;
mod options;
pub mod svg;
pub mod tensorboard;

pub use choices::{
    Augment, DeviceChoice, Gamma, LrSchedule, ModelKind, ObjectiveKind, Protocol, Schedule, SimilarityKind, Targets,
};
pub use config::TrainConfig;
pub use curves::curves_svg;
pub use heatmaps::{confusion_svg, similarity_svg};
pub use metrics::{ClassScore, EpochRecord, Evaluation, Summary, arg_max, majority_vote};
pub use options::TrainOptions;
