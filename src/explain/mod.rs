//! One answer as a picture: the face, and for each branch its vote, its attention and its Grad-CAM.
//!
//! `layout` puts texts, bars and `overlay`s in their places, a `Scene`, once; `svg` and `png` draw it.
//! Both files are complete in themselves.

mod layout;
mod overlay;
mod png;
mod scene;
mod svg;

use std::path::Path;

use crate::{
    Error, Result,
    data::Image,
    models::{Decision, NetworkSpec},
    predict::{BranchAnswer, Prediction, SpatialMap},
};

pub use scene::Scene;

/// An answer, with what is needed to show it.
#[derive(Debug, Clone, Copy)]
pub struct Explanation<'a> {
    /// What the image is called.
    pub name: &'a str,
    /// The image that was answered.
    pub image: &'a Image,
    /// The classes' names `[K]`.
    pub classes: &'a [String],
    /// The network that answered.
    pub network: &'a NetworkSpec,
    /// Its answer, from a predictor that explains.
    pub prediction: &'a Prediction,
    /// The class whose Grad-CAM is shown; none for the one that each branch votes for.
    pub class: Option<usize>,
}

/// A branch of an [`Explanation`].
#[derive(Debug, Clone)]
pub struct Branch<'a> {
    /// Its name, as in tables.
    pub name: String,
    /// What it says.
    pub answer: &'a BranchAnswer,
    /// The class that its Grad-CAM is of.
    pub class: usize,
    /// What speaks for that class, in units of a logit, at least 0.
    pub grad_cam: SpatialMap,
}

impl Branch<'_> {
    /// The Grad-CAM's largest value.
    #[must_use]
    pub fn strongest(&self) -> f32 {
        largest(&self.grad_cam)
    }
}

impl<'a> Explanation<'a> {
    /// The branches with a classifier of their own: all but a head that combines others.
    pub fn branches(&self) -> impl Iterator<Item = Branch<'a>> {
        let (network, chosen) = (self.network, self.class);
        self.prediction.branches.iter().enumerate().filter_map(move |(head, answer)| {
            let class = chosen.unwrap_or(answer.class);
            let grad_cam = answer.evidence.as_ref()?.grad_cam(class);
            Some(Branch { name: network.head_name(head), answer, class, grad_cam })
        })
    }

    /// What the branches' attention maps are, and whether they lie in (0, 1); none where there are none.
    #[must_use]
    pub fn attention(&self) -> Option<(&'static str, bool)> {
        let kind = match self.network {
            NetworkSpec::Esr(_) => ("spatial attention", true),
            NetworkSpec::Manet(_) => ("mean activation", false),
        };
        self.prediction.branches.iter().any(|branch| branch.attention.is_some()).then_some(kind)
    }

    /// Whom the similarities compare.
    #[must_use]
    pub fn learners(&self) -> &'static str {
        match self.network.decision() {
            Decision::Vote => "branches",
            Decision::Last => "patches",
        }
    }

    /// The picture.
    ///
    /// # Errors
    /// [`Error::Data`] where the image's bytes do not fit its size.
    pub fn scene(&self) -> Result<Scene> {
        layout::scene(self)
    }
}

fn largest(map: &SpatialMap) -> f32 {
    map.values.iter().copied().fold(0.0, f32::max)
}

/// The smallest and the largest value of a map.
#[must_use]
pub fn range(map: &SpatialMap) -> [f32; 2] {
    let fold = |start, pick: fn(f32, f32) -> f32| map.values.iter().copied().fold(start, pick);
    [fold(f32::INFINITY, f32::min), fold(f32::NEG_INFINITY, f32::max)]
}

/// A value of a map as text, with three digits.
#[must_use]
pub fn figure(value: f32) -> String {
    match value.abs() {
        _ if !value.is_finite() => "?".into(),
        size if size != 0.0 && !(1e-3..1e4).contains(&size) => format!("{value:.1e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The kinds of files that a [`Scene`] can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text in any script, and the reader's light or dark colours.
    Svg,
    /// Latin text, twice as many pixels as the SVG.
    Png,
}

impl Format {
    /// By the ending of a file's name.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other than `.svg` and `.png`.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(Error::Usage {
                setting: "--out".into(),
                expected: "a file name that ends in .svg or .png".into(),
                found: format!("`{}`", path.display()),
                hint: "the ending says which of the two is written".into(),
            }),
        }
    }
}

impl Scene {
    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Svg => svg::document(self).into_bytes(),
            Format::Png => png::file(self),
        }
    }
}

/// What the title of every picture begins with, by which a later call knows its own.
const TITLE: &str = "moue explain: ";

/// Whether a file begins as the SVG of a scene does.
#[must_use]
pub fn is_own_svg(beginning: &[u8]) -> bool {
    let beginning = String::from_utf8_lossy(&beginning[..beginning.len().min(200)]);
    beginning.starts_with("<svg ") && beginning.contains(&format!("aria-label='{TITLE}"))
}
