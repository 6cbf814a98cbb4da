//! Training: settings, metrics and the folder of a run.

pub mod choices;
mod config;
pub mod metrics;
mod options;

pub use choices::{
    Augment, DeviceChoice, Gamma, LrSchedule, ModelKind, ObjectiveKind, Protocol, Schedule, SimilarityKind, Targets,
};
pub use config::TrainConfig;
pub use metrics::{ClassScore, EpochRecord, Evaluation, Summary, arg_max, majority_vote};
pub use options::TrainOptions;
