//! Labelled images in splits, and their hash.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Image, Unused};
use crate::{Error, Result, rng::Rng};

/// One labelled image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sample {
    /// Unique in the data set: the path below its folder, or `train/00012` for rendered faces.
    pub id: String,
    /// The pixels as stored, shared with the loader's thread.
    pub image: Arc<Image>,
    /// Index into [`Dataset::classes`].
    pub label: usize,
    /// The annotators' distribution over the classes, summing to 1, where the data has one.
    pub votes: Option<Vec<f32>>,
    /// How pleasant the expression is, −1 to 1, where the data say so (AffectNet); nothing is trained on it, and
    /// hashes leave it out.
    pub valence: Option<f32>,
    /// How excited the expression is, −1 to 1, where the data say so; as `valence`.
    pub arousal: Option<f32>,
}

/// An image that was listed but is not used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// As [`Sample::id`].
    pub id: String,
    /// Why, in a few words.
    pub reason: String,
    /// True where the file is missing or broken, false where the data set's own rule excludes it.
    pub unreadable: bool,
}

/// One split of a data set.
///
/// What is read from files and what is drawn is in the order of the ids ([`Dataset::new`]).
#[derive(Debug, Clone, Default)]
pub struct Split {
    /// The usable images, in a fixed order.
    pub samples: Vec<Sample>,
    /// The others.
    pub dropped: Vec<Dropped>,
}

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The [`Spec`](super::Spec) it was loaded from, as text.
    pub source: String,
    /// The classes' names; a label is an index into them.
    pub classes: Vec<String>,
    /// `train`, `valid` and `test`, as far as they exist and were asked for.
    pub splits: BTreeMap<String, Split>,
    /// SHA-256, in hex, of each split as it was loaded, over its samples in their order. A validation split that is
    /// drawn later ([`Dataset::split_validation`]) has none: it follows from the train split, fraction and seed.
    pub hashes: BTreeMap<String, String>,
    /// Files and folders beside the data set's that are not used.
    pub unused: Vec<Unused>,
    /// The group of each image, by its id; empty where each image stands alone.
    pub groups: BTreeMap<String, String>,
}

/// What a loader finds.
pub(super) struct Loaded {
    pub(super) classes: Vec<String>,
    pub(super) splits: BTreeMap<String, Split>,
    pub(super) unused: Vec<Unused>,
}

impl Dataset {
    /// Puts a data set together: sorts the samples of each split by their ids, so that neither a training nor a hash
    /// depends on the order in which files or tables list them, and hashes each split.
    ///
    /// A hash is SHA-256 over the SHA-256 digests of the samples, each over the id, the label, the image's width,
    /// height, channels and bytes, and the votes.
    ///
    /// # Errors
    /// [`Error::Data`] for a label outside `classes`, votes of another length, an image whose bytes do not fit its
    /// size, or two images of one id in a split: a picture listed twice would count twice.
    pub fn new(source: impl Into<String>, classes: Vec<String>, mut splits: BTreeMap<String, Split>) -> Result<Self> {
        let source = source.into();
        for (name, split) in &splits {
            let mut seen = HashSet::new();
            for sample in &split.samples {
                sample.check(classes.len())?;
                if !seen.insert(&sample.id) {
                    return Err(Error::Data {
                        what: format!("the {name} split of {source}"),
                        expected: "each image once".into(),
                        found: format!("{} twice", sample.id),
                        hint: "take one of the two off the list of labels".into(),
                    });
                }
            }
        }
        for split in splits.values_mut() {
            split.samples.sort_by(|a, b| a.id.cmp(&b.id));
        }
        let hashes = splits.iter().map(|(name, split)| (name.clone(), hash(&split.samples))).collect();
        Ok(Self { source, classes, splits, hashes, unused: Vec::new(), groups: BTreeMap::new() })
    }

    /// The hashes of the splits as one text, `train:1f0c… valid:77ab…`: what run.json and model files keep. Two
    /// loads of the same splits agree in it if and only if each split has the same images with the same labels.
    #[must_use]
    pub fn hash(&self) -> String {
        self.hashes.iter().map(|(split, hash)| format!("{split}:{hash}")).collect::<Vec<_>>().join(" ")
    }

    /// The split of that name.
    ///
    /// # Errors
    /// [`Error::Data`] if the data set has no such split.
    pub fn split(&self, name: &str) -> Result<&Split> {
        self.splits.get(name).ok_or_else(|| Error::Data {
            what: self.source.clone(),
            expected: format!("a split `{name}`"),
            found: self.splits.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "),
            hint: "ask for one of those, or add the images".into(),
        })
    }

    /// Moves `fraction` of the train split into a new `valid` split, class by class, so that the test split
    /// never chooses a model; does nothing if there is a `valid` split already.
    ///
    /// Each class gives ⌊n·fraction + ½⌋ of its n images, at least 1 and at most n − 1, chosen by
    /// `Rng::named("validation", [seed, class])`; a class of one image stays in train. Where images are grouped
    /// ([`Dataset::group_by`]), whole groups are drawn until each class gives about that fraction, and no class loses
    /// all its images.
    ///
    /// # Errors
    /// [`Error::Usage`] unless 0 < `fraction` < 1, [`Error::Data`] if there is no `train` split, no class has two
    /// images, or no group can be spared.
    pub fn split_validation(&mut self, fraction: f64, seed: u64) -> Result<()> {
        if self.splits.contains_key("valid") {
            return Ok(());
        }
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::Usage {
                setting: "the validation fraction".into(),
                expected: "a number between 0 and 1, both excluded".into(),
                found: fraction.to_string(),
                hint: "0.1 is common".into(),
            });
        }
        let chosen = if self.groups.is_empty() {
            self.part_of_each_class(fraction, seed)?
        } else {
            self.whole_groups(fraction, seed)?
        };
        self.move_out_of_train(chosen, "valid");
        Ok(())
    }

    /// The samples of train that a validation split takes where each image stands alone.
    fn part_of_each_class(&self, fraction: f64, seed: u64) -> Result<Vec<usize>> {
        let train = self.split("train")?;
        let mut chosen = Vec::new();
        for (class, mut members) in by_class(&train.samples, self.classes.len()).into_iter().enumerate() {
            if members.len() < 2 {
                continue;
            }
            let wanted = (members.len() as f64 * fraction + 0.5) as usize;
            Rng::named("validation", &[seed, class as u64]).shuffle(&mut members);
            chosen.extend(&members[..wanted.clamp(1, members.len() - 1)]);
        }
        if chosen.is_empty() {
            return Err(Error::Data {
                what: format!("the train split of {}", self.source),
                expected: "a class with at least two images, to set some aside for validation".into(),
                found: format!("{} images", train.samples.len()),
                hint: "add images, or a `valid` split of your own".into(),
            });
        }
        Ok(chosen)
    }
}

impl Sample {
    /// An image with its label, without votes.
    #[must_use]
    pub fn new(id: impl Into<String>, image: Arc<Image>, label: usize) -> Self {
        Self { id: id.into(), image, label, votes: None, valence: None, arousal: None }
    }

    /// Does the sample fit `classes` classes, and its image itself?
    pub(crate) fn check(&self, classes: usize) -> Result<()> {
        let wrong = |expected: String, found: String| Error::Data {
            what: format!("image {}", self.id),
            expected,
            found,
            hint: "load the data set again, or leave this image out".into(),
        };
        if self.label >= classes {
            return Err(wrong(format!("a label below {classes}"), self.label.to_string()));
        }
        if let Some(votes) = self.votes.as_ref().filter(|votes| votes.len() != classes) {
            return Err(wrong(format!("votes for {classes} classes"), format!("{} votes", votes.len())));
        }
        self.image.check().map_err(|(expected, found)| wrong(expected, found))
    }
}

/// The indices of the samples of each class, in order.
pub(crate) fn by_class(samples: &[Sample], classes: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); classes];
    for (index, sample) in samples.iter().enumerate() {
        if let Some(class) = members.get_mut(sample.label) {
            class.push(index);
        }
    }
    members
}

fn hash(samples: &[Sample]) -> String {
    let digests: Vec<_> = samples
        .par_iter()
        .map(|sample| {
            let mut hasher = Sha256::new();
            // The lengths keep one field's end from being read as the next one's start.
            hasher.update((sample.id.len() as u64).to_le_bytes());
            hasher.update(&sample.id);
            let Image { width, height, channels, pixels } = &*sample.image;
            for number in [sample.label, *width, *height, *channels] {
                hasher.update((number as u64).to_le_bytes());
            }
            hasher.update(pixels);
            for vote in sample.votes.iter().flatten() {
                hasher.update(vote.to_le_bytes());
            }
            hasher.finalize()
        })
        .collect();
    let mut hasher = Sha256::new();
    digests.iter().for_each(|digest| hasher.update(digest));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
