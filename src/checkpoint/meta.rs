//! What a model file says about itself.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    models::{Architecture, BRANCH_LAYERS, Calibration, NetworkSpec},
};

/// The format that this version writes and reads.
pub const FORMAT: &str = "moue 1";

/// Everything a reader needs to use the weights, and to know where they come from.
///
/// It holds no date and no host name, so that the same training gives the same file, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMeta {
    /// Always [`FORMAT`].
    pub format: String,
    /// The program that wrote the file, such as `moue 0.1.0`.
    #[serde(alias = "created-by")]
    pub created_by: String,
    /// The network but for its classes.
    pub architecture: Architecture,
    /// The class names in the order of the logits.
    pub classes: Vec<String>,
    /// The edge of the square input image, in pixels.
    pub size: usize,
    /// How pixels become inputs.
    pub normalisation: Normalisation,
    /// The order of the three input channels.
    pub colour: ColourOrder,
    /// How the members were made to differ; none for a plain ensemble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity: Option<DiversityMeta>,
    /// What it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<TrainingData>,
    /// How its mean probabilities become its answer; none: they are the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Calibration>,
    /// What it reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ModelResult>,
}

/// The input is `(pixel − mean) / std` per channel, pixels in [0, 1]; both are in the order red, green, blue, whatever the
/// [`ColourOrder`] of the input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Subtracted first.
    pub mean: [f32; 3],
    /// Divided by; none is 0.
    pub std: [f32; 3],
}

impl Normalisation {
    /// ImageNet's mean and deviation, as torchvision gives them.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

impl Default for Normalisation {
    /// Pixels in [0, 1] as they are.
    fn default() -> Self {
        Self { mean: [0.0; 3], std: [1.0; 3] }
    }
}

/// The order of the input's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red, as OpenCV reads images and the paper's released code trains on AffectNet and FER+.
    Bgr,
}

impl std::fmt::Display for ColourOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        })
    }
}

/// The diversity terms of the training loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiversityMeta {
    /// `paper` (unit diagonal, Eq. 1) or `released` (zero diagonal).
    pub similarity: String,
    /// `det`, `logdet` or `sum`.
    pub objective: String,
    /// γ of Eq. 1, as used, for each kind of map that was diversified: `branch`, `spatial`, `channel`.
    pub gamma: BTreeMap<String, f64>,
    /// The layer of an ESR's branches whose attention was compared, the first being 1; the last where a file does not say it.
    #[serde(default = "last_layer", skip_serializing_if = "is_last_layer")]
    pub layer: usize,
    /// Whether the maps were compared centred and at unit length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub centred: bool,
    /// ε of `logdet`, where it was of S + εI and divided by the learners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logdet_epsilon: Option<f64>,
    /// λ, a number or `share:ρ`, where it was not 1 throughout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
}

fn last_layer() -> usize {
    BRANCH_LAYERS
}

fn is_last_layer(layer: &usize) -> bool {
    *layer == BRANCH_LAYERS
}

/// The training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingData {
    /// The data set, such as `ferplus`; without the folder, which means nothing elsewhere.
    pub source: String,
    /// A hash of the images and labels of each split that was read, `train:1f0c… valid:77ab…`, as `moue data check`
    /// prints them; one hash without names in files of earlier versions.
    pub hash: String,
    /// Images per split.
    pub counts: BTreeMap<String, u64>,
}

/// The model's accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// The split it was measured on, such as `validation`.
    pub split: String,
    /// The share of images classified correctly, 0 to 1.
    pub accuracy: f64,
    /// The mean over classes of that share, 0 to 1.
    #[serde(default, alias = "balanced-accuracy", skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// How many images it was measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// The accuracy of the first branch, of the first two together, and so on.
    #[serde(default, alias = "by-branches", skip_serializing_if = "Vec::is_empty")]
    pub by_branches: Vec<f64>,
}

impl ModelMeta {
    /// Metadata with the defaults (RGB, pixels in [0, 1]) and this version's name.
    #[must_use]
    pub fn new(architecture: Architecture, classes: Vec<String>, size: usize) -> Self {
        Self {
            format: FORMAT.into(),
            created_by: concat!("moue ", env!("CARGO_PKG_VERSION")).into(),
            architecture,
            classes,
            size,
            normalisation: Normalisation::default(),
            colour: ColourOrder::default(),
            diversity: None,
            data: None,
            answer: None,
            result: None,
        }
    }

    /// The network, with all its settings in range; `path` is for the error only.
    ///
    /// # Errors
    /// [`Error::File`] for an ESR's base alone, which answers nothing, and for a setting out of range.
    pub fn network(&self, path: &Path) -> Result<NetworkSpec> {
        let wrong =
            |expected: String, found: String, hint: String| Error::File { path: path.into(), expected, found, hint };
        if self.architecture.is_base() {
            let hint = "train branches on it with `moue train --init FILE`";
            return Err(wrong("an ESR with branches".into(), "its base alone".into(), hint.into()));
        }
        let network = self.architecture.network(self.classes.len());
        match network.validate() {
            Err(Error::Usage { setting, expected, found, hint }) => {
                Err(wrong(format!("{setting} of {expected} in its architecture"), found, hint))
            }
            other => other.map(|()| network),
        }
    }

    /// Checks that the metadata are complete and make sense; `path` is for the error only.
    ///
    /// # Errors
    /// [`Error::File`] for a file that lists no classes, names one twice, or has an impossible size, normalisation or
    /// calibration.
    pub fn check(&self, path: &Path) -> Result<()> {
        let wrong = |expected: &str, found: String| {
            Err(Error::File {
                path: path.into(),
                expected: expected.into(),
                found,
                hint: "train the model again or use another file".into(),
            })
        };
        if self.format != FORMAT {
            return wrong(
                &format!("the format `{FORMAT}`"),
                format!("`{}`, written by {}", self.format, self.created_by),
            );
        }
        if self.classes.len() < 2 && !(self.classes.is_empty() && self.architecture.is_base()) {
            return wrong("a list of at least two class names", format!("{} class names", self.classes.len()));
        }
        for (index, class) in self.classes.iter().enumerate() {
            if class.trim().is_empty() {
                return wrong("class names", format!("an empty name for class {index}"));
            }
            if self.classes[..index].contains(class) {
                return wrong("every class once", format!("`{class}` twice"));
            }
        }
        if self.size == 0 || self.size != self.architecture.size() {
            let expected = "an image size of at least 1 pixel, the same for the file and its architecture";
            return wrong(expected, format!("{} and {}", self.size, self.architecture.size()));
        }
        let Normalisation { mean, std } = self.normalisation;
        if !mean.iter().all(|v| v.is_finite()) || !std.iter().all(|v| v.is_finite() && *v > 0.0) {
            return wrong("a finite mean and a positive std", format!("mean {mean:?}, std {std:?}"));
        }
        if let Some([expected, found]) = self.answer.as_ref().and_then(|answer| answer.fault(self.classes.len())) {
            return wrong(&expected, found);
        }
        Ok(())
    }

    /// Checks that this is the architecture `expected`, key by key; `path` is for the error only.
    ///
    /// # Errors
    /// [`Error::File`] that names every key that differs.
    pub fn require_architecture(&self, path: &Path, expected: &Architecture) -> Result<()> {
        let Some([found, expected]) = self.architecture.differences(expected) else { return Ok(()) };
        Err(Error::File {
            path: path.into(),
            expected: format!("a model with {expected}"),
            found,
            hint: "give the settings that the file was trained with, or another file".into(),
        })
    }
}

/// The branch that a tensor belongs to by its name; none for the base.
pub(super) fn branch_of(name: &str) -> Option<usize> {
    name.strip_prefix("branches.")?.split('.').next()?.parse().ok()
}
