//! The paper's ablation: networks with and without attention and each diversity, over several seeds (Table 1).
//!
//! A *row* is a network in a variant, with a γ where the variant is diversified; a *cell* is a row trained with one
//! seed, in a folder of its own. What a cell reached is a [`CellResult`]; [`markdown`], [`csv()`] and [`chart()`] set the
//! rows beside the paper's figures.

pub mod cells;
mod chart;
mod paper;
mod table;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::evaluate::Predictions;
use super::settings::{
    Given,
    words::{Gamma, ModelKind},
};
use crate::{evaluation::Evaluation, models::Decision};

pub use chart::chart;
pub use paper::{DataSet, published};
pub use table::{csv, markdown};

/// What of the paper's method a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Neither attention nor diversity: the network as it was published.
    Plain,
    /// CBAM attention.
    Attention,
    /// Attention, and spatial diversity.
    Spatial,
    /// Attention, and channel diversity.
    Channel,
    /// Attention and both diversities.
    Both,
}

impl Variant {
    /// Attention, spatial diversity, channel diversity.
    #[must_use]
    pub fn parts(self) -> [bool; 3] {
        match self {
            Self::Plain => [false, false, false],
            Self::Attention => [true, false, false],
            Self::Spatial => [true, true, false],
            Self::Channel => [true, false, true],
            Self::Both => [true, true, true],
        }
    }

    /// Whether the loss has a diversity term, and γ a meaning.
    #[must_use]
    pub fn is_diversified(self) -> bool {
        self.parts()[1..].contains(&true)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Attention => "attention",
            Self::Spatial => "spatial",
            Self::Channel => "channel",
            Self::Both => "both",
        })
    }
}

/// A network of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NetworkName {
    /// `esr-<branches>`.
    Esr(usize),
    /// `manet`.
    Manet,
}

impl NetworkName {
    /// Whether a variant exists: a MA-Net always has attention.
    #[must_use]
    pub fn has(self, variant: Variant) -> bool {
        self != Self::Manet || variant != Variant::Plain
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Esr(branches) => write!(f, "esr-{branches}"),
            Self::Manet => f.write_str("manet"),
        }
    }
}

impl FromStr for NetworkName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "manet" {
            return Ok(Self::Manet);
        }
        let branches = text.strip_prefix("esr-").and_then(|number| number.parse().ok());
        branches.filter(|branches| (1..=16).contains(branches)).map(Self::Esr).ok_or_else(|| {
            format!("expected esr-N with N branches from 1 to 16, such as esr-9, or manet, found `{text}`")
        })
    }
}

impl TryFrom<String> for NetworkName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NetworkName> for String {
    fn from(name: NetworkName) -> Self {
        name.to_string()
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The network.
    pub network: NetworkName,
    /// What of the method it has.
    pub variant: Variant,
    /// γ, where the variant is diversified.
    pub gamma: Option<Gamma>,
}

impl Row {
    /// All rows of networks, the variants that they have, and γ's, in that order; γ multiplies the diversified variants
    /// alone.
    #[must_use]
    pub fn all(networks: &[NetworkName], variants: &[Variant], gammas: &[Gamma]) -> Vec<Self> {
        let mut rows = Vec::new();
        for &network in networks {
            for &variant in variants.iter().filter(|variant| network.has(**variant)) {
                if variant.is_diversified() {
                    rows.extend(gammas.iter().map(|&gamma| Self { network, variant, gamma: Some(gamma) }));
                } else {
                    rows.push(Self { network, variant, gamma: None });
                }
            }
        }
        rows
    }

    /// The name of the row's folder.
    #[must_use]
    pub fn name(&self) -> String {
        match self.gamma {
            Some(gamma) => format!("{}-{}-gamma-{gamma}", self.network, self.variant),
            None => format!("{}-{}", self.network, self.variant),
        }
    }

    /// Sets the row's part of a training's settings.
    pub fn set(&self, settings: &mut Given) {
        let [attention, spatial, channel] = self.variant.parts();
        match self.network {
            NetworkName::Esr(branches) => {
                settings.set("model", ModelKind::Esr.to_string());
                settings.set("branches", branches as i64);
                settings.set("attention", attention);
            }
            NetworkName::Manet => {
                settings.set("model", ModelKind::Manet.to_string());
                settings.set("branch-diversity", self.variant == Variant::Both);
            }
        }
        settings.set("spatial-diversity", spatial);
        settings.set("channel-diversity", channel);
        if let Some(gamma) = self.gamma {
            settings.set("gamma", gamma);
        }
    }
}

/// The accuracy of the first branches alone: an early exit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// How many branches answer.
    pub branches: usize,
    /// Accuracy of their majority vote, 0 to 1.
    pub vote: f64,
    /// Accuracy of their mean probability, 0 to 1.
    pub mean: f64,
}

/// What a cell reached on the split that the table reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellResult {
    /// The row.
    pub row: Row,
    /// The seed.
    pub seed: u64,
    /// The split, such as `test`, and its images.
    pub split: String,
    /// The best validation accuracy, which chose the model.
    pub validation: f64,
    /// The figures at every early exit; the last one is the whole ensemble.
    pub exits: Vec<Exit>,
    /// The accuracy of each branch alone.
    pub branches: Vec<f64>,
    /// The figures by majority vote, as in the paper: accuracy, balanced accuracy, each class, confusion.
    pub evaluation: Evaluation,
    /// Expected calibration error of the mean probabilities, 0 to 1, over 15 bins of equally many images; in files of earlier
    /// versions over bins of equal width.
    pub calibration_error: f64,
    /// The mean of S off its diagonal in the last epoch, where the term was there: spatial, channel.
    pub similarity: [Option<f64>; 2],
    /// Seconds of training.
    pub seconds: f64,
    /// The epoch of the model, and epochs trained.
    pub epochs: [usize; 2],
    /// SHA-256 of the model file.
    pub model_sha256: String,
}

impl CellResult {
    /// The accuracy of the whole network: by majority vote, or of the head that answers.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.evaluation.accuracy
    }
}

/// The figures at every early exit of branches that vote; a network whose last head answers has the one exit.
#[must_use]
pub fn exits(predictions: &Predictions) -> Vec<Exit> {
    if predictions.decision == Decision::Last {
        let accuracy = predictions.accuracy(&predictions.voted());
        return vec![Exit { branches: predictions.branches, vote: accuracy, mean: accuracy }];
    }
    let exit = |branches| Exit {
        branches,
        vote: predictions.accuracy(&predictions.vote(branches)),
        mean: predictions.accuracy(&predictions.mean(branches)),
    };
    (1..=predictions.branches).map(exit).collect()
}

/// Mean and sample standard deviation (n − 1); no deviation of fewer than two values.
#[must_use]
pub fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

/// The results of each row, in the order of the rows; rows without a result are left out.
fn grouped<'a>(rows: &[Row], results: &'a [CellResult]) -> Vec<(Row, Vec<&'a CellResult>)> {
    let of = |row: &Row| results.iter().filter(|result| result.row == *row).collect::<Vec<_>>();
    rows.iter().map(|row| (*row, of(row))).filter(|(_, results)| !results.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Settings;

    fn settings_of(row: &Row) -> Settings {
        let mut given = Given::default();
        row.set(&mut given);
        Settings::resolve(&given, &Given::default()).expect("settings")
    }

    #[test]
    fn gamma_multiplies_the_diversified_rows_alone() {
        let networks = ["esr-2", "esr-4"].map(|name| name.parse().expect("a network"));
        let rows = Row::all(&networks, &[Variant::Plain, Variant::Both], &[Gamma::Value(10.0), Gamma::Auto]);
        let names: Vec<_> = rows.iter().map(Row::name).collect();
        let expected = ["plain", "both-gamma-10", "both-gamma-auto"];
        assert_eq!(names[..3], expected.map(|name| format!("esr-2-{name}")));
        assert_eq!(names[3..], expected.map(|name| format!("esr-4-{name}")));
    }

    #[test]
    fn a_rows_settings_are_its_variants() {
        let network = NetworkName::Esr(4);
        let settings = settings_of(&Row { network, variant: Variant::Channel, gamma: Some(Gamma::Auto) });
        assert_eq!((settings.branches, settings.attention), (4, true));
        assert_eq!((settings.spatial_diversity, settings.channel_diversity), (false, true));
        assert_eq!(settings.gamma, Gamma::Auto);
        let settings = settings_of(&Row { network, variant: Variant::Plain, gamma: None });
        assert_eq!((settings.attention, settings.channel_diversity), (false, false));
    }

    #[test]
    fn networks_have_names() {
        assert_eq!("esr-9".parse(), Ok(NetworkName::Esr(9)));
        assert_eq!(NetworkName::Esr(15).to_string(), "esr-15");
        assert_eq!("manet".parse(), Ok(NetworkName::Manet));
        for wrong in ["esr", "esr-0", "esr-17", "esr-x", "vgg"] {
            assert!(wrong.parse::<NetworkName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_manet_has_no_row_without_attention() {
        let rows =
            Row::all(&[NetworkName::Manet], &[Variant::Plain, Variant::Attention, Variant::Both], &[Gamma::Auto]);
        assert_eq!(rows.iter().map(Row::name).collect::<Vec<_>>(), ["manet-attention", "manet-both-gamma-auto"]);
        let settings = settings_of(&rows[0]);
        assert_eq!((settings.model, settings.branch_diversity), (ModelKind::Manet, false));
        assert!(settings_of(&rows[1]).branch_diversity);
    }

    #[test]
    fn the_deviation_is_the_samples() {
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, Some(2f64.sqrt())));
        assert_eq!(mean_and_deviation(&[5.0]), (5.0, None));
    }
}
