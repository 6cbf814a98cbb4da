//! AffectNet: photographs from web searches, each face with an expression, valence and arousal.
//!
//! Mollahosseini, Hasani, Mahoor, "AffectNet" (2019). These layouts are read: the authors' annotations (`training.csv`,
//! `validation.csv`, whole photographs with the face's rectangle), the authors' newer sets (`train_set/images/N.jpg`
//! beside `train_set/annotations/N_exp.npy`, and `val_set`), folders of faces whose names carry the label
//! (`Training_Labeled/<n>/<id>s<expression>s<valence·1000>s<arousal·1000>.jpg`), folders numbered by the expression
//! (`train/0…7`), and what `moue data prepare` makes of any. What AffectNet calls validation is the split that papers
//! report, `test` here; a validation split is drawn from the training images.

mod annotations;
mod folders;
mod sets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::decode::{Pending, read_all};
use super::files::{contents, names_in};
use super::unused::Known;
use super::{Dropped, EXPRESSIONS, Prepared, Split, dataset::Loaded, prepared};
use crate::{Error, Result};

/// Name in moue, table of the annotations, set, folder of faces.
const PARTS: [(&str, &str, &str, &str); 2] =
    [("train", "training.csv", "train_set", "Training_Labeled"), ("test", "validation.csv", "val_set", "Validation")];

/// Images of the eight expressions in each split, in the tables and in the newer sets.
const COUNTS: [(&str, [usize; 2]); 2] = [("train", [287_568, 287_651]), ("test", [4_000, 3_999])];

/// Where the photographs stand beside the annotations, the first that exists.
const PHOTOGRAPHS: [&str; 3] = ["Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "."];

/// The number of images that a split should have: of the published ones the one that it has, else the first.
pub(super) fn expected(split: &str, usable: usize) -> Option<usize> {
    let counts = COUNTS.iter().find(|(name, _)| *name == split)?.1;
    Some(if counts.contains(&usable) { usable } else { counts[0] })
}

/// Loads those of the named splits that AffectNet has (train, test; valid in some folders); the classes are
/// [`EXPRESSIONS`], or their first seven where folders have these numbers only.
pub(super) fn load(dir: &Path, names: &[&str]) -> Result<Loaded> {
    let mut splits = BTreeMap::new();
    let mut known = Known::default();
    let mut classes = EXPRESSIONS.len();
    if prepared::is_prepared(dir) {
        only_layout(dir)?;
        splits = prepared::load(dir, names)?;
        for file in names_in(dir, |path| path.extension().is_some_and(|ending| ending == "safetensors"))? {
            known.add(&file);
        }
    } else {
        let layout = only_layout(dir)?;
        let listings = list(dir, &layout, names)?;
        classes = layout.classes(dir);
        layout.know(dir, names, &listings, &mut known);
        for (name, listing) in listings {
            let what = format!("the {name} split of AffectNet in {}", dir.display());
            let (samples, unreadable) = read_all(&what, listing.pending)?;
            let dropped = listing.dropped.into_iter().chain(unreadable).collect();
            splits.insert(name.to_string(), Split { samples, dropped });
        }
    }
    let classes = EXPRESSIONS[..classes].iter().map(|&name| name.into()).collect();
    Ok(Loaded { classes, splits, unused: known.unused(dir)? })
}

/// Cuts out AffectNet's faces, resizes them to `size`×`size` pixels (triangle filter) and writes them to `out` in
/// files of `per_shard` images. Files of an earlier call with the same settings are kept, so that an interrupted
/// call goes on where it stopped. `progress` hears of each finished file: its path, and whether it was there.
///
/// # Errors
/// As [`Spec::load`](super::Spec::load) for what is read; [`Error::Data`] where more than 10 and more than 1 % of a
/// file's images cannot be read; [`Error::Io`] where `out` cannot be written; [`Error::Usage`] for a size or number out
/// of range.
pub fn prepare_affectnet(
    dir: &Path,
    out: &Path,
    size: usize,
    per_shard: usize,
    progress: impl FnMut(&Path, bool),
) -> Result<Prepared> {
    if prepared::is_prepared(dir) {
        return Err(Error::File {
            path: dir.into(),
            expected: "AffectNet as it was downloaded".into(),
            found: "prepared shards".into(),
            hint: "it is ready to be used: name it as affectnet:DIR".into(),
        });
    }
    let listings = list(dir, &only_layout(dir)?, &["train", "test"])?;
    let listings: Vec<_> = listings.into_iter().map(|(split, listing)| (split, listing.pending)).collect();
    prepared::prepare(&listings, out, size, per_shard, progress)
}

/// What a split lists.
#[derive(Default)]
struct Listing {
    pending: Vec<Pending>,
    dropped: Vec<Dropped>,
}

/// The images of the named splits, unread.
fn list(dir: &Path, layout: &Layout, names: &[&str]) -> Result<BTreeMap<&'static str, Listing>> {
    let mut listings = BTreeMap::new();
    if let Layout::Numbered(splits) = layout {
        for (name, folder) in splits.iter().filter(|(name, _)| names.contains(name)) {
            listings.insert(*name, folders::numbered(dir, folder)?);
        }
        return Ok(listings);
    }
    for (name, table, set, folder) in PARTS.into_iter().filter(|part| names.contains(&part.0)) {
        let listing = match layout {
            Layout::Annotations { tables, images } => annotations::annotated(&tables.join(table), images)?,
            Layout::Sets => sets::set(dir, set)?,
            _ => folders::folders(dir, folder)?,
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
    /// The authors' files of annotations, one for each image.
    Sets,
    /// The names of the files.
    Folders,
    /// The numbers of the folders below each split's.
    Numbered(BTreeMap<&'static str, String>),
}

impl Layout {
    /// The number of classes: numbered folders may be AffectNet's seven expressions without contempt.
    fn classes(&self, dir: &Path) -> usize {
        match self {
            Self::Numbered(splits) if splits.values().all(|folder| !dir.join(folder).join("7").is_dir()) => 7,
            _ => EXPRESSIONS.len(),
        }
    }

    /// Adds all files that the layout has; those of splits that were not asked for as whole folders.
    fn know(&self, dir: &Path, names: &[&str], listings: &BTreeMap<&'static str, Listing>, known: &mut Known) {
        for listing in listings.values() {
            listing.pending.iter().for_each(|image| known.add_path(dir, &image.path));
        }
        // The tables' paths start from the photographs' folder, all others from the data set's.
        let root = if let Self::Annotations { images, .. } = self { images } else { dir };
        for listing in listings.values() {
            listing.dropped.iter().for_each(|image| known.add_path(dir, &root.join(&image.id)));
        }
        for (_, table, set, folder) in PARTS {
            match self {
                Self::Annotations { tables, .. } => known.add_path(dir, &tables.join(table)),
                Self::Sets => known.add(&format!("{set}/annotations")),
                _ => {}
            }
            let asked = listings.keys().any(|name| PARTS.iter().any(|part| part.0 == *name && part.1 == table));
            match self {
                Self::Sets if !asked => known.add(set),
                Self::Folders if !asked => known.add(folder),
                _ => {}
            }
        }
        match self {
            // The other table's photographs stand among these.
            Self::Annotations { images, .. } if listings.len() < PARTS.len() => known.add_path(dir, images),
            Self::Numbered(splits) => {
                splits.iter().filter(|(name, _)| !names.contains(name)).for_each(|(_, folder)| known.add(folder));
            }
            _ => {}
        }
    }
}

/// The layout of a folder that is not prepared; more than one is an error.
fn only_layout(dir: &Path) -> Result<Layout> {
    let tables = [dir.to_path_buf(), dir.join("Manually_Annotated_file_lists")]
        .into_iter()
        .find(|tables| PARTS.iter().any(|part| tables.join(part.1).is_file()));
    let mut layouts = Vec::new();
    if let Some(tables) = tables {
        let images = PHOTOGRAPHS.iter().map(|folder| dir.join(folder)).find(|images| images.is_dir());
        let images = if images.as_ref().is_some_and(|images| images.ends_with(".")) { None } else { images };
        let said = format!("annotations in {}", tables.display());
        layouts.push((said, Some(Layout::Annotations { tables, images: images.unwrap_or_else(|| dir.into()) })));
    }
    if let Some(part) = PARTS.iter().find(|part| dir.join(part.2).is_dir()) {
        layouts.push((format!("the set {}", part.2), Some(Layout::Sets)));
    }
    if let Some(part) = PARTS.iter().find(|part| dir.join(part.3).is_dir()) {
        layouts.push((format!("the folder {}", part.3), Some(Layout::Folders)));
    }
    if let Some(splits) = folders::numbered_splits(dir)? {
        let said = splits.values().map(|folder| format!("{folder}/0…")).collect::<Vec<_>>();
        layouts.push((format!("numbered folders {}", said.join(", ")), Some(Layout::Numbered(splits))));
    }
    if prepared::is_prepared(dir) {
        layouts.push(("prepared shards".into(), None));
    }
    let found: Vec<String> = layouts.iter().map(|(said, _)| said.clone()).collect();
    let wrong = |expected: &str, found: String, hint: &str| {
        Err(Error::File { path: dir.into(), expected: expected.into(), found, hint: hint.into() })
    };
    match (layouts.pop(), layouts.len()) {
        (None, _) => wrong(
            "training.csv and validation.csv, train_set and val_set, Training_Labeled and Validation, train/0…7, or \
             prepared shards",
            contents(dir),
            "name the folder that AffectNet was unpacked to",
        ),
        // The caller has seen that it is prepared.
        (Some((_, layout)), 0) => Ok(layout.unwrap_or(Layout::Folders)),
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

/// Valence or arousal, `text` divided by `scale`, where it is one: the annotators' −2 stands for none.
fn affect(text: &str, scale: f32) -> Option<f32> {
    text.trim().parse::<f32>().ok().map(|number| number / scale).filter(|number| (-1.0..=1.0).contains(number))
}
