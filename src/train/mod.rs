//! Training: settings, stages, sessions on a device, metrics and the folder of a run.

pub mod ablation;
mod auto_gamma;
mod average;
mod batches;
pub mod bench;
mod clock;
mod confidence;
mod curves;
pub mod evaluate;
mod evaluator;
mod heatmaps;
mod metrics;
mod model_card;
mod observer;
mod report;
pub mod resident;
pub mod run;
pub mod schedule;
pub mod session;
pub mod settings;
mod share;
mod sums;
pub mod svg;
pub mod teachers;
pub mod tensorboard;
pub mod trainer;

pub use auto_gamma::auto_gammas;
pub use confidence::confidence_svg;
pub use curves::curves_svg;
pub use heatmaps::{confusion_svg, similarity_svg};
pub use metrics::{EpochRecord, Summary, mean_off_diagonal};
pub use model_card::model_card;
pub use report::report_html;
pub use run::read_records;
pub use settings::{Given, Settings};
pub use sums::{Means, Sums, TermMeans};
