//! Images that belong together, such as those of one person: no division of a data set separates them, so that a test
//! or a validation never has a person whom the training saw.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::files::{csv_error, plain, split_of};
use super::{Dataset, Sample, Spec, Split};
use crate::{Error, Result, rng::Rng};

impl Spec {
    /// Loads the named splits, puts the images into groups by a column ([`Dataset::group_by`]) and holds out fold
    /// number `fold` of `folds` ([`Dataset::hold_out_fold`]); 0 folds: none. With folds all splits are loaded.
    ///
    /// # Errors
    /// As [`Spec::load_splits`] and those two.
    pub fn load_divided(&self, names: &[&str], group_by: Option<&str>, folds: usize, fold: usize) -> Result<Dataset> {
        let mut data = if folds > 0 { self.load()? } else { self.load_splits(names)? };
        if let Some(column) = group_by {
            data.group_by(column)?;
        }
        if folds > 0 {
            data.hold_out_fold(fold, folds)?;
        }
        Ok(data)
    }
}

impl Dataset {
    /// Puts each image into the group that a column of the folder's `labels.csv`, such as `subject`, names for it.
    ///
    /// [`Dataset::hold_out_fold`] and [`Dataset::split_validation`] then keep groups whole. The hashes cover the groups
    /// from here on, as a division follows from them.
    ///
    /// # Errors
    /// [`Error::Usage`] if the data set is not a folder with a `labels.csv`, [`Error::File`] if that has no such column
    /// an empty value in it, or a group in two splits, whether those were loaded or not.
    pub fn group_by(&mut self, column: &str) -> Result<()> {
        let mut groups = read(&self.source, column)?;
        let ids: HashSet<&str> =
            self.splits.values().flat_map(|split| &split.samples).map(|sample| sample.id.as_str()).collect();
        groups.retain(|id, _| ids.contains(id.as_str()));
        self.groups = groups;
        self.hash_groups(column);
        Ok(())
    }

    /// In how many groups the images of a split are; none where they are not grouped.
    #[must_use]
    pub fn groups_in(&self, split: &Split) -> Option<usize> {
        let groups: BTreeSet<_> = split.samples.iter().filter_map(|sample| self.groups.get(&sample.id)).collect();
        (!self.groups.is_empty()).then_some(groups.len())
    }

    /// Moves one of `folds` parts of the train split, number `fold` counted from 1, into a new `test` split.
    ///
    /// Each image of train is in exactly one of the parts, and so is each group ([`Dataset::group_by`]; an image
    /// without one is a group of its own). With as many folds as groups each part is one group: leave one person out.
    /// The parts follow from the data alone, not from a seed: group by group, the largest first and those of one size
    /// by name, each goes to the part that has the least of its classes, by Σ (n_c / N_c)², n_c of the N_c images
    /// of class c.
    ///
    /// # Errors
    /// [`Error::Usage`] unless 1 ≤ `fold` ≤ `folds` and 2 ≤ `folds`, or if there are fewer groups than folds;
    /// [`Error::Data`] if there is a `test` split already, no `train` split, or if train would lose all images of a
    /// class.
    pub fn hold_out_fold(&mut self, fold: usize, folds: usize) -> Result<()> {
        if self.splits.contains_key("test") {
            return Err(Error::Data {
                what: self.source.clone(),
                expected: "no `test` split: folds divide a set that has none".into(),
                found: "one".into(),
                hint: "test on it, or move its images to train to use folds".into(),
            });
        }
        let units = self.units(&self.split("train")?.samples);
        let wrong = |setting: &str, expected: String, found: usize, hint: &str| {
            Err(Error::Usage { setting: setting.into(), expected, found: found.to_string(), hint: hint.into() })
        };
        if folds < 2 || folds > units.len() {
            let what = if self.groups.is_empty() { "images" } else { "groups" };
            let expected = format!("2 to {}, the number of {what} in train", units.len());
            return wrong("the number of folds", expected, folds, "with as many folds as groups, one is left out");
        }
        if fold < 1 || fold > folds {
            return wrong("the fold", format!("1 to {folds}"), fold, "folds are counted from 1");
        }
        let totals = totals(&units);
        let parts = divide(&units, &totals, folds);
        let held: Vec<&Unit> =
            units.iter().zip(&parts).filter(|(_, part)| **part == fold - 1).map(|(u, _)| u).collect();
        let taken = held.iter().fold(vec![0.0; totals.len()], |sum, unit| add(&sum, &unit.counts));
        if let Some(class) = (0..totals.len()).find(|&class| totals[class] > 0.0 && taken[class] == totals[class]) {
            return Err(Error::Data {
                what: format!("fold {fold} of {folds} of {}", self.source),
                expected: "images of each class outside of the fold".into(),
                found: format!("all {} images of `{}` within it", totals[class], self.classes[class]),
                hint: "choose another number of folds, add images, or leave that class out".into(),
            });
        }
        let held = held.iter().flat_map(|unit| unit.members.iter().copied()).collect();
        self.move_out_of_train(held, "test");
        Ok(())
    }

    /// The samples of train that a validation split takes so that no group is torn apart.
    ///
    /// Groups in the order drawn by `Rng::named("validation", [seed])` are taken while they bring each class nearer to
    /// its `fraction`; where none does, the one that goes least beyond.
    pub(super) fn whole_groups(&self, fraction: f64, seed: u64) -> Result<Vec<usize>> {
        let mut units = self.units(&self.split("train")?.samples);
        Rng::named("validation", &[seed]).shuffle(&mut units);
        let totals = totals(&units);
        let parts = |taken: &[f64]| -> Vec<f64> {
            taken.iter().zip(&totals).filter(|(_, all)| **all > 0.0).map(|(n, all)| n / all).collect()
        };
        let keeps_each_class = |taken: &[f64]| parts(taken).iter().all(|part| *part < 1.0);
        let off = |taken: &[f64]| parts(taken).iter().map(|part| (part - fraction).powi(2)).sum::<f64>();
        let (mut taken, mut chosen) = (vec![0.0; totals.len()], Vec::new());
        for unit in &units {
            let with = add(&taken, &unit.counts);
            if keeps_each_class(&with) && off(&with) < off(&taken) {
                chosen.extend(&unit.members);
                taken = with;
            }
        }
        if !chosen.is_empty() {
            return Ok(chosen);
        }
        let possible = units.iter().filter(|unit| keeps_each_class(&unit.counts));
        let least = possible.min_by(|a, b| off(&a.counts).total_cmp(&off(&b.counts)));
        least.map(|unit| unit.members.clone()).ok_or_else(|| Error::Data {
            what: format!("the train split of {}", self.source),
            expected: "a group to set aside for validation that leaves images of each class".into(),
            found: format!("{} groups, none of them such", units.len()),
            hint: "add images, or a `valid` split of your own".into(),
        })
    }

    /// Moves samples of train, by their places, into a new split; both keep their order.
    pub(super) fn move_out_of_train(&mut self, places: Vec<usize>, name: &str) {
        let train = self.splits.get_mut("train").expect("invariant: the caller has looked at train");
        let mut moves = vec![false; train.samples.len()];
        places.into_iter().for_each(|place| moves[place] = true);
        let mut moves = moves.into_iter();
        let (samples, kept) =
            std::mem::take(&mut train.samples).into_iter().partition(|_| moves.next().unwrap_or(false));
        train.samples = kept;
        self.splits.insert(name.into(), Split { samples, dropped: Vec::new() });
    }

    /// The groups of some samples, in the order of their names.
    fn units(&self, samples: &[Sample]) -> Vec<Unit> {
        let mut units = BTreeMap::<&str, Unit>::new();
        for (place, sample) in samples.iter().enumerate() {
            let name = self.groups.get(&sample.id).unwrap_or(&sample.id);
            let unit =
                units.entry(name).or_insert_with(|| Unit { members: vec![], counts: vec![0.0; self.classes.len()] });
            unit.members.push(place);
            unit.counts[sample.label] += 1.0;
        }
        units.into_values().collect()
    }

    fn hash_groups(&mut self, column: &str) {
        for (name, hash) in &mut self.hashes {
            let mut hasher = Sha256::new();
            let groups = self.splits.get(name).into_iter().flat_map(|split| &split.samples);
            let groups = groups.filter_map(|sample| Some([sample.id.as_str(), self.groups.get(&sample.id)?])).flatten();
            for text in [hash.as_str(), column].into_iter().chain(groups) {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
            *hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        }
    }
}

/// What is moved as a whole.
struct Unit {
    /// Places in the split.
    members: Vec<usize>,
    /// Images of each class.
    counts: Vec<f64>,
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Images of each class in all groups.
fn totals(units: &[Unit]) -> Vec<f64> {
    let classes = units.first().map_or(0, |unit| unit.counts.len());
    units.iter().fold(vec![0.0; classes], |sum, unit| add(&sum, &unit.counts))
}

/// The part, from 0, of each group.
fn divide(units: &[Unit], totals: &[f64], folds: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(units[at].members.len()));
    let mut counts = vec![vec![0.0; totals.len()]; folds];
    let mut parts = vec![0; units.len()];
    for at in order {
        // By how much Σ (n_c / N_c)² grows; what is the same in each part is left out.
        let growth = |part: &[f64]| -> f64 {
            let classes = part.iter().zip(&units[at].counts).zip(totals).filter(|(_, all)| **all > 0.0);
            classes.map(|((n, more), all)| n * more / (all * all)).sum()
        };
        let size = |part: &[f64]| part.iter().sum::<f64>();
        let best = (0..folds).min_by(|&a, &b| {
            let (a, b) = (&counts[a], &counts[b]);
            growth(a).total_cmp(&growth(b)).then(size(a).total_cmp(&size(b)))
        });
        parts[at] = best.expect("invariant: at least two folds");
        counts[parts[at]] = add(&counts[parts[at]], &units[at].counts);
    }
    parts
}

/// The group of each image, by its id, from `labels.csv`.
fn read(source: &str, column: &str) -> Result<BTreeMap<String, String>> {
    let path = match source.parse::<Spec>() {
        Ok(Spec::Folder(dir)) if dir.join("labels.csv").is_file() => dir.join("labels.csv"),
        _ => {
            return Err(Error::Usage {
                setting: "the column of groups".into(),
                expected: "a data set folder:DIR with a labels.csv that has the column".into(),
                found: format!("`{column}` for {source}"),
                hint: "list the images in DIR/labels.csv with the header path,label and that column".into(),
            });
        }
    };
    let wrong = |expected: String, found: String, hint: &str| Error::File {
        path: path.clone(),
        expected,
        found,
        hint: hint.into(),
    };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(&path).map_err(|error| csv_error(&path, &error))?;
    let header = reader.headers().map_err(|error| csv_error(&path, &error))?.clone();
    let place = |name: &str| header.iter().position(|column| column == name);
    let (Some(path_at), Some(group_at)) = (place("path"), place(column)) else {
        let found = format!("`{}` on line 1", header.iter().collect::<Vec<_>>().join(","));
        return Err(wrong(
            format!("a column `{column}` beside path and label"),
            found,
            "name one of its columns, or add it",
        ));
    };
    let split_at = place("split");
    let (mut groups, mut seen) = (BTreeMap::new(), HashMap::<String, (String, String)>::new());
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(&path, &error))?;
        if record[group_at].is_empty() {
            let found = format!("an empty one on line {}", record.position().map_or(0, csv::Position::line));
            return Err(wrong(format!("a value of `{column}` for each image"), found, "complete the line"));
        }
        let (id, group) = (plain(&record[path_at]), record[group_at].to_owned());
        let split = split_at.map_or("train", |at| &record[at]);
        let split = split_of(split).unwrap_or(split).to_owned();
        let (first, of) = seen.entry(group.clone()).or_insert_with(|| (split.clone(), id.clone()));
        if *first != split {
            let found = format!("`{group}` in {first} ({of}) and in {split} ({id})");
            let hint = "move its images into one of the two, or leave the column `split` out";
            return Err(wrong(format!("each group by `{column}` in one split"), found, hint));
        }
        groups.insert(id, group);
    }
    Ok(groups)
}
