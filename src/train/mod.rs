//! Training: settings, metrics and the folder of a run.

mod choices;
mod config;
mod curves;
mod heatmaps;
mod metrics;
mod model_card;
mod options;
mod report;
mod run_folder;
pub mod svg;
pub mod tensorboard;

pub use choices::{
    Augment, DeviceChoice, Gamma, LrSchedule, ModelKind, ObjectiveKind, Protocol, Schedule, SimilarityKind, Targets,
};
pub use config::TrainConfig;
pub use curves::curves_svg;
pub use heatmaps::{confusion_svg, similarity_svg};
pub use metrics::{ClassScore, EpochRecord, Evaluation, Summary, arg_max, majority_vote, mean_off_diagonal};
pub use model_card::model_card;
pub use options::TrainOptions;
pub use report::report_html;
pub use run_folder::{RunFolder, RunStart, Status, read_records};
