//! Which of a data set's images are judged: all of some splits or those of a list, and those of each group of a table.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use serde::Serialize;

use crate::{
    Error, Result,
    checkpoint::bytes_hash,
    data::{Dataset, Image, Mapping, Sample},
    evaluation::{
        SplitOf,
        statistics::{permutation, wilson},
    },
};

/// Permutations behind a p.
const PERMUTATIONS: usize = 4999;

fn read(path: &Path) -> Result<String> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::io(path, "reading it", source, "check the path"))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// The images that are judged.
pub(super) struct Chosen {
    /// Those whose labels the model has.
    pub(super) known: Vec<Sample>,
    /// Those whose labels it lacks: no answer to them is right.
    pub(super) unknown: Vec<Sample>,
    /// How many the class map leaves out.
    pub(super) left_out: usize,
    /// How many were left out as copies of training images.
    pub(super) copies: usize,
    /// The splits of the known.
    pub(super) splits: Vec<SplitOf>,
}

impl Chosen {
    /// From these splits, of which `list` may name some images; without those that the split `train` has too, pixel for
    /// pixel, where `without_copies` says so.
    pub(super) fn of(
        data: &Dataset,
        splits: &[String],
        list: Option<&Path>,
        without_copies: bool,
        mapping: &Mapping,
    ) -> Result<Self> {
        if let Some(twice) = splits.iter().enumerate().find(|(place, name)| splits[..*place].contains(name)) {
            return Err(Error::Usage {
                setting: "split".into(),
                expected: "each split once".into(),
                found: format!("`{}` twice", twice.1),
                hint: "name it once".into(),
            });
        }
        let seen: HashSet<&Image> = match without_copies {
            true => data.split("train")?.samples.iter().map(|sample| &*sample.image).collect(),
            false => HashSet::new(),
        };
        let ids = list.map(subset).transpose()?;
        let mut missing = ids.clone().unwrap_or_default();
        let mut chosen = Self { known: Vec::new(), unknown: Vec::new(), left_out: 0, copies: 0, splits: Vec::new() };
        for name in splits {
            let all = &data.split(name)?.samples;
            let mut samples = all.clone();
            if let Some(ids) = &ids {
                samples.retain(|sample| ids.contains(&sample.id));
                let found: BTreeSet<_> = samples.iter().map(|sample| &sample.id).collect();
                missing.retain(|id| !found.contains(id));
            }
            let before = samples.len();
            samples.retain(|sample| !seen.contains(&*sample.image));
            chosen.copies += before - samples.len();
            let mapped = mapping.apply(&samples);
            let mut hash = data.hashes.get(name).cloned().unwrap_or_default();
            if mapped.known.len() < all.len() {
                // Of a part the whole split's hash says too little.
                let ids: Vec<&str> = mapped.known.iter().map(|sample| sample.id.as_str()).collect();
                hash = format!("{hash} of ids {}", bytes_hash(ids.join("\n").as_bytes()));
            }
            chosen.splits.push(SplitOf { name: name.clone(), images: mapped.known.len(), hash });
            chosen.known.extend(mapped.known);
            chosen.unknown.extend(mapped.unknown);
            chosen.left_out += mapped.left_out;
        }
        match (missing.first(), list) {
            (Some(id), Some(path)) => Err(unknown_image(path, id, &data.source, splits)),
            _ => Ok(chosen),
        }
    }
}

/// The ids that a file lists, one a line.
fn subset(path: &Path) -> Result<BTreeSet<String>> {
    let ids: BTreeSet<_> = read(path)?.lines().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if ids.is_empty() {
        return Err(Error::File {
            path: path.into(),
            expected: "the ids of images, one a line".into(),
            found: "none".into(),
            hint: "list those of the table that `moue eval --predictions` keeps".into(),
        });
    }
    Ok(ids)
}

/// The error for an id that no image has.
fn unknown_image(path: &Path, id: &str, source: &str, splits: &[String]) -> Error {
    Error::File {
        path: path.into(),
        expected: format!("ids of images of {source}, split {}", splits.join(" or ")),
        found: format!("`{id}`"),
        hint: "an id is an image's path below the data set's folder; take the line out, or name its split".into(),
    }
}

/// A column of groups, for the images in their order.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    names: Vec<String>,
    of: Vec<usize>,
}

/// How well each group is recognised.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) column: String,
    pub(super) groups: Vec<GroupScore>,
    /// The p of the largest difference between two groups' accuracies, by permutation.
    pub(super) p: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct GroupScore {
    pub(super) group: String,
    pub(super) images: usize,
    pub(super) accuracy: f64,
    pub(super) interval: [f64; 2],
}

impl Column {
    pub(super) fn judged(self, right: &[bool]) -> Judged {
        let score = |(index, group): (usize, String)| {
            let own = || right.iter().zip(&self.of).filter(move |(_, of)| **of == index);
            let (images, hits) = (own().count(), own().filter(|(right, _)| **right).count());
            let accuracy = hits as f64 / images.max(1) as f64;
            GroupScore { group, images, accuracy, interval: wilson(hits, images) }
        };
        let values: Vec<f64> = right.iter().map(|&right| f64::from(u8::from(right))).collect();
        let p = permutation(&values, &self.of, PERMUTATIONS);
        Judged { column: self.name, groups: self.names.into_iter().enumerate().map(score).collect(), p }
    }
}

/// The columns of groups of a table with a column `id` that has a row for each of the images.
pub(super) fn groups(path: &Path, samples: &[Sample]) -> Result<Vec<Column>> {
    let wrong = |expected: String, found: String, hint: &str| Error::File {
        path: path.into(),
        expected,
        found,
        hint: hint.into(),
    };
    let text = read(path)?;
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let broken = |error: csv::Error| wrong("a table of commas".into(), error.to_string(), "mend that line");
    let header = table.headers().map_err(broken)?.clone();
    let id = header.iter().position(|name| name == "id");
    let (Some(id), true) = (id, header.len() > 1) else {
        let found = format!("the columns {}", header.iter().collect::<Vec<_>>().join(", "));
        let expected = "a column `id` and at least one of groups, such as `age`".into();
        return Err(wrong(expected, found, "name the columns in the table's first line"));
    };
    let mut rows = BTreeMap::new();
    for record in table.records() {
        let record = record.map_err(broken)?;
        if let Some(twice) = rows.insert(record[id].to_owned(), record.clone()) {
            return Err(wrong("each image once".into(), format!("`{}` twice", &twice[id]), "take one of the two out"));
        }
    }
    let mut columns = Vec::new();
    for (place, name) in header.iter().enumerate().filter(|(place, _)| *place != id) {
        let mut of = Vec::new();
        for sample in samples {
            let row = rows.get(&sample.id).ok_or_else(|| {
                let hint = "add it, or leave the image out with --subset";
                wrong("a row for each image that is judged".into(), format!("none for `{}`", sample.id), hint)
            })?;
            of.push(row[place].to_owned());
        }
        let names: Vec<String> = of.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let of = of.iter().map(|group| names.iter().position(|name| name == group).unwrap_or_default()).collect();
        columns.push(Column { name: name.to_owned(), names, of });
    }
    Ok(columns)
}
