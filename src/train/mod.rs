//! Training: settings, stages, sessions on a device, metrics and the folder of a run.

pub mod ablation;
pub mod bench;
pub mod choices;
mod clock;
mod config;
mod curves;
pub mod evaluate;
mod heatmaps;
mod metrics;
mod model_card;
mod options;
mod report;
pub mod resident;
mod run_folder;
pub mod schedule;
pub mod session;
pub mod svg;
pub mod tensorboard;
pub mod trainer;

pub use config::TrainConfig;
pub use curves::curves_svg;
pub use heatmaps::{confusion_svg, similarity_svg};
pub use metrics::{ClassScore, EpochRecord, Evaluation, Summary, mean_off_diagonal};
pub use model_card::model_card;
pub use options::TrainOptions;
pub use report::report_html;
pub use run_folder::{RunFolder, RunStart, Status, read_records};
