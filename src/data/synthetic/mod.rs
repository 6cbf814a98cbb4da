//! The data set that needs no files: faces drawn from a model of identity, expression and circumstances.
//!
//! A face's expression is a set of facial action units (`action`, after Ekman and Friesen's FACS), its
//! identity a set of proportions and colours (`identity`), and the rest of the picture (pose, light, background,
//! blur, noise, what stands before the face; `scene`) is drawn without regard to the class. Every identity
//! shows each expression equally often, and no two splits share one, so that nothing but the expression tells
//! the classes apart.

mod action;
mod cover;
mod eyes;
mod hair;
mod head;
mod identity;
mod mouth;
mod pen;
mod scene;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rayon::prelude::*;

use self::action::Actions;
use self::identity::Identity;
use self::pen::Pen;
use self::scene::Scene;
use super::options::settings;
use super::spec::SPLITS;
use super::{EXPRESSIONS, Image, Sample, Split, dataset::Loaded};
use crate::{Error, Result, rng::Rng};

/// How many faces to render, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SyntheticSpec {
    /// All randomness follows from it.
    pub seed: u64,
    /// Images in the train split.
    pub train: usize,
    /// Images in the valid split.
    pub valid: usize,
    /// Images in the test split.
    pub test: usize,
    /// Rows and columns of each image, 16 to 512 pixels.
    pub size: usize,
}

impl Default for SyntheticSpec {
    fn default() -> Self {
        Self { seed: 1, train: 4000, valid: 800, test: 800, size: 64 }
    }
}

impl SyntheticSpec {
    /// The number of images in a split.
    pub(super) fn count(&self, split: &str) -> Option<usize> {
        match split {
            "train" => Some(self.train),
            "valid" => Some(self.valid),
            "test" => Some(self.test),
            _ => None,
        }
    }
}

impl FromStr for SyntheticSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const WHAT: &str = "the synthetic data set";
        let mut spec = Self::default();
        for setting in settings(WHAT, text)? {
            match setting.key {
                "seed" => spec.seed = setting.number(WHAT, 0, u64::MAX)?,
                "train" => spec.train = setting.number(WHAT, 0, 1_000_000)?,
                "valid" => spec.valid = setting.number(WHAT, 0, 1_000_000)?,
                "test" => spec.test = setting.number(WHAT, 0, 1_000_000)?,
                "size" => spec.size = setting.number(WHAT, SIZES.0, SIZES.1)?,
                _ => return Err(setting.unknown(WHAT, "seed, train, valid, test, size")),
            }
        }
        Ok(spec)
    }
}

impl fmt::Display for SyntheticSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, train, valid, test, size } = self;
        write!(f, "seed={seed},train={train},valid={valid},test={test},size={size}")
    }
}

/// The smallest image that still shows a face, and the largest worth rendering.
const SIZES: (usize, usize) = (16, 512);

/// Renders one RGB image of size×size pixels.
///
/// `identity` is the person, `expression` an index into [`EXPRESSIONS`], `take` numbers the pictures of that
/// person: each take has its own pose, light, background and intensity of the expression. The result is a
/// function of the five numbers.
///
/// # Errors
/// [`Error::Usage`] if `expression` is not below 8 or `size` not in 16 ..= 512.
pub fn render(seed: u64, identity: u64, expression: usize, take: u64, size: usize) -> Result<Image> {
    let wrong = |setting: &str, expected: String, found: usize| Error::Usage {
        setting: setting.into(),
        expected,
        found: found.to_string(),
        hint: "correct the value".into(),
    };
    if expression >= EXPRESSIONS.len() {
        return Err(wrong("the expression", format!("a number below {}", EXPRESSIONS.len()), expression));
    }
    if size < SIZES.0 || size > SIZES.1 {
        return Err(wrong("the image size", format!("{} to {} pixels", SIZES.0, SIZES.1), size));
    }
    let person = Identity::draw(&mut Rng::named("identity", &[seed, identity]));
    // The scene's stream does not know the class.
    let scene = Scene::draw(&mut Rng::named("scene", &[seed, identity, take]));
    let actions = Actions::draw(expression, &mut Rng::named("actions", &[seed, identity, take, expression as u64]));
    let mut pen = Pen::new(size, scene.pose, person.width);
    scene.background(&mut pen);
    head::draw(&mut pen, &person, &actions, &scene);
    cover::draw(&mut pen, &person, &scene);
    let pixels = scene.photograph(&pen);
    Ok(Image { width: size, height: size, channels: 3, pixels })
}

/// Renders the named splits on all cores; the classes are [`EXPRESSIONS`].
pub(super) fn load(spec: &SyntheticSpec, names: &[&str]) -> Result<Loaded> {
    let mut splits = BTreeMap::new();
    for (part, name) in SPLITS.into_iter().enumerate().filter(|(_, name)| names.contains(name)) {
        let count = spec.count(name).unwrap_or(0);
        if count == 0 {
            continue;
        }
        let samples: Result<Vec<Sample>> = (0..count)
            .into_par_iter()
            .map(|index| {
                // Person after person, each with all expressions; the splits' people are far apart.
                let label = index % EXPRESSIONS.len();
                let identity = ((part as u64) << 32) | (index / EXPRESSIONS.len()) as u64;
                let image = Arc::new(render(spec.seed, identity, label, label as u64, spec.size)?);
                Ok(Sample::new(format!("{name}/{index:06}"), image, label))
            })
            .collect();
        splits.insert(name.to_string(), Split { samples: samples?, dropped: Vec::new() });
    }
    if splits.is_empty() {
        return Err(Error::Usage {
            setting: "the synthetic data set".into(),
            expected: "images in at least one split".into(),
            found: spec.to_string(),
            hint: "leave the counts out for the default".into(),
        });
    }
    Ok(Loaded { classes: EXPRESSIONS.map(String::from).to_vec(), splits, unused: Vec::new() })
}
