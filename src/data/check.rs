//! What `moue data check` says about a data set.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::spec::SPLITS;
use super::{Dataset, Dropped, Image, Sample, Spec, ferplus};

/// How many images a data set has, of which classes, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// The data set's [`Spec`] as text.
    pub source: String,
    /// [`Dataset::hash`].
    pub hash: String,
    /// The classes' names.
    pub classes: Vec<String>,
    /// One report per split.
    pub splits: BTreeMap<String, SplitReport>,
}

/// How many images a split has.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SplitReport {
    /// Images that are used.
    pub usable: usize,
    /// Images that should be, where the data set is known.
    pub expected: Option<usize>,
    /// Used images of each class, in the order of [`Report::classes`].
    pub per_class: Vec<usize>,
    /// Images that the train split has pixel for pixel too (always 0 for train itself): they make a test easier.
    pub also_in_train: usize,
    /// Images that are not used, and why.
    pub dropped: Vec<Dropped>,
}

impl Report {
    /// True if every split has as many images as it should and no file was unreadable.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.splits.values().all(|split| {
            split.expected.is_none_or(|expected| expected == split.usable)
                && !split.dropped.iter().any(|drop| drop.unreadable)
        })
    }
}

impl Dataset {
    /// Counts the images, compares with the published counts where they are known, and lists what was dropped.
    #[must_use]
    pub fn check(&self) -> Report {
        let spec = self.source.parse::<Spec>().ok();
        let train: HashSet<&Image> = images(self.splits.get("train").map_or(&[], |split| &split.samples)).collect();
        let splits = self.splits.iter().map(|(name, split)| {
            let mut per_class = vec![0; self.classes.len()];
            split.samples.iter().for_each(|sample| per_class[sample.label] += 1);
            let report = SplitReport {
                usable: split.samples.len(),
                expected: match &spec {
                    Some(Spec::FerPlus(_)) => ferplus::expected(name),
                    Some(Spec::Synthetic(spec)) => spec.count(name),
                    _ => None,
                },
                per_class,
                also_in_train: if name == "train" {
                    0
                } else {
                    images(&split.samples).filter(|image| train.contains(image)).count()
                },
                dropped: split.dropped.clone(),
            };
            (name.clone(), report)
        });
        Report {
            source: self.source.clone(),
            hash: self.hash.clone(),
            classes: self.classes.clone(),
            splits: splits.collect(),
        }
    }
}

fn images(samples: &[Sample]) -> impl Iterator<Item = &Image> {
    samples.iter().map(|sample| &*sample.image)
}

impl fmt::Display for Report {
    /// A table of the classes, then what is missing, doubled or dropped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.source)?;
        let splits: Vec<_> = SPLITS.iter().filter_map(|name| Some((*name, self.splits.get(*name)?))).collect();
        let width = self.classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).max("expected".len());
        let row = |f: &mut fmt::Formatter<'_>, title: &str, cells: Vec<String>| {
            write!(f, "{title:width$}")?;
            cells.iter().try_for_each(|cell| write!(f, "  {cell:>7}"))?;
            writeln!(f)
        };
        row(f, "", splits.iter().map(|(name, _)| (*name).to_string()).collect())?;
        for (label, class) in self.classes.iter().enumerate() {
            row(f, class, splits.iter().map(|(_, split)| split.per_class[label].to_string()).collect())?;
        }
        row(f, "usable", splits.iter().map(|(_, split)| split.usable.to_string()).collect())?;
        if splits.iter().any(|(_, split)| split.expected.is_some()) {
            let cell = |split: &SplitReport| split.expected.map_or("-".into(), |count| count.to_string());
            row(f, "expected", splits.iter().map(|(_, split)| cell(split)).collect())?;
        }
        for (name, split) in &splits {
            if split.also_in_train > 0 {
                writeln!(f, "{name}: {} images are in train too, pixel for pixel", split.also_in_train)?;
            }
            let mut reasons = BTreeMap::<&str, usize>::new();
            for drop in &split.dropped {
                if drop.unreadable {
                    writeln!(f, "{name}: {} dropped, {}", drop.id, drop.reason)?;
                } else {
                    *reasons.entry(&drop.reason).or_default() += 1;
                }
            }
            for (reason, count) in reasons {
                writeln!(f, "{name}: {count} dropped, {reason}")?;
            }
        }
        write!(f, "sha256 {}", self.hash)
    }
}
