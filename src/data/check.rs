//! What `moue data check` says about a data set.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::copies::{Contradiction, CopyIndex, LEAST_CORRELATION, NearCopy, near_copies, repeats, without_colour};
use super::spec::SPLITS;
use super::{Dataset, Dropped, Image, Sample, Spec, Split, Unused, affectnet, by_class, fer2013, ferplus, rafdb};

/// How many images a data set has, of which classes, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// The data set's [`Spec`] as text.
    pub source: String,
    /// The classes' names.
    pub classes: Vec<String>,
    /// One report per split.
    pub splits: BTreeMap<String, SplitReport>,
    /// Files and folders that are not used.
    pub unused: Vec<Unused>,
    /// [`Dataset::imbalance`].
    pub imbalance: Option<String>,
}

/// Entries of a list that are written out; `--json` has all.
const LISTED: usize = 20;

/// A class that has this many times fewer images than another is hardly learnt.
const IMBALANCE: usize = 20;

/// How many images a split has.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SplitReport {
    /// Its hash in [`Dataset::hashes`]; run.json names those of the splits that a run used.
    pub hash: Option<String>,
    /// Images that are used.
    pub usable: usize,
    /// Images that should be, where the data set is known.
    pub expected: Option<usize>,
    /// Images of each class that should be, where that is known.
    pub expected_per_class: Option<Vec<usize>>,
    /// What is wrong with the order of the labels, where the classes' counts tell.
    pub conflict: Option<String>,
    /// In how many groups the used images are, if they were grouped ([`Dataset::group_by`]).
    pub groups: Option<usize>,
    /// Used images of each class, in the order of [`Report::classes`].
    pub per_class: Vec<usize>,
    /// Images that the train split has pixel for pixel too (always 0 for train itself): they make a test easier.
    pub also_in_train: usize,
    /// Images that the split has pixel for pixel once more, whatever their labels; each group counts all but one.
    pub repeated: usize,
    /// Those among them whose labels differ.
    pub contradictions: Vec<Contradiction>,
    /// Images that are near copies of one in an earlier split, by that split's name; copies pixel for pixel among
    /// them. `train` comes before `valid`, and `valid` before `test`.
    pub near_copies: BTreeMap<String, Vec<NearCopy>>,
    /// Images that are not used, and why.
    pub dropped: Vec<Dropped>,
}

impl Report {
    /// True if every split has as many images as it should, no file was unreadable and no image lies unused.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.splits.values().all(|split| {
            split.expected.is_none_or(|expected| expected == split.usable)
                && split.expected_per_class.as_ref().is_none_or(|expected| *expected == split.per_class)
                && !split.dropped.iter().any(|drop| drop.unreadable)
        }) && self.unused.iter().all(|unused| unused.images == 0)
    }
}

impl Dataset {
    /// Counts the images, compares with the published counts where they are known, and lists what was dropped.
    #[must_use]
    pub fn check(&self) -> Report {
        let spec = self.source.parse::<Spec>().ok();
        let train = images(self.splits.get("train").map_or(&[], |split| &split.samples));
        let train: HashSet<_> = train.map(without_colour).collect();
        let mut earlier: Vec<(&str, &[Sample], CopyIndex)> = Vec::new();
        let mut splits: Vec<(&String, &Split)> = self.splits.iter().collect();
        splits.sort_by_key(|(name, _)| SPLITS.iter().position(|split| split == name).unwrap_or(SPLITS.len()));
        let last = splits.len().saturating_sub(1);
        let splits = splits.into_iter().enumerate().map(|(at, (name, split))| {
            let samples = &split.samples;
            let repeats = repeats(samples);
            let near_copies = earlier.iter().filter_map(|(name, others, index)| {
                let copies = near_copies(samples, index, others);
                (!copies.is_empty()).then(|| ((*name).to_owned(), copies))
            });
            let near_copies = near_copies.collect();
            if at < last {
                earlier.push((name, samples, CopyIndex::new(images(samples))));
            }
            let mut per_class = vec![0; self.classes.len()];
            split.samples.iter().for_each(|sample| per_class[sample.label] += 1);
            let expected_per_class = match &spec {
                Some(Spec::RafDb(..)) => rafdb::expected(name),
                _ => None,
            };
            let conflict =
                expected_per_class.as_ref().and_then(|expected| conflict(&self.classes, &per_class, expected));
            let report = SplitReport {
                hash: self.hashes.get(name).cloned(),
                usable: split.samples.len(),
                groups: self.groups_in(split),
                expected: match &spec {
                    Some(Spec::FerPlus(_, votes)) if name != "train" || !votes.uncertain => ferplus::expected(name),
                    Some(Spec::AffectNet(_)) => affectnet::expected(name, split.samples.len()),
                    Some(Spec::Fer2013(_)) => fer2013::expected(name, self.splits.contains_key("valid")),
                    Some(Spec::Synthetic(spec)) => spec.count(name),
                    _ => expected_per_class.as_ref().map(|counts| counts.iter().sum()),
                },
                expected_per_class,
                conflict,
                per_class,
                also_in_train: if name == "train" {
                    0
                } else {
                    images(&split.samples).filter(|image| train.contains(&without_colour(image))).count()
                },
                repeated: repeats.iter().map(|same| same.len() - 1).sum(),
                contradictions: repeats.iter().filter_map(|same| Contradiction::of(same, &self.classes)).collect(),
                near_copies,
                dropped: split.dropped.clone(),
            };
            (name.clone(), report)
        });
        Report {
            source: self.source.clone(),
            classes: self.classes.clone(),
            splits: splits.collect(),
            unused: self.unused.clone(),
            imbalance: self.imbalance(),
        }
    }

    /// What a training should know of the data, a sentence each: images that could not be read, files and folders that
    /// are not used, pictures under two labels of a split (the first few of each), and classes with too few images.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        const LISTED: usize = 10;
        let mut notes = Vec::new();
        let broken = self.splits.values().flat_map(|split| &split.dropped).filter(|drop| drop.unreadable);
        let broken: Vec<_> = broken.map(|drop| format!("{} is left out, {}", drop.id, drop.reason)).collect();
        let unused: Vec<_> = self.unused.iter().filter(|unused| unused.images > 0).map(Unused::to_string).collect();
        let repeats = self.splits.values().flat_map(|split| repeats(&split.samples));
        let contradictions = repeats.filter_map(|same| Contradiction::of(&same, &self.classes));
        let contradictions: Vec<_> =
            contradictions.map(|same| format!("one picture under more than one label: {same}")).collect();
        for list in [broken, unused, contradictions] {
            notes.extend(list.iter().take(LISTED).cloned());
            if list.len() > LISTED {
                notes.push(format!("… and {} more; `moue data check` names them", list.len() - LISTED));
            }
        }
        notes.extend(self.imbalance());
        notes
    }

    /// A warning where the train split has 20 times fewer images of a class than of another, with what helps.
    #[must_use]
    pub fn imbalance(&self) -> Option<String> {
        let samples = &self.splits.get("train")?.samples;
        let counts: Vec<usize> = by_class(samples, self.classes.len()).iter().map(Vec::len).collect();
        let most = (0..counts.len()).max_by_key(|&class| counts[class])?;
        let few: Vec<_> = (0..counts.len()).filter(|&class| counts[class] * IMBALANCE <= counts[most]).collect();
        let least = few.iter().map(|&class| counts[class]).min()?;
        let named = few.iter().map(|&class| format!("{} of `{}`", counts[class], self.classes[class]));
        Some(format!(
            "the train split has only {} beside {} of `{}`: a network may never answer with so rare a class; \
             `--limit-per-class {}` trains on fewer of the others, and the balanced accuracy says how it does",
            named.collect::<Vec<_>>().join(", "),
            counts[most],
            self.classes[most],
            (10 * least).clamp(1, counts[most])
        ))
    }
}

/// Why the counts of the classes look like those of another order of the labels.
fn conflict(classes: &[String], found: &[usize], expected: &[usize]) -> Option<String> {
    let sorted = |counts: &[usize]| {
        let mut counts = counts.to_vec();
        counts.sort_unstable();
        counts
    };
    if found == expected || sorted(found) != sorted(expected) {
        return None;
    }
    let moved = (0..found.len()).filter(|&class| found[class] != expected[class]).map(|class| {
        let other = expected.iter().position(|&count| count == found[class]).expect("invariant: the same counts");
        format!("`{}` has {} images, the published number of `{}`", classes[class], found[class], classes[other])
    });
    let moved = moved.collect::<Vec<_>>().join("; ");
    Some(format!("the labels are in another order than the published one: {moved}"))
}

fn images(samples: &[Sample]) -> impl Iterator<Item = &Image> {
    samples.iter().map(|sample| &*sample.image)
}

/// How many images of one kind a text names.
const NAMED: usize = 10;

/// Writes the first few, a line each, and how many there are beside them.
fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    items.iter().take(NAMED).try_for_each(|item| writeln!(f, "  {item}"))?;
    if items.len() > NAMED { writeln!(f, "  … and {} more, which --json lists", items.len() - NAMED) } else { Ok(()) }
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
        if splits.iter().any(|(_, split)| split.groups.is_some()) {
            let cell = |split: &SplitReport| split.groups.map_or("-".into(), |count| count.to_string());
            row(f, "groups", splits.iter().map(|(_, split)| cell(split)).collect())?;
        }
        for (name, split) in &splits {
            if let Some(conflict) = &split.conflict {
                writeln!(f, "{name}: {conflict}")?;
            } else if let Some(expected) = &split.expected_per_class {
                for ((class, found), expected) in self.classes.iter().zip(&split.per_class).zip(expected) {
                    if found != expected {
                        writeln!(f, "{name}: {found} images of `{class}`, {expected} expected")?;
                    }
                }
            }
            if split.also_in_train > 0 {
                writeln!(f, "{name}: {} images are in train too, pixel for pixel", split.also_in_train)?;
            }
            if split.repeated > 0 {
                writeln!(f, "{name}: {} images are another one of {name}, pixel for pixel", split.repeated)?;
            }
            if !split.contradictions.is_empty() {
                writeln!(f, "{name}: pictures under more than one label: {}", split.contradictions.len())?;
                list(f, &split.contradictions)?;
            }
            for (other, copies) in &split.near_copies {
                write!(f, "{name}: images that are in {other} too, or nearly so: {}", copies.len())?;
                writeln!(f, " (their pixels correlate by at least {LEAST_CORRELATION})")?;
                list(f, copies)?;
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
        self.unused.iter().take(LISTED).try_for_each(|unused| writeln!(f, "{unused}"))?;
        if let Some(more) = self.unused.get(LISTED..).filter(|more| !more.is_empty()) {
            let images: usize = more.iter().map(|unused| unused.images).sum();
            writeln!(f, "… and {} more files and folders with {images} images; --json names all", more.len())?;
        }
        if let Some(imbalance) = &self.imbalance {
            writeln!(f, "warning: {imbalance}")?;
        }
        let mut hashes = splits.iter().filter_map(|(name, split)| Some((name, split.hash.as_ref()?)));
        hashes.try_for_each(|(name, hash)| writeln!(f, "sha256 of {name}: {hash}"))
    }
}
