//! The settings of a training: one list, which is the flags of `moue train`, the keys of a TOML file and what the
//! training loop reads.
//!
//! A new setting is a field of [`Settings`] with its default; where not every value will do, its range in
//! [`Settings::check`]; and the line that acts on it.

mod given;
mod meaning;
mod of_weights;
mod ranges;
pub mod words;

use std::path::PathBuf;

use clap::{ArgAction::Set, value_parser};
use serde::{Deserialize, Serialize};

use super::schedule::LrSchedule;
use crate::{
    data::Targets,
    exec::{DeviceChoice, Precision},
    models::{BRANCH_LAYERS, ManetSpec, Padding},
};
use words::{
    Balance, BranchSchedule, Colour, DiversityMaps, DiversityWeight, Gamma, InitPart, ModelKind, Monitor, Normalise,
    ObjectiveKind, Resident, SelectOn, SimilarityKind,
};

pub use given::Given;

/// Every setting of a training. The keys of `config.toml` and the flags of `moue train` have the same names, with `-`
/// for `_`; [`Given`] is some of them, as a user gave them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[group(skip)]
pub struct Settings {
    /// The data: `synthetic`, `ferplus:DIR`, `rafdb:DIR`, `affectnet:DIR`, `folder:DIR`, …
    #[arg(long, value_name = "SPEC", help_heading = "Data")]
    pub data: String,
    /// Gives the data's classes other names, joins those of one name, and leaves some out (`contempt=`)
    #[arg(long, value_name = "FROM=TO,…", help_heading = "Data")]
    pub class_map: String,
    /// How training images are varied: none, light, affectnet, rafdb, settings (`flip=0.5,degrees=20`), or both
    #[arg(long, value_name = "PRESET,KEY=VALUE…", help_heading = "Data")]
    pub augment: String,
    /// Mixes pairs of images, weights from Beta(α, α); 0: off
    #[arg(long, value_name = "α", help_heading = "Data")]
    pub mixup: f64,
    /// What the cross-entropy compares with
    #[arg(long, help_heading = "Data")]
    pub targets: Targets,
    /// The share of each target that is spread evenly over all classes, from 0 to below 1
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub label_smoothing: f64,
    /// Gives each branch a sample of ten of an image's votes, drawn with replacement, as its target (targets soft)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", action = Set, help_heading = "Data")]
    pub resample_votes: bool,
    /// Models that teach: their answers to the same augmented images are mixed into the targets, branch by branch and in
    /// turn where there are fewer models than branches
    #[arg(long, value_name = "MODEL", value_delimiter = ',', help_heading = "Data")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teacher: Vec<PathBuf>,
    /// The share of the teachers in the targets, 0 to 1
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub teacher_share: f64,
    /// The temperature of the teachers' answers: above 1 they are less sure
    #[arg(long, value_name = "T", help_heading = "Data")]
    pub teacher_temperature: f64,
    /// How classes of different sizes are evened out in training
    #[arg(long, help_heading = "Data")]
    pub balance: Balance,
    /// At most so many training images of a class, drawn anew at every stage; 0: all
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub limit_per_class: usize,
    /// The share of the training split held out for validation where the data have no such split
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub val_fraction: f64,
    /// The column of the data folder's labels.csv that names groups, such as persons; no group is in two splits
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// Divides the training images into so many folds, none of which tears a group apart, and holds one out as the test
    /// split; with as many folds as groups each is one group; 0: no folds
    #[arg(long, value_name = "K", help_heading = "Data")]
    pub folds: usize,
    /// The fold that is held out, from 1
    #[arg(long, value_name = "I", help_heading = "Data")]
    pub fold: usize,
    /// The split that chooses the best epoch
    #[arg(long, help_heading = "Data")]
    pub select_on: SelectOn,

    /// The network
    #[arg(long, help_heading = "Network")]
    pub model: ModelKind,
    /// The number of branches, 1 to 16 (esr)
    #[arg(long, value_name = "N", help_heading = "Network")]
    pub branches: usize,
    /// Scales the channels; 1 is the paper's network
    #[arg(long, value_name = "FACTOR", help_heading = "Network")]
    pub width: f64,
    /// The edge of the input image in pixels
    #[arg(long, value_name = "PIXELS", help_heading = "Network")]
    pub image_size: usize,
    /// CBAM attention in the branches (esr; manet always has it)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", action = Set, help_heading = "Network")]
    pub attention: bool,
    /// Zeros around the maps that are convolved (esr): same keeps their size, so that images of 48 pixels end as maps of
    /// 6×6 as those of 96 do in the published network
    #[arg(long, help_heading = "Network")]
    pub padding: Padding,
    /// λ of Eq. 5, 0 to 1: the weight of the local branch in the loss and in the answer (manet)
    #[arg(long, value_name = "λ", help_heading = "Network")]
    pub local_weight: f64,
    /// Starts from these weights: a moue model, PyTorch's zip or legacy format, or safetensors; the network is theirs where
    /// no other setting says otherwise
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// How much of them is used
    #[arg(long, help_heading = "Network")]
    pub init_part: InitPart,
    /// The order of the colours; auto: as the weights to start from expect, else rgb
    #[arg(long, help_heading = "Network")]
    pub colour: Colour,
    /// How pixels become inputs; auto: as the weights to start from expect, else none
    #[arg(long, help_heading = "Network")]
    pub normalise: Normalise,

    /// Diversifies the pooled features of the two branches (manet)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", action = Set, help_heading = "Diversity")]
    pub branch_diversity: bool,
    /// Diversifies the branches' channel attention, or the patches' channel means (manet)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", action = Set, help_heading = "Diversity")]
    pub channel_diversity: bool,
    /// Diversifies the branches' spatial attention, or the patches' spatial means (manet)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", action = Set, help_heading = "Diversity")]
    pub spatial_diversity: bool,
    /// The diagonal of the similarity matrix: 1 or 0
    #[arg(long, help_heading = "Diversity")]
    pub similarity: SimilarityKind,
    /// What is made of the similarity matrix
    #[arg(long, help_heading = "Diversity")]
    pub objective: ObjectiveKind,
    /// The layer of the branches whose attention is compared, 1 to 4, the last (esr)
    #[arg(long, value_name = "LAYER", help_heading = "Diversity")]
    pub diversity_layer: usize,
    /// Which maps are compared
    #[arg(long, help_heading = "Diversity")]
    pub diversity_maps: DiversityMaps,
    /// The share, 0 to 1, of the cross-entropy that is taken of the branches' mean answer instead of each branch's own
    #[arg(long, value_name = "SHARE", help_heading = "Diversity")]
    pub answer_diversity: f64,
    /// ε of `--objective logdet`, which becomes log det(S + εI) divided by the number of learners, from 0.001 to 1; 0: log
    /// det S
    #[arg(long, value_name = "ε", help_heading = "Diversity")]
    pub logdet_epsilon: f64,
    /// γ of the similarity: a number, or `auto`
    #[arg(long, value_name = "VALUE|auto", help_heading = "Diversity")]
    pub gamma: Gamma,
    /// λ, the weight of the diversity terms in the loss: a number, or `share:ρ`, which finds at each epoch's start the λ that
    /// gives a term's gradient in its maps ρ times the norm of the cross-entropy's (esr)
    #[arg(long, value_name = "VALUE|share:ρ", help_heading = "Diversity")]
    pub diversity_weight: DiversityWeight,
    /// Epochs of each stage over which the weight of the diversity terms rises from 0
    #[arg(long, value_name = "EPOCHS", help_heading = "Diversity")]
    pub diversity_warmup: f64,
    /// Epochs of each stage after which the diversity terms have no weight; 0: they keep it
    #[arg(long, value_name = "EPOCHS", help_heading = "Diversity")]
    pub diversity_epochs: usize,

    /// When the branches are trained
    #[arg(long, help_heading = "Training")]
    pub branch_schedule: BranchSchedule,
    /// Epochs (progressive: of the first stage)
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub epochs: usize,
    /// Epochs of each later stage (progressive)
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub stage_epochs: usize,
    /// Images in a batch
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch_size: usize,
    /// The learning rate
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    pub lr: f64,
    /// The learning rate of the base and of branches already trained (progressive)
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    pub trained_lr: f64,
    /// SGD's momentum
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub momentum: f64,
    /// Nesterov's form of momentum
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", action = Set, help_heading = "Training")]
    pub nesterov: bool,
    /// Weight decay, of every parameter
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    pub weight_decay: f64,
    /// How the learning rate changes
    #[arg(long, help_heading = "Training")]
    pub lr_schedule: LrSchedule,
    /// Epochs between two changes of the learning rate (lr-schedule step)
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    pub step_size: usize,
    /// What the learning rate is multiplied with then (lr-schedule step)
    #[arg(long, value_name = "FACTOR", help_heading = "Training")]
    pub step_gamma: f64,
    /// The share of a stage during which the learning rate rises
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub warmup_fraction: f64,
    /// Validates and keeps as the best network the moving average of the weights, with this decay a step, such as 0.999,
    /// and batch-norm statistics of its own (joint schedule); 0: the weights themselves
    #[arg(long, value_name = "DECAY", help_heading = "Training")]
    pub ema: f64,
    /// What the best epoch is best in, on the split that chooses it
    #[arg(long, help_heading = "Training")]
    pub monitor: Monitor,
    /// Ends a stage after so many epochs without a better one; 0: never
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    pub patience: usize,
    /// The seed of everything random, below 2⁶³
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..1 << 63), help_heading = "Training")]
    pub seed: u64,

    /// The device: `auto`, `cpu`, `gpu`, `gpu:N` or `gpu:NAME`
    #[arg(long, value_name = "DEVICE", help_heading = "Run")]
    pub device: DeviceChoice,
    /// What the device computes in: `f32`, or `mixed` (convolutions of operands rounded to f16, feature maps kept as f16,
    /// on GPUs that have it)
    #[arg(long, value_enum, value_name = "PRECISION", help_heading = "Run")]
    pub precision: Precision,
    /// Threads of the processor; 0: all
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub threads: usize,
    /// Whether the training images stay on the device, which then makes the batches
    #[arg(long, help_heading = "Run")]
    pub resident: Resident,
    /// The folder of the run folders
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub out: PathBuf,
    /// The run's name; one that exists gets a number
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Epochs between two checkpoints
    #[arg(long, value_name = "EPOCHS", help_heading = "Run")]
    pub checkpoint_every: usize,
    /// Steps between two lines of figures in the run's records
    #[arg(long, value_name = "STEPS", help_heading = "Run")]
    pub log_every: usize,
    /// Minutes without a sign of life after which another process may take over a run or a cell that one on another
    /// machine is training; on this machine a process that has ended is seen at once
    #[arg(long, value_name = "MINUTES", help_heading = "Run")]
    pub claim_timeout: f64,
}

impl Default for Settings {
    /// A small ESR on synthetic faces, in minutes on two cores.
    fn default() -> Self {
        Self {
            data: "synthetic".into(),
            class_map: String::new(),
            augment: "light".into(),
            mixup: 0.0,
            targets: Targets::Hard,
            label_smoothing: 0.0,
            resample_votes: false,
            teacher: Vec::new(),
            teacher_share: 0.5,
            teacher_temperature: 1.0,
            balance: Balance::None,
            limit_per_class: 0,
            val_fraction: 0.1,
            group_by: None,
            folds: 0,
            fold: 1,
            select_on: SelectOn::Valid,
            model: ModelKind::Esr,
            branches: 4,
            width: 0.25,
            image_size: 64,
            attention: true,
            padding: Padding::Published,
            local_weight: ManetSpec::LOCAL_WEIGHT,
            init: None,
            init_part: InitPart::Full,
            colour: Colour::Auto,
            normalise: Normalise::Auto,
            branch_diversity: true,
            channel_diversity: true,
            spatial_diversity: true,
            similarity: SimilarityKind::Paper,
            objective: ObjectiveKind::Det,
            diversity_layer: BRANCH_LAYERS,
            diversity_maps: DiversityMaps::Raw,
            answer_diversity: 0.0,
            logdet_epsilon: 0.0,
            gamma: Gamma::Value(10.0),
            diversity_weight: DiversityWeight::Value(1.0),
            diversity_warmup: 0.0,
            diversity_epochs: 0,
            branch_schedule: BranchSchedule::Joint,
            epochs: 8,
            stage_epochs: 4,
            batch_size: 32,
            lr: 0.08,
            trained_lr: 0.01,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 1e-4,
            lr_schedule: LrSchedule::OneCycle,
            step_size: 10,
            step_gamma: 0.5,
            warmup_fraction: 0.25,
            ema: 0.0,
            monitor: Monitor::Accuracy,
            patience: 0,
            seed: 0,
            device: DeviceChoice::Auto,
            precision: Precision::F32,
            threads: 0,
            resident: Resident::Auto,
            out: "runs".into(),
            name: None,
            checkpoint_every: 1,
            log_every: 10,
            claim_timeout: 30.0,
        }
    }
}
