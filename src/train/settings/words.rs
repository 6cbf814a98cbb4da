//! The words that settings of a training can take.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::words;

words! {
    /// The network.
    ModelKind {
        /// ESR: a shared base and branches.
        Esr = "esr",
        /// MA-Net: a local branch over four quadrants and a global one.
        Manet = "manet",
    }
}

words! {
    /// The diagonal of the similarity matrix S.
    SimilarityKind {
        /// 1, as in the paper's Eq. 1.
        Paper = "paper",
        /// 0, as in the released code.
        Released = "released",
    }
}

words! {
    /// What is made of the similarity matrix S.
    ObjectiveKind {
        /// det(S), maximised (Eq. 2).
        Det = "det",
        /// log det(S), maximised.
        LogDet = "logdet",
        /// The sum of the off-diagonal elements, minimised.
        Sum = "sum",
    }
}

words! {
    /// When the branches are trained.
    BranchSchedule {
        /// All from the start.
        Joint = "joint",
        /// One after another, each stage from the best ensemble so far, as in the paper.
        Progressive = "progressive",
        /// All branches are there; each stage brings one more into the cross-entropy (the paper's on FER+, RAF-DB).
        FineTune = "fine-tune",
    }
}

words! {
    /// Whether the training images stay on the device, which then makes the batches from them.
    Resident {
        /// On a GPU, where they fit.
        Auto = "auto",
        /// Yes.
        On = "on",
        /// No: the host makes the batches.
        Off = "off",
    }
}

words! {
    /// The split that chooses the best epoch.
    SelectOn {
        /// A validation split, never the test split.
        Valid = "valid" | "clean",
        /// The test split, as the released code does: the figures on it are optimistic.
        Test = "test" | "released",
    }
}

words! {
    /// How classes of different sizes are evened out in training.
    Balance {
        /// Not at all.
        None = "none",
        /// Each image's cross-entropy counts by the inverse of its class's share, 1 in the mean.
        Weights = "weights",
        /// An epoch has as many images of each class: some several times, some not at all.
        Sampling = "sampling",
    }
}

words! {
    /// Which maps diversity compares.
    DiversityMaps {
        /// The attention maps as they are, as the paper does.
        Raw = "raw",
        /// What of a map is not the same for every image of the batch, at unit length: γ 1 suits it.
        Centred = "centred",
    }
}

words! {
    /// What the best epoch is best in, on the split that chooses it.
    Monitor {
        /// The share of right answers.
        Accuracy = "accuracy",
        /// The mean over the classes of that share, by the branches' mean probabilities.
        Balanced = "balanced",
        /// The cross-entropy of the branches' mean probabilities against the annotators' votes, or the labels where there
        /// are none: the lowest is the best.
        SoftCrossEntropy = "soft-cross-entropy",
    }
}

words! {
    /// How pixels become inputs.
    Normalise {
        /// As the weights to start from expect, else none.
        Auto = "auto",
        /// As they are, in [0, 1].
        None = "none",
        /// With ImageNet's mean and deviation, as the authors do for RAF-DB.
        Imagenet = "imagenet",
    }
}

words! {
    /// The order of the input's three channels.
    Colour {
        /// As the weights to start from expect; red, green, blue where there are none.
        Auto = "auto",
        /// Red, green, blue.
        Rgb = "rgb",
        /// Blue, green, red, as the paper's released code reads AffectNet and FER+.
        Bgr = "bgr",
    }
}

words! {
    /// How much of the weights to start from is used.
    InitPart {
        /// Everything that fits.
        Full = "full",
        /// What all members share: ESR's base, MA-Net's stem and first two layers.
        Base = "base",
    }
}

/// γ of Eq. 1: a number, or `auto` for one scaled to the first batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gamma {
    /// 1 / the median squared distance between the maps of the first batches.
    Auto,
    /// This number.
    Value(f64),
}

impl fmt::Display for Gamma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

impl FromStr for Gamma {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Value).map_err(|_| format!("expected a number or `auto`, found `{text}`")),
        }
    }
}

impl Serialize for Gamma {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Value(value) => serializer.serialize_f64(*value),
        }
    }
}

impl From<f64> for Gamma {
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

impl<'de> Deserialize<'de> for Gamma {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText { expected: "a number or `auto`", found: PhantomData })
    }
}

/// λ, the weight of the diversity terms in the loss: a number, or `share:ρ`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DiversityWeight {
    /// This number.
    Value(f64),
    /// For each term the λ, found anew at the start of each epoch, with which the gradient that the term sends into its
    /// maps has this share of the norm of the cross-entropy's in the same maps.
    Share(f64),
}

impl fmt::Display for DiversityWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Share(share) => write!(f, "share:{share}"),
        }
    }
}

impl FromStr for DiversityWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = match text.strip_prefix("share:") {
            Some(share) => share.parse().map(Self::Share),
            None => text.parse().map(Self::Value),
        };
        number.map_err(|_| format!("expected a number, or `share:` and a number, found `{text}`"))
    }
}

impl From<f64> for DiversityWeight {
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

impl Serialize for DiversityWeight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => serializer.serialize_f64(*value),
            Self::Share(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for DiversityWeight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a number, or `share:` and a number";
        deserializer.deserialize_any(NumberOrText { expected, found: PhantomData })
    }
}

/// Reads what is a number or a text.
struct NumberOrText<T> {
    expected: &'static str,
    found: PhantomData<T>,
}

impl<T: From<f64> + FromStr<Err = String>> serde::de::Visitor<'_> for NumberOrText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_f64<E>(self, value: f64) -> Result<T, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok((value as f64).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok((value as f64).into())
    }
}
