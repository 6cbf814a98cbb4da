//! What is measured: the records of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::evaluation::{Evaluation, Figures, MapFigures, Members, Reliability};

/// One epoch of a training.
///
/// A figure that is not finite is written as `null` and read back as NaN.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochRecord {
    /// The epoch, counted from 1 over the whole run.
    pub epoch: usize,
    /// The stage, counted from 1; a joint training has one.
    pub stage: usize,
    /// Steps since the start of the run.
    pub step: u64,
    /// The learning rate of the epoch's last step.
    #[serde(deserialize_with = "nullable")]
    pub lr: f64,
    /// The loss that training minimises, the mean over all steps: the weighted sum of the branches' cross-entropies minus
    /// the diversity terms.
    #[serde(deserialize_with = "nullable")]
    pub train_loss: f64,
    /// The cross-entropy of a branch that learns, the mean by their weights in the loss and over all steps; of augmented
    /// images. NaN in records of versions that had `val_loss` instead.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_cross_entropy: f64,
    /// The same on the validation split.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub val_cross_entropy: f64,
    /// Each branch's cross-entropy in training.
    pub train_branch_cross_entropy: Vec<f64>,
    /// Each branch's cross-entropy on the validation split.
    pub val_branch_cross_entropy: Vec<f64>,
    /// The share of training images classified correctly while training, over all steps: by majority vote where branches
    /// vote, before any calibration.
    #[serde(deserialize_with = "nullable")]
    pub train_accuracy: f64,
    /// The validation split's accuracy, by majority vote where branches vote, before any calibration.
    #[serde(deserialize_with = "nullable")]
    pub val_accuracy: f64,
    /// Each branch's accuracy on the validation split.
    pub branch_accuracy: Vec<f64>,
    /// S between the pooled features of a MA-Net's two branches, the mean over all steps; none without the term.
    pub similarity_branch: Option<Vec<Vec<f64>>>,
    /// S between the branches' spatial attention maps.
    pub similarity_spatial: Option<Vec<Vec<f64>>>,
    /// S between the branches' channel attention vectors.
    pub similarity_channel: Option<Vec<Vec<f64>>>,
    /// The diversity term of a MA-Net's branches, the mean over all steps.
    pub diversity_branch: Option<f64>,
    /// The spatial diversity term.
    pub diversity_spatial: Option<f64>,
    /// The channel diversity term.
    pub diversity_channel: Option<f64>,
    /// The norm of the branch term's gradient with respect to its maps, at the last step.
    pub gradient_branch: Option<f64>,
    /// The norm of the spatial term's gradient with respect to its maps.
    pub gradient_spatial: Option<f64>,
    /// The norm of the channel term's gradient with respect to its maps.
    pub gradient_channel: Option<f64>,
    /// λ of each diversity term by its kind, at the last step; none where all are 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub diversity_weight: BTreeMap<String, f64>,
    /// Wall-clock seconds, training and validation.
    #[serde(deserialize_with = "nullable")]
    pub seconds: f64,
    /// Of these, in training steps.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub training_seconds: f64,
    /// Training images per second, validation not counted.
    #[serde(deserialize_with = "nullable")]
    pub images_per_s: f64,
}

fn missing() -> f64 {
    f64::NAN
}

fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The mean of a square matrix's off-diagonal elements; none for a single learner.
#[must_use]
pub fn mean_off_diagonal(matrix: &[Vec<f64>]) -> Option<f64> {
    let count = matrix.len();
    let sum: f64 = matrix
        .iter()
        .enumerate()
        .flat_map(|(l, row)| row.iter().enumerate().filter(move |(k, _)| *k != l))
        .map(|(_, s)| s)
        .sum();
    (count > 1).then(|| sum / (count * (count - 1)) as f64)
}

/// The end of a training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The best validation accuracy, which chose `checkpoints/best.safetensors`: by majority vote where branches vote.
    pub best_val_accuracy: f64,
    /// The epoch of the best, counted from 1.
    pub best_epoch: usize,
    /// Epochs trained, those before a resumption included.
    pub epochs: usize,
    /// Wall-clock seconds of training and validation, those before a resumption included.
    pub seconds: f64,
    /// Of these, in training steps.
    pub training_seconds: f64,
    /// Training images per second, validation not counted.
    pub images_per_s: f64,
    /// The device in words.
    pub device: String,
    /// The number of trained values.
    pub parameters: usize,
    /// The split that `evaluation` was made on, such as `validation`.
    pub split: String,
    /// The best model's evaluation on that split: of its answer, with the calibration that its file has.
    pub evaluation: Option<Evaluation>,
    /// The accuracy of its branches' majority vote there; none where they do not vote.
    pub vote_accuracy: Option<f64>,
    /// Each branch's accuracy in it.
    pub branch_accuracy: Vec<f64>,
    /// What the probabilities of that split are worth.
    pub figures: Option<Figures>,
    /// Its reliability diagram.
    pub reliability: Vec<Reliability>,
    /// The share of errors among the 1, 2, … N most confident answers.
    #[serde(skip)]
    pub risks: Vec<f64>,
    /// How alike the branches' mistakes are.
    pub members: Option<Members>,
    /// What diversity compares.
    pub maps: Vec<MapFigures>,
    /// The SHA-256 of `checkpoints/best.safetensors`; filled in by the run folder.
    pub model_hash: String,
}

impl Summary {
    /// What `moue train --json` prints, on one line.
    #[must_use]
    pub fn json_line(&self, run: &std::path::Path) -> String {
        serde_json::json!({
            "run": run,
            "best_val_accuracy": self.best_val_accuracy,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "images_per_s": self.images_per_s,
            "device": self.device,
        })
        .to_string()
    }
}
