//! The settings of a training, complete and checked.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::choices::{
    Colour, Gamma, InitPart, LrSchedule, ModelKind, Normalise, ObjectiveKind, Protocol, Resident, Schedule,
    SimilarityKind, Targets,
};
use super::options::TrainOptions;
use crate::{
    Error, Result,
    exec::{DeviceChoice, Precision},
    models::{Architecture, EsrSpec, ManetSpec, NetworkSpec},
};

/// Settings that may differ when a run is resumed: none of them changes a bit of the result on the same device.
const FREE_ON_RESUME: [&str; 6] = ["device", "threads", "out", "resume", "checkpoint-every", "read-every"];

/// Every setting of a training. The keys of `config.toml` and the flags of `moue train` have the same names, with `-`
/// for `_`; [`TrainOptions`] is the same list with everything optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrainConfig {
    /// The data set and its folder.
    pub data: String,
    /// How training images are varied.
    pub augment: String,
    /// α of mixup's Beta(α, α); 0: no mixup.
    pub mixup: f64,
    /// What the cross-entropy compares with.
    pub targets: Targets,
    /// The most training images of a class; 0: all.
    pub limit_per_class: usize,
    /// The share of train held out for validation where the data have no validation split, in (0, 1).
    pub validation: f64,
    /// Which split chooses the best epoch.
    pub protocol: Protocol,
    /// The network.
    pub model: ModelKind,
    /// Branches, 1 to 16; of an ESR.
    pub branches: usize,
    /// The factor of the channels, in (0, 4].
    pub width: f64,
    /// The edge of the input image, in pixels.
    pub size: usize,
    /// Whether the branches have CBAM attention; of an ESR, a MA-Net always has it.
    pub attention: bool,
    /// The weights to start from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// How much of them is used.
    pub init_part: InitPart,
    /// The order of the input's channels; `auto` until the weights to start from are known.
    pub colour: Colour,
    /// How pixels become inputs; `auto` until the weights to start from are known.
    pub normalise: Normalise,
    /// Whether the two branches of a MA-Net are diversified.
    pub branch_diversity: bool,
    /// Whether channel attention, or the channel means of a MA-Net's patches, are diversified.
    pub channel_diversity: bool,
    /// Whether spatial attention, or the spatial means of a MA-Net's patches, are diversified.
    pub spatial_diversity: bool,
    /// The diagonal of S.
    pub similarity: SimilarityKind,
    /// What is made of S.
    pub objective: ObjectiveKind,
    /// γ of Eq. 1.
    pub gamma: Gamma,
    /// When the branches are trained.
    pub schedule: Schedule,
    /// Epochs of a joint training, or of the first stage of a progressive one.
    pub epochs: usize,
    /// Epochs of each later stage.
    pub stage_epochs: usize,
    /// Images in a batch.
    pub batch: usize,
    /// The learning rate; in a progressive training that of the branch in training.
    pub lr: f64,
    /// The learning rate of the base and of the other branches in the later stages.
    pub lr_old: f64,
    /// SGD's momentum, in [0, 1).
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// Weight decay of every parameter.
    pub weight_decay: f64,
    /// How the learning rate changes.
    pub lr_schedule: LrSchedule,
    /// Epochs between two changes (`step`).
    pub step_size: usize,
    /// The factor of each change (`step`).
    pub step_gamma: f64,
    /// The share of a stage's steps during which the learning rate rises, in [0, 1).
    pub warmup: f64,
    /// Epochs without improvement that end a stage; 0: none do.
    pub early_stop: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// The device.
    pub device: DeviceChoice,
    /// What the device computes in.
    pub precision: Precision,
    /// Threads of the processor; 0: all.
    pub threads: usize,
    /// Whether the training images stay on the device.
    pub resident: Resident,
    /// The folder of the run folders.
    pub out: PathBuf,
    /// The run's name; made from model and data if none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The run to continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<PathBuf>,
    /// Epochs between two checkpoints.
    pub checkpoint_every: usize,
    /// Steps between two readings of loss and hits from the device.
    pub read_every: usize,
}

impl Default for TrainConfig {
    /// A small ESR on synthetic faces, in minutes on two cores.
    fn default() -> Self {
        Self {
            data: "synthetic".into(),
            augment: "light".into(),
            mixup: 0.0,
            targets: Targets::Hard,
            limit_per_class: 0,
            validation: 0.1,
            protocol: Protocol::Clean,
            model: ModelKind::Esr,
            branches: 4,
            width: 0.25,
            size: 64,
            attention: true,
            init: None,
            init_part: InitPart::Full,
            colour: Colour::Auto,
            normalise: Normalise::Auto,
            branch_diversity: true,
            channel_diversity: true,
            spatial_diversity: true,
            similarity: SimilarityKind::Paper,
            objective: ObjectiveKind::Det,
            gamma: Gamma::Value(10.0),
            schedule: Schedule::Joint,
            epochs: 8,
            stage_epochs: 4,
            batch: 32,
            lr: 0.08,
            lr_old: 0.01,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 1e-4,
            lr_schedule: LrSchedule::OneCycle,
            step_size: 10,
            step_gamma: 0.5,
            warmup: 0.25,
            early_stop: 0,
            seed: 0,
            device: DeviceChoice::Auto,
            precision: Precision::F32,
            threads: 0,
            resident: Resident::Auto,
            out: "runs".into(),
            name: None,
            resume: None,
            checkpoint_every: 1,
            read_every: 10,
        }
    }
}

impl TrainOptions {
    /// The names of all settings, as flags and as keys.
    #[must_use]
    pub fn keys() -> Vec<String> {
        let command = Self::augment_args(clap::Command::new("train"));
        command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect()
    }

    /// Reads a configuration file (TOML, one flat list of keys).
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Usage`] that names the line of a mistake, and for an unknown key
    /// the nearest known one.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| {
            Error::io(path, "reading the configuration", source, "check the path given to --config")
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a configuration file; `path` names it in errors.
    ///
    /// # Errors
    /// As [`TrainOptions::load`], but for reading.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let place = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("{}, line {line}", path.display())
        };
        let table: toml::Table = toml::from_str(text).map_err(|error| Error::Usage {
            setting: place(&error),
            expected: "TOML".into(),
            found: one_line(error.message()),
            hint: "write one `key = value` a line, text in quotes".into(),
        })?;
        let keys = Self::keys();
        if let Some(unknown) = table.keys().find(|key| !keys.contains(key)) {
            let nearest = keys
                .iter()
                .map(|key| (strsim::jaro_winkler(key, unknown), key))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .filter(|(likeness, _)| *likeness > 0.7);
            return Err(Error::Usage {
                setting: path.display().to_string(),
                expected: "the names of `moue train`'s flags as keys".into(),
                found: format!("`{unknown}`"),
                hint: nearest.map_or_else(
                    || "`moue train --help` lists them".into(),
                    |(_, key)| format!("the nearest one is `{key}`"),
                ),
            });
        }
        toml::from_str(text).map_err(|error| Error::Usage {
            setting: place(&error),
            expected: "a value that the setting takes".into(),
            found: one_line(error.message()),
            hint: "`moue train --help` lists the settings and their values".into(),
        })
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl TrainConfig {
    /// The settings of a training: a flag wins over the file's key, the key over the default of the model and data.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value out of range.
    pub fn resolve(file: &TrainOptions, flags: &TrainOptions) -> Result<Self> {
        let model = flags.model.or(file.model).unwrap_or(ModelKind::Esr);
        let data = flags.data.as_ref().or(file.data.as_ref()).map_or("", |data| data);
        let mut table = table_of(&Self::default())?;
        table.extend(table_of(&TrainOptions::recipe(model, data_name(data)))?);
        table.extend(table_of(file)?);
        table.extend(table_of(flags)?);
        let config = Self::try_from_table(table).map_err(|found| Error::Usage {
            setting: "settings".into(),
            expected: "values that a training takes".into(),
            found,
            hint: "`moue train --help` lists the settings and their values".into(),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The settings of a run that is continued: those in its `config.toml`, with `flags` for what may differ.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Usage`] for the file; [`Error::Usage`] for a flag that would change the result.
    pub fn resumed(config: &Path, flags: &TrainOptions) -> Result<Self> {
        let saved = TrainOptions::load(config)?;
        let old = table_of(&Self::resolve(&saved, &TrainOptions::default())?)?;
        for (key, value) in table_of(flags)? {
            if !FREE_ON_RESUME.contains(&key.as_str()) && old.get(&key) != Some(&value) {
                return Err(Error::Usage {
                    setting: format!("--{key}"),
                    expected: old.get(&key).map_or_else(|| "it unset".into(), |old| format!("{old}, as the run began")),
                    found: value.to_string(),
                    hint: "a resumed run keeps its settings; start a new one to change them".into(),
                });
            }
        }
        Self::resolve(&saved, flags)
    }

    /// The first setting that changes a trained network and is not the same in `other`, in words; the run's name and
    /// place do not count.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (table_of(self).ok()?, table_of(other).ok()?);
        let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
        let free = |key: &&String| FREE_ON_RESUME.contains(&key.as_str()) || *key == "name";
        let key = keys.filter(|key| !free(key)).find(|key| ours.get(*key) != theirs.get(*key))?;
        let text = |table: &toml::Table| table.get(key).map_or_else(|| "unset".into(), toml::Value::to_string);
        Some(format!("`{key}` {} instead of {}", text(&ours), text(&theirs)))
    }

    fn try_from_table(table: toml::Table) -> std::result::Result<Self, String> {
        toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| one_line(error.message()))
    }

    /// The text of `config.toml`: every setting, complete.
    ///
    /// # Errors
    /// [`Error::Usage`] for a number that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        Ok(format!(
            "# The settings of a training by moue {}. Use them again with: moue train --config config.toml\n{}",
            env!("CARGO_PKG_VERSION"),
            table_of(self)?
        ))
    }

    /// Whether any diversity term is part of the loss.
    #[must_use]
    pub fn diversified(&self) -> bool {
        !self.diversified_kinds().is_empty()
    }

    /// The kinds of maps that are diversified, of those that the network has.
    #[must_use]
    pub fn diversified_kinds(&self) -> Vec<&'static str> {
        let wanted = |kind: &str| match kind {
            "branch" => self.branch_diversity,
            "spatial" => self.spatial_diversity,
            _ => self.channel_diversity,
        };
        self.network(0).kinds().iter().copied().filter(|kind| wanted(kind)).collect()
    }

    /// The data set's name without its folder, such as `ferplus`.
    #[must_use]
    pub fn data_name(&self) -> &str {
        data_name(&self.data)
    }

    /// The network.
    #[must_use]
    pub fn network(&self, classes: usize) -> NetworkSpec {
        let Self { branches, width, size, attention, .. } = *self;
        match self.model {
            ModelKind::Esr => NetworkSpec::Esr(EsrSpec { branches, width, size, classes, attention }),
            ModelKind::Manet => NetworkSpec::Manet(ManetSpec { width, size, classes }),
        }
    }

    /// The network as it stands in a model file.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.network(0).architecture()
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Usage`] for the first setting out of its range, by name.
    pub fn validate(&self) -> Result<()> {
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
        let counts = [
            ("size", self.size),
            ("epochs", self.epochs),
            ("stage-epochs", self.stage_epochs),
            ("step-size", self.step_size),
            ("checkpoint-every", self.checkpoint_every),
            ("read-every", self.read_every),
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
        if self.model == ModelKind::Manet && self.schedule != Schedule::Joint {
            return wrong("schedule", "`joint` for a MA-Net, whose branches always learn together", &self.schedule);
        }
        if self.batch < 2 {
            return wrong("batch", "at least 2, since batch norm needs a variance", &self.batch);
        }
        let positive =
            [("width", self.width), ("lr", self.lr), ("lr-old", self.lr_old), ("step-gamma", self.step_gamma)];
        for (setting, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return wrong(setting, "a number above 0", &value);
            }
        }
        if self.width > 4.0 {
            return wrong("width", "at most 4", &self.width);
        }
        for (setting, value) in [("mixup", self.mixup), ("weight-decay", self.weight_decay)] {
            if !(value.is_finite() && value >= 0.0) {
                return wrong(setting, "0 or a number above it", &value);
            }
        }
        for (setting, value) in [("momentum", self.momentum), ("warmup", self.warmup)] {
            if !(0.0..1.0).contains(&value) {
                return wrong(setting, "a number from 0 to below 1", &value);
            }
        }
        if !(self.validation > 0.0 && self.validation < 1.0) {
            return wrong("validation", "a share above 0 and below 1", &self.validation);
        }
        if self.nesterov && self.momentum == 0.0 {
            return wrong("nesterov", "a momentum above 0 for it", &"momentum 0");
        }
        if let Gamma::Value(gamma) = self.gamma
            && !(gamma.is_finite() && gamma > 0.0)
        {
            return wrong("gamma", "a number above 0, or `auto`", &gamma);
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

/// The data set's name in a specification such as `ferplus:DIR`.
fn data_name(data: &str) -> &str {
    data.split(':').next().unwrap_or_default()
}

/// The settings that are given, by key.
fn table_of(settings: &impl Serialize) -> Result<toml::Table> {
    toml::Table::try_from(settings).map_err(|error| Error::Usage {
        setting: "settings".into(),
        expected: "whole numbers up to 9223372036854775807, the largest of TOML".into(),
        found: one_line(&error.to_string()),
        hint: "give smaller numbers".into(),
    })
}
