//! Images of one's own: one folder per class, or a `labels.csv`.
//!
//! `DIR/<class>/…` is all train; `DIR/train/<class>/…` (or `training`), `DIR/valid/…` (`val`, `validation`) and
//! `DIR/test/…` (`testing`) are splits. `DIR/labels.csv` has the header `path,label[,split]`, its paths are relative to
//! DIR. The classes' order is `classes.txt`'s (one name per line), else [`EXPRESSIONS`]' if all names are expressions,
//! else alphabetical.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::decode::{Pending, read_all};
use super::files::{
    ENDINGS, composed, contents, csv_error, folders_in, is_image, leaves, names_in, plain, spelled, split_folders,
    split_of, without_mark,
};
use super::unused::Known;
use super::{Dropped, EXPRESSIONS, Split, Unused, dataset::Loaded};
use crate::{Error, Result};

/// An image as listed, its class still a name.
struct Listed {
    id: String,
    path: PathBuf,
    class: String,
}

/// What a folder or a csv lists, split by split.
#[derive(Default)]
struct Listing {
    /// Every class that any split names, whether it was asked for or not: labels must not depend on that.
    classes: BTreeSet<String>,
    splits: BTreeMap<String, (Vec<Listed>, Vec<Dropped>)>,
    /// What is read or named, of all splits.
    known: Known,
}

/// The first image that is left out, and how many more there are.
fn left_out(dropped: &[Dropped]) -> String {
    let more = |count: usize| if count > 0 { format!(" and {count} more") } else { String::new() };
    dropped.split_first().map_or_else(String::new, |(first, rest)| {
        format!("; left out are {} ({}){}", first.id, first.reason, more(rest.len()))
    })
}

/// Loads those of the named splits that the folder has.
pub(super) fn load(dir: &Path, names: &[&str]) -> Result<Loaded> {
    let csv = dir.join("labels.csv");
    let mut listing = if csv.is_file() { listed(dir, &csv, names)? } else { walk(dir, names)? };
    listing.known.add("classes.txt");
    let classes = classes(dir, &listing)?;
    let unused = listing.known.unused(dir)?;
    let mut splits = BTreeMap::new();
    for (name, (images, mut dropped)) in listing.splits {
        let mut pending = Vec::with_capacity(images.len());
        for Listed { id, path, class } in images {
            let label = classes.iter().position(|name| *name == class).expect("invariant: `classes` has every class");
            pending.push(Pending::new(id, path, label));
        }
        let what = format!("the {name} split in {}", dir.display());
        let (samples, unreadable) = read_all(&what, pending)?;
        dropped.extend(unreadable);
        let absent = |class: &usize| !samples.iter().any(|sample| sample.label == *class);
        if let Some(class) = (0..classes.len()).find(|class| name == "train" && absent(class)) {
            return Err(Error::Data {
                what,
                expected: format!("images of each class ({})", classes.join(", ")),
                found: format!("none of `{}`{}{}", classes[class], left_out(&dropped), aside(&unused)),
                hint: "add images of that class or take it off the list".into(),
            });
        }
        splits.insert(name, Split { samples, dropped });
    }
    if splits.values().all(|split| split.samples.is_empty()) {
        return Err(Error::File {
            path: dir.into(),
            expected: format!("images ({}) for {}", ENDINGS.join(", "), names.join(", ")),
            found: format!("{}{}", contents(dir), aside(&unused)),
            hint: "put one subfolder per class there, or a labels.csv with the header path,label,split".into(),
        });
    }
    Ok(Loaded { classes, splits, unused })
}

/// What an error about missing images adds where images lie in a place that is not read.
fn aside(unused: &[Unused]) -> String {
    let first = unused.iter().find(|unused| unused.images > 0);
    first.map_or(String::new(), |unused| format!("; {} images in {} are not used", unused.images, unused.path))
}

/// One folder per class, below the splits' folders if there are any.
fn walk(dir: &Path, names: &[&str]) -> Result<Listing> {
    let mut parts = split_folders(dir)?;
    if parts.is_empty() {
        parts.insert("train", String::new());
    }
    let mut listing = Listing::default();
    for (split, part) in parts {
        if !names.contains(&split) {
            listing.known.add(&part);
        }
        for name in folders_in(&dir.join(&part))? {
            let class = composed(&name);
            if names.contains(&split) {
                let (images, dropped) = listing.splits.entry(split.into()).or_default();
                let folder = if part.is_empty() { name } else { format!("{part}/{name}") };
                listing.known.open(&folder);
                for file in names_in(&dir.join(&folder), |path| path.is_file())? {
                    let id = format!("{folder}/{file}");
                    listing.known.add(&id);
                    if is_image(&file) {
                        images.push(Listed { path: dir.join(&id), id, class: class.clone() });
                    } else {
                        let reason = format!("not one of {}", ENDINGS.join(", "));
                        dropped.push(Dropped { id, reason, unreadable: false });
                    }
                }
            }
            listing.classes.insert(class);
        }
    }
    Ok(listing)
}

/// The rows of `labels.csv`.
fn listed(dir: &Path, csv: &Path, names: &[&str]) -> Result<Listing> {
    let wrong = |expected: &str, found: String, hint: &str| Error::File {
        path: csv.into(),
        expected: expected.into(),
        found,
        hint: hint.into(),
    };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(csv).map_err(|error| csv_error(csv, &error))?;
    let header = reader.headers().map_err(|error| csv_error(csv, &error))?.clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let (Some(path_at), Some(label_at)) = (column("path"), column("label")) else {
        let found = format!("`{}` on line 1", header.iter().collect::<Vec<_>>().join(","));
        return Err(wrong("the header path,label or path,label,split", found, "add the header line"));
    };
    let split_at = column("split");
    let (mut listing, mut seen) = (Listing::default(), HashSet::new());
    listing.known.add("labels.csv");
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(csv, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let (path, class) = (&record[path_at], composed(&record[label_at]));
        if path.is_empty() || class.is_empty() {
            return Err(wrong("a path and a label", format!("an empty one on line {line}"), "complete the line"));
        }
        if leaves(Path::new(&path.replace('\\', "/"))) {
            let found = format!("`{path}` on line {line}");
            let hint = "move the image into the folder and write its path relative to it";
            return Err(wrong("paths that stay inside the folder", found, hint));
        }
        let name = split_at.map_or("train", |at| &record[at]);
        let Some(split) = split_of(name) else {
            let found = format!("`{name}` on line {line}");
            return Err(wrong("train, valid or test as the split", found, "correct the line"));
        };
        // Ids are unique; an image listed twice could stand on both sides of a split.
        let id = plain(path);
        if !seen.insert(id.clone()) {
            let found = format!("`{path}` a second time on line {line}");
            return Err(wrong("each image once", found, "keep one of the lines"));
        }
        listing.classes.insert(class.clone());
        let path = spelled(dir, &id);
        listing.known.add_path(dir, &path);
        if names.contains(&split) {
            listing.splits.entry(split.into()).or_default().0.push(Listed { id, path, class });
        }
    }
    Ok(listing)
}

/// The classes in their order.
fn classes(dir: &Path, listing: &Listing) -> Result<Vec<String>> {
    let path = dir.join("classes.txt");
    let classes: Vec<String> = if path.is_file() {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::io(&path, "reading the class list", error, "write one class name per line"))?;
        let lines = without_mark(&text).lines().map(str::trim).filter(|line| !line.is_empty());
        let classes: Vec<_> = lines.map(composed).collect();
        let twice = classes.iter().enumerate().find(|(at, class)| classes[..*at].contains(class));
        let missing = listing.classes.iter().find(|class| !classes.contains(class));
        let found = match (twice, missing) {
            (Some((_, class)), _) => format!("`{class}` twice"),
            (None, Some(class)) => format!("`{class}` among the images but not in the list ({})", classes.join(", ")),
            (None, None) => return at_least_two(dir, classes),
        };
        return Err(Error::File {
            path,
            expected: "each class of the images, once, one per line".into(),
            found,
            hint: "correct the list, or delete it for the default order".into(),
        });
    } else if listing.classes.iter().all(|class| EXPRESSIONS.contains(&class.as_str())) {
        EXPRESSIONS.iter().filter(|name| listing.classes.contains(**name)).map(|name| (*name).into()).collect()
    } else {
        listing.classes.iter().cloned().collect()
    };
    at_least_two(dir, classes)
}

fn at_least_two(dir: &Path, classes: Vec<String>) -> Result<Vec<String>> {
    if classes.len() >= 2 {
        return Ok(classes);
    }
    Err(Error::File {
        path: dir.into(),
        expected: "at least two classes".into(),
        found: match classes.first() {
            Some(class) => format!("only `{class}`"),
            None => format!("none ({})", contents(dir)),
        },
        hint: "put one subfolder per class there, or a labels.csv with the header path,label,split".into(),
    })
}
