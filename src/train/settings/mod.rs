//! The settings of a training: one list, which is the flags of `moue train`, the keys of a TOML file and what the
//! training loop reads.
//!
//! A new setting is a field of [`Settings`] with its default and, where not every value will do, its range in
//! [`Settings::check`]; and the line that acts on it.

mod given;
mod meaning;
mod of_weights;
pub mod words;

use std::path::PathBuf;

use clap::{ArgAction::Set, value_parser};
use serde::{Deserialize, Serialize};

use super::schedule::LrSchedule;
use crate::{
    Error, Result,
    data::{ClassMap, Targets},
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

impl Settings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Usage`] for the first setting out of its range, by name.
    pub fn check(&self) -> Result<()> {
        let wrong = |setting: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(Error::Usage {
                setting: setting.into(),
                expected: expected.into(),
                found: found.to_string(),
                hint: format!("change --{setting} or the key `{setting}`"),
            })
        };
        if self.data.trim().is_empty() {
            return wrong("data", "a data set such as `synthetic` or `ferplus:DIR`", &"nothing");
        }
        self.class_map.parse::<ClassMap>()?;
        let counts = [
            ("image-size", self.image_size),
            ("epochs", self.epochs),
            ("stage-epochs", self.stage_epochs),
            ("step-size", self.step_size),
            ("checkpoint-every", self.checkpoint_every),
            ("log-every", self.log_every),
        ];
        for (setting, count) in counts {
            if count == 0 {
                return wrong(setting, "at least 1", &count);
            }
        }
        if self.precision == Precision::F64 {
            return wrong("precision", "f32 or mixed, since model files keep f32", &self.precision);
        }
        if !(1..=16).contains(&self.branches) {
            return wrong("branches", "1 to 16", &self.branches);
        }
        if self.model == ModelKind::Manet && self.branch_schedule != BranchSchedule::Joint {
            return wrong(
                "branch-schedule",
                "`joint` for a MA-Net, whose branches always learn together",
                &self.branch_schedule,
            );
        }
        if self.batch_size < 2 {
            return wrong("batch-size", "at least 2, since batch norm needs a variance", &self.batch_size);
        }
        let positive = [
            ("width", self.width),
            ("lr", self.lr),
            ("trained-lr", self.trained_lr),
            ("step-gamma", self.step_gamma),
            ("claim-timeout", self.claim_timeout),
        ];
        for (setting, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return wrong(setting, "a number above 0", &value);
            }
        }
        if self.width > 4.0 {
            return wrong("width", "at most 4", &self.width);
        }
        let from_0 =
            [("mixup", self.mixup), ("weight-decay", self.weight_decay), ("diversity-warmup", self.diversity_warmup)];
        for (setting, value) in from_0 {
            if !(value.is_finite() && value >= 0.0) {
                return wrong(setting, "0 or a number above it", &value);
            }
        }
        for (setting, value) in [
            ("momentum", self.momentum),
            ("label-smoothing", self.label_smoothing),
            ("warmup-fraction", self.warmup_fraction),
            ("ema", self.ema),
        ] {
            if !(0.0..1.0).contains(&value) {
                return wrong(setting, "a number from 0 to below 1", &value);
            }
        }
        if self.ema > 0.0 && self.branch_schedule != BranchSchedule::Joint {
            return wrong("ema", "0 with branches that are trained one after another", &self.ema);
        }
        if !(0.01..=100.0).contains(&self.teacher_temperature) {
            return wrong("teacher-temperature", "0.01 to 100", &self.teacher_temperature);
        }
        if self.resample_votes && self.targets == Targets::Hard {
            return wrong("resample-votes", "`false` with `--targets hard`, which knows no votes", &true);
        }
        if self.own_targets() && self.answer_diversity > 0.0 {
            let expected = "0 where branches have targets of their own (--teacher, --resample-votes)";
            return wrong("answer-diversity", expected, &self.answer_diversity);
        }
        if !self.teacher.is_empty() && self.resident == Resident::On {
            return wrong("resident", "`auto` or `off` with teachers, who look at the host's images", &self.resident);
        }
        if !(self.val_fraction > 0.0 && self.val_fraction < 1.0) {
            return wrong("val-fraction", "a share above 0 and below 1", &self.val_fraction);
        }
        for (setting, value) in [
            ("local-weight", self.local_weight),
            ("answer-diversity", self.answer_diversity),
            ("teacher-share", self.teacher_share),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return wrong(setting, "a share from 0 to 1", &value);
            }
        }
        if self.folds == 1 {
            return wrong("folds", "0 for none, or at least 2", &self.folds);
        }
        if self.fold < 1 || self.fold > self.folds.max(1) {
            let expected = match self.folds {
                0 => "1, since there are no folds".into(),
                folds => format!("1 to {folds}, the number of folds"),
            };
            return wrong("fold", &expected, &self.fold);
        }
        if self.nesterov && self.momentum == 0.0 {
            return wrong("nesterov", "a momentum above 0 for it", &"momentum 0");
        }
        if let Gamma::Value(gamma) = self.gamma
            && !(gamma.is_finite() && gamma > 0.0)
        {
            return wrong("gamma", "a number above 0, or `auto`", &gamma);
        }
        if !(1..=BRANCH_LAYERS).contains(&self.diversity_layer) {
            return wrong("diversity-layer", &format!("1 to {BRANCH_LAYERS}"), &self.diversity_layer);
        }
        if self.model == ModelKind::Manet && self.diversity_layer != BRANCH_LAYERS {
            let expected = format!("{BRANCH_LAYERS}, the last, for a MA-Net");
            return wrong("diversity-layer", &expected, &self.diversity_layer);
        }
        if self.logdet_epsilon != 0.0 {
            if !(1e-3..=1.0).contains(&self.logdet_epsilon) {
                return wrong("logdet-epsilon", "0, or a number from 0.001 to 1", &self.logdet_epsilon);
            }
            if self.objective != ObjectiveKind::LogDet {
                return wrong("logdet-epsilon", "the objective logdet for it", &self.objective);
            }
            if self.similarity != SimilarityKind::Paper {
                return wrong("logdet-epsilon", "a similarity matrix with a diagonal of 1 for it", &self.similarity);
            }
        }
        match self.diversity_weight {
            DiversityWeight::Value(weight) if !(weight.is_finite() && weight >= 0.0) => {
                return wrong("diversity-weight", "0 or a number above it, or `share:` and a number above 0", &weight);
            }
            DiversityWeight::Share(share) if !(share.is_finite() && share > 0.0) => {
                return wrong("diversity-weight", "a number above 0 after `share:`", &share);
            }
            DiversityWeight::Share(_) if self.model == ModelKind::Manet => {
                let expected = "a number for a MA-Net, whose answer does not pass through the maps that are compared";
                return wrong("diversity-weight", expected, &self.diversity_weight);
            }
            _ => {}
        }
        if self.diversity_epochs > 0 && self.diversity_warmup > self.diversity_epochs as f64 {
            let expected = format!("at most the {} of diversity-epochs", self.diversity_epochs);
            return wrong("diversity-warmup", &expected, &self.diversity_warmup);
        }
        if let Some(name) = &self.name {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if name.is_empty() || name.starts_with('.') || !plain {
                return wrong("name", "letters, digits, `-`, `_` and `.`, not starting with `.`", &format!("`{name}`"));
            }
        }
        Ok(())
    }
}
