//! The settings of a training as a user gives them: flags of `moue train` and keys of a TOML file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::choices::{
    Colour, Gamma, InitPart, LrSchedule, ModelKind, Normalise, ObjectiveKind, Protocol, Resident, Schedule,
    SimilarityKind, Targets,
};
use crate::exec::{DeviceChoice, Precision};

/// Every setting of [`TrainConfig`](super::TrainConfig), given or not: as flags (`--stage-epochs 5`) and as keys of a
/// configuration (`stage-epochs = 5`). A flag wins over a key, a key over the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[group(skip)]
pub struct TrainOptions {
    /// The data: `synthetic`, `ferplus:DIR`, `rafdb:DIR`, `affectnet:DIR`, `folder:DIR`, …
    #[arg(long, value_name = "SPEC", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// How training images are varied: none, light, affectnet, rafdb, settings (`flip=0.5,degrees=20`), or both
    #[arg(long, value_name = "PRESET,KEY=VALUE…", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<String>,
    /// Mixes pairs of images, weights from Beta(α, α); 0: off
    #[arg(long, value_name = "α", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// What the cross-entropy compares with
    #[arg(long, help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// At most so many training images of a class, drawn anew at every stage; 0: all
    #[arg(long, value_name = "N", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_per_class: Option<usize>,
    /// The share of the training split held out for validation where the data have no such split
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Which split chooses the best epoch
    #[arg(long, help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,

    /// The network
    #[arg(long, help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelKind>,
    /// The number of branches, 1 to 16 (esr)
    #[arg(long, value_name = "N", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branches: Option<usize>,
    /// Scales the channels; 1 is the paper's network
    #[arg(long, value_name = "FACTOR", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// The edge of the input image in pixels
    #[arg(long, value_name = "PIXELS", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// CBAM attention in the branches (esr; manet always has it)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<bool>,
    /// Starts from these weights: a moue model, PyTorch's zip or legacy format, or safetensors
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// How much of them is used
    #[arg(long, help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_part: Option<InitPart>,
    /// The order of the colours; auto: as the weights to start from expect, else rgb
    #[arg(long, help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
    /// How pixels become inputs; auto: as the weights to start from expect, else none
    #[arg(long, help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,

    /// Diversifies the pooled features of the two branches (manet)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", help_heading = "Diversity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch_diversity: Option<bool>,
    /// Diversifies the branches' channel attention, or the patches' channel means (manet)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", help_heading = "Diversity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_diversity: Option<bool>,
    /// Diversifies the branches' spatial attention, or the patches' spatial means (manet)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", help_heading = "Diversity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spatial_diversity: Option<bool>,
    /// The diagonal of the similarity matrix: 1 or 0
    #[arg(long, help_heading = "Diversity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<SimilarityKind>,
    /// What is made of the similarity matrix
    #[arg(long, help_heading = "Diversity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<ObjectiveKind>,
    /// γ of the similarity: a number, or `auto`
    #[arg(long, value_name = "VALUE|auto", help_heading = "Diversity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<Gamma>,

    /// When the branches are trained
    #[arg(long, help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Epochs (progressive: of the first stage)
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Epochs of each later stage (progressive)
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_epochs: Option<usize>,
    /// Images in a batch
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// The learning rate
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// The learning rate of the base and of branches already trained (progressive)
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_old: Option<f64>,
    /// SGD's momentum
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Nesterov's form of momentum
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Weight decay, of every parameter
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// How the learning rate changes
    #[arg(long, help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_schedule: Option<LrSchedule>,
    /// Epochs between two changes of the learning rate (lr-schedule step)
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_size: Option<usize>,
    /// What the learning rate is multiplied with then (lr-schedule step)
    #[arg(long, value_name = "FACTOR", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_gamma: Option<f64>,
    /// The share of a stage during which the learning rate rises
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
    /// Ends a stage after so many epochs without a better validation accuracy; 0: never
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<usize>,
    /// The seed of everything random
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,

    /// The device: `auto`, `cpu`, `gpu`, `gpu:N` or `gpu:NAME`
    #[arg(long, value_name = "DEVICE", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceChoice>,
    /// What the device computes in: `f32`, or `mixed` (convolutions of operands rounded to f16, feature maps kept as f16,
    /// on GPUs that have it)
    #[arg(long, value_enum, value_name = "PRECISION", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Threads of the processor; 0: all
    #[arg(long, value_name = "N", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Whether the training images stay on the device, which then makes the batches
    #[arg(long, help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident: Option<Resident>,
    /// The folder of the run folders
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// The run's name; one that exists gets a number
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Continues an interrupted run: its folder or its last.safetensors
    #[arg(long, value_name = "RUN", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<PathBuf>,
    /// Epochs between two checkpoints
    #[arg(long, value_name = "EPOCHS", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<usize>,
    /// Steps between two readings of the loss from the device
    #[arg(long, value_name = "STEPS", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_every: Option<usize>,
}

impl TrainOptions {
    /// What a model's training starts from where a user says nothing; for MA-Net the paper's recipe on the data set.
    #[must_use]
    pub fn recipe(model: ModelKind, data: &str) -> Self {
        if model == ModelKind::Esr {
            return Self::default();
        }
        let (augment, epochs, step_size, batch) = match data {
            "affectnet" => ("affectnet", 20, 5, 128),
            "rafdb" => ("rafdb", 100, 15, 128),
            "ferplus" => ("affectnet", 100, 15, 32),
            _ => ("light", 100, 15, 32),
        };
        Self {
            augment: Some(augment.into()),
            width: Some(1.0),
            size: Some(224),
            epochs: Some(epochs),
            batch: Some(batch),
            lr: Some(0.01),
            nesterov: Some(false),
            weight_decay: Some(1e-4),
            lr_schedule: Some(LrSchedule::Step),
            step_size: Some(step_size),
            step_gamma: Some(0.1),
            warmup: Some(0.0),
            ..Self::default()
        }
    }
}
