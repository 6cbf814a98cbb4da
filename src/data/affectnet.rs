//! AffectNet: photographs from web searches, each face with an expression, valence and arousal.
//!
//! Mollahosseini, Hasani, Mahoor, "AffectNet" (2019). Three layouts are read: the authors' annotations
//! (`training.csv`, `validation.csv`, whole photographs with the face's rectangle), folders of faces whose names
//! carry the label (`Training_Labeled/<n>/<id>s<expression>s<valence·1000>s<arousal·1000>.jpg`), and what
//! `moue data prepare` makes of either. What AffectNet calls validation is the split that papers report, `test` here;
//! a validation split is drawn from the training images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::decode::{Face, Pending, read_all};
use super::files::{contents, csv_error, folders_in, is_image, leaves, names_in};
use super::{Dropped, EXPRESSIONS, Split, prepared};
use crate::{Error, Result};

/// Name in moue, table of the annotations, folder of faces, images of the eight expressions.
const PARTS: [(&str, &str, &str, usize); 2] =
    [("train", "training.csv", "Training_Labeled", 287_568), ("test", "validation.csv", "Validation", 4_000)];

/// Where the photographs stand beside the annotations, the first that exists.
const PHOTOGRAPHS: [&str; 3] = ["Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "."];

/// The number of images that a split should have.
pub(super) fn expected(split: &str) -> Option<usize> {
    PARTS.iter().find(|part| part.0 == split).map(|part| part.3)
}

/// Loads those of the named splits that AffectNet has (train, test); the classes are [`EXPRESSIONS`].
pub(super) fn load(dir: &Path, names: &[&str]) -> Result<(Vec<String>, BTreeMap<String, Split>)> {
    let mut splits = BTreeMap::new();
    if prepared::is_prepared(dir) {
        only_layout(dir)?;
        splits = prepared::load(dir, names)?;
    } else {
        for (name, listing) in list(dir, names)? {
            let what = format!("the {name} split of AffectNet in {}", dir.display());
            let (samples, unreadable) = read_all(&what, listing.pending)?;
            let dropped = listing.dropped.into_iter().chain(unreadable).collect();
            splits.insert(name.to_string(), Split { samples, dropped });
        }
    }
    Ok((EXPRESSIONS.map(String::from).to_vec(), splits))
}

/// What a split lists.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) pending: Vec<Pending>,
    pub(super) dropped: Vec<Dropped>,
}

/// The images of the named splits, unread.
pub(super) fn list(dir: &Path, names: &[&str]) -> Result<BTreeMap<&'static str, Listing>> {
    let layout = only_layout(dir)?;
    let mut listings = BTreeMap::new();
    for (name, table, folder, _) in PARTS.into_iter().filter(|part| names.contains(&part.0)) {
        let listing = match &layout {
            Layout::Annotations { tables, images } => annotated(&tables.join(table), images)?,
            Layout::Folders => folders(dir, folder)?,
        };
        if listing.pending.is_empty() {
            return Err(Error::Data {
                what: format!("the {name} split of AffectNet in {}", dir.display()),
                expected: "images of the eight expressions".into(),
                found: format!("none among {} listed", listing.dropped.len()),
                hint: "unpack the data again".into(),
            });
        }
        listings.insert(name, listing);
    }
    Ok(listings)
}

/// Where the labels are.
enum Layout {
    /// The authors' tables, and the folder that their paths start from.
    Annotations { tables: PathBuf, images: PathBuf },
    /// The names of the files.
    Folders,
}

/// The layout of a folder that is not prepared; more than one is an error.
fn only_layout(dir: &Path) -> Result<Layout> {
    let tables = [dir.to_path_buf(), dir.join("Manually_Annotated_file_lists")]
        .into_iter()
        .find(|tables| PARTS.iter().any(|part| tables.join(part.1).is_file()));
    let folders = PARTS.iter().find(|part| dir.join(part.2).is_dir());
    let mut found = Vec::new();
    found.extend(tables.as_ref().map(|tables| format!("annotations in {}", tables.display())));
    found.extend(folders.map(|part| format!("the folder {}", part.2)));
    found.extend(prepared::is_prepared(dir).then(|| "prepared shards".to_string()));
    let wrong = |expected: &str, found: String, hint: &str| {
        Err(Error::File { path: dir.into(), expected: expected.into(), found, hint: hint.into() })
    };
    match (found.len(), tables) {
        (0, _) => wrong(
            "training.csv and validation.csv, Training_Labeled and Validation, or prepared shards",
            contents(dir),
            "name the folder that AffectNet was unpacked to",
        ),
        (1, Some(tables)) => {
            let images = PHOTOGRAPHS.iter().map(|folder| dir.join(folder)).find(|images| images.is_dir());
            Ok(Layout::Annotations { tables, images: images.unwrap_or_else(|| dir.into()) })
        }
        (1, None) => Ok(Layout::Folders),
        _ => wrong("one layout of AffectNet", found.join(" and "), "move all but one of them elsewhere"),
    }
}

/// The class of an expression, or why the image is not used; none where the number is unknown.
fn class_of(expression: i64) -> Option<std::result::Result<usize, &'static str>> {
    match expression {
        0..=7 => Some(Ok(expression as usize)),
        8 => Some(Err("annotated as none of the expressions")),
        9 => Some(Err("annotated as uncertain")),
        10 => Some(Err("annotated as no face")),
        _ => None,
    }
}

/// The columns that are read, in the order of the authors' files.
const COLUMNS: [&str; 8] = [
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
];

/// A split in the authors' layout.
fn annotated(table: &Path, images: &Path) -> Result<Listing> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_path(table)
        .map_err(|error| csv_error(table, &error))?;
    let mut listing = Listing::default();
    let mut places: [usize; COLUMNS.len()] = std::array::from_fn(|at| at);
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|error| csv_error(table, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |expected: &str, found: &str, hint: &str| Error::File {
            path: table.into(),
            expected: expected.into(),
            found: format!("`{found}` on line {line}"),
            hint: hint.into(),
        };
        // The authors' validation.csv has had no header in some releases.
        if row == 0 && record.iter().any(|name| name.trim() == COLUMNS[0]) {
            for (place, name) in places.iter_mut().zip(COLUMNS) {
                let Some(at) = record.iter().position(|column| column.trim() == name) else {
                    let header = record.iter().collect::<Vec<_>>().join(",");
                    return Err(wrong(&format!("a column {name}"), &header, "restore the file"));
                };
                *place = at;
            }
            continue;
        }
        let column = |at: usize| record.get(places[at]).unwrap_or_default().trim();
        let file = column(0);
        if file.is_empty() {
            return Err(wrong("the columns subDirectory_filePath to expression", file, "restore the file"));
        }
        if leaves(Path::new(file)) {
            return Err(wrong("paths that stay inside the folder", file, "restore the file from its authors"));
        }
        let Some(class) = column(6).parse().ok().and_then(class_of) else {
            return Err(wrong("an expression from 0 to 10", column(6), "restore the file from its authors"));
        };
        let id = file.replace('\\', "/");
        match class {
            Err(reason) => listing.dropped.push(Dropped { id, reason: reason.into(), unreadable: false }),
            Ok(label) => {
                let numbers: Option<Vec<u32>> = (1..5).map(|at| column(at).parse().ok()).collect();
                let face = match numbers.as_deref() {
                    Some(&[x, y, width, height]) if width > 0 && height > 0 => Face { x, y, width, height },
                    _ => {
                        let found = (1..5).map(column).collect::<Vec<_>>().join(",");
                        let expected = "a face's x, y, width and height in whole pixels";
                        return Err(wrong(expected, &found, "restore the file from its authors"));
                    }
                };
                let path = images.join(&id);
                listing.pending.push(Pending { id, path, label, votes: None, face: Some(face) });
            }
        }
    }
    Ok(listing)
}

/// A split whose files' names carry the labels, in folders with any names.
fn folders(dir: &Path, part: &str) -> Result<Listing> {
    let mut listing = Listing::default();
    for folder in folders_in(&dir.join(part))? {
        for file in names_in(&dir.join(part).join(&folder), |_| true)? {
            let id = format!("{part}/{folder}/{file}");
            if !is_image(&file) {
                listing.dropped.push(Dropped { id, reason: "not an image".into(), unreadable: false });
                continue;
            }
            let path = dir.join(&id);
            let Some(class) = expression_in(&file).and_then(class_of) else {
                return Err(Error::File {
                    path,
                    expected: "a name IDsEXPRESSIONsVALENCEsAROUSAL, the expression from 0 to 10".into(),
                    found: format!("`{file}`"),
                    hint: "give the file its name again, or remove it".into(),
                });
            };
            match class {
                Ok(label) => listing.pending.push(Pending { id, path, label, votes: None, face: None }),
                Err(reason) => listing.dropped.push(Dropped { id, reason: reason.into(), unreadable: false }),
            }
        }
    }
    Ok(listing)
}

/// The expression in `<id>s<expression>s<valence>s<arousal>.jpg`; the code that made such folders reads `s`, its
/// description says `_`.
fn expression_in(file: &str) -> Option<i64> {
    let stem = file.rsplit_once('.')?.0;
    ['s', '_'].into_iter().find_map(|between| {
        let parts: Vec<&str> = stem.rsplitn(4, between).collect();
        let &[arousal, valence, expression, id] = parts.as_slice() else { return None };
        let number = |part: &str| part.parse::<i64>().ok();
        number(arousal).and(number(valence)).and(number(expression)).filter(|_| !id.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_expression_between_either_separator() {
        assert_eq!(expression_in("123s4s-350s210.jpg"), Some(4));
        assert_eq!(expression_in("abs12_7_0_-1000.png"), Some(7));
        for name in ["123s4s-350.jpg", "s4s1s2.jpg", "1sxs1s2.jpg", "1s4s1s2", "photo.jpg"] {
            assert_eq!(expression_in(name), None, "{name}");
        }
    }
}
