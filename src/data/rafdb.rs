//! RAF-DB: real-world faces with the basic expression that about 40 annotators agreed on.
//!
//! Li, Deng, Du, "Reliable crowdsourcing and deep locality-preserving learning for expression recognition in the
//! wild" (2017). As distributed, `EmoLabel/list_patition_label.txt` has a line for each image, `train_00001.jpg 5`,
//! with labels from 1 to 7, and the images stand in `Image/aligned` and `Image/original`. Some lists have a third column:
//! the split, or a second label (lists with made-up label noise keep the true one there), which is not read. Copies with
//! a folder for each class, `train/0…6` beside `test/0…6` or `valid/0…6`, have the classes in another order; some copies
//! number the folders 1 to 7, in the order of the list.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::decode::{Pending, read_all};
use super::files::{contents, folders_in, is_image, names_in, split_folders, split_of, without_mark};
use super::unused::Known;
use super::{Dropped, EXPRESSIONS, Split, dataset::Loaded};
use crate::{Error, Result};

/// RAF-DB has no contempt.
const CLASSES: usize = 7;

/// The class in [`EXPRESSIONS`] of the list's labels 1 to 7: surprise, fear, disgust, happiness, sadness, anger,
/// neutral.
const LIST: [usize; CLASSES] = [3, 4, 5, 1, 2, 6, 0];

/// The class in [`EXPRESSIONS`] of the folders 0 to 6: neutral, happiness, sadness, surprise, fear, disgust, anger.
const FOLDERS: [usize; CLASSES] = [0, 1, 2, 3, 4, 5, 6];

/// The number of images of each class, in the order of [`EXPRESSIONS`].
const COUNTS: [(&str, [usize; CLASSES]); 2] =
    [("train", [2524, 4772, 1982, 1290, 281, 717, 705]), ("test", [680, 1185, 478, 329, 74, 160, 162])];

/// Which of the two pictures of each face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faces {
    /// 100×100 pixels, turned and cut by the eyes.
    Aligned,
    /// The photograph as it was found.
    Original,
}

/// The number of images of each class that a split should have.
pub(super) fn expected(split: &str) -> Option<Vec<usize>> {
    COUNTS.iter().find(|(name, _)| *name == split).map(|(_, counts)| counts.to_vec())
}

/// Loads those of the named splits that RAF-DB has (train and test, in copies also valid); the classes are the first
/// seven [`EXPRESSIONS`].
pub(super) fn load(dir: &Path, faces: Faces, names: &[&str]) -> Result<Loaded> {
    let mut known = Known::default();
    let listings = match Layout::of(dir)? {
        Layout::List(root) => {
            known.add_path(dir, &list_of(&root));
            // The other picture of each face is the other data set's.
            let other = if faces == Faces::Aligned { Faces::Original } else { Faces::Aligned };
            known.add_path(dir, &folder_of(&root, other));
            list(&root, faces)?
        }
        Layout::Folders(root, splits) => folders(dir, &root, &splits, faces, &mut known)?,
    };
    for (pending, _) in listings.values() {
        pending.iter().for_each(|image| known.add_path(dir, &image.path));
    }
    let mut splits = BTreeMap::new();
    for (name, (pending, mut dropped)) in listings {
        if !names.contains(&name) {
            continue;
        }
        let (samples, unreadable) = read_all(&format!("the {name} split of RAF-DB in {}", dir.display()), pending)?;
        dropped.extend(unreadable);
        splits.insert(name.to_string(), Split { samples, dropped });
    }
    let classes = EXPRESSIONS[..CLASSES].iter().map(|&name| name.into()).collect();
    Ok(Loaded { classes, splits, unused: known.unused(dir)? })
}

/// What each split lists.
type Listings = BTreeMap<&'static str, (Vec<Pending>, Vec<Dropped>)>;

/// Where the labels are.
enum Layout {
    /// In `EmoLabel/list_patition_label.txt` below this folder.
    List(PathBuf),
    /// In the names of the folders below those of the splits, which are in this folder.
    Folders(PathBuf, BTreeMap<&'static str, String>),
}

/// The folder of the pictures of one kind.
fn folder_of(root: &Path, faces: Faces) -> PathBuf {
    root.join("Image").join(if faces == Faces::Aligned { "aligned" } else { "original" })
}

fn list_of(root: &Path) -> PathBuf {
    root.join("EmoLabel").join("list_patition_label.txt")
}

impl Layout {
    fn of(dir: &Path) -> Result<Self> {
        let roots = [dir.to_path_buf(), dir.join("basic"), dir.join("DATASET")];
        let listed = roots.iter().find(|root| list_of(root).is_file());
        let mut sorted = None;
        for root in roots.iter().filter(|root| root.is_dir()) {
            let splits = split_folders(root)?;
            if splits.len() > 1 && splits.contains_key("train") {
                sorted = Some((root, splits));
                break;
            }
        }
        let wrong = |expected: &str, found: String, hint: &str| {
            Err(Error::File { path: dir.into(), expected: expected.into(), found, hint: hint.into() })
        };
        match (listed, sorted) {
            (Some(root), None) => Ok(Self::List(root.clone())),
            (None, Some((root, splits))) => Ok(Self::Folders(root.clone(), splits)),
            (Some(listed), Some((sorted, splits))) => wrong(
                "one layout of RAF-DB",
                format!("{} beside the folders {}", list_of(listed).display(), sorted.join(&splits["train"]).display()),
                "the two number the classes in different orders; move one of them elsewhere",
            ),
            (None, None) => wrong(
                "EmoLabel/list_patition_label.txt beside Image, or train/0…6 beside test/0…6 or valid/0…6",
                contents(dir),
                "name the folder that RAF-DB was unpacked to",
            ),
        }
    }
}

/// The layout as distributed.
fn list(root: &Path, faces: Faces) -> Result<Listings> {
    let path = list_of(root);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io(&path, "reading the labels", error, "unpack EmoLabel again"))?;
    let images = images_of(root, faces)?;
    let (mut listings, mut seen) = (Listings::new(), HashSet::new());
    for (line, text) in without_mark(&text).lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let wrong = |expected: &str, hint: &str| Error::File {
            path: path.clone(),
            expected: expected.into(),
            found: format!("`{}` on line {}", text.trim(), line + 1),
            hint: hint.into(),
        };
        let mut columns = text.split_ascii_whitespace();
        let (Some(file), Some(label), third, None) = (columns.next(), columns.next(), columns.next(), columns.next())
        else {
            return Err(wrong("a file name and a label, such as `train_00001.jpg 5`", "restore the list"));
        };
        let split = ["train", "test"].into_iter().find(|split| file.starts_with(&format!("{split}_")));
        let split = match third.map(|third| (split_of(third), third.parse::<u32>())) {
            None | Some((None, Ok(_))) => split,
            Some((Some(named), _)) => split.and(Some(named)),
            Some((None, Err(_))) => {
                return Err(wrong("train, valid, test or a number as the third column", "restore the list"));
            }
        };
        let (Some(split), Some(stem)) = (split, file.strip_suffix(".jpg").filter(|stem| !stem.contains(['/', '\\'])))
        else {
            return Err(wrong("a file train_NNNNN.jpg or test_NNNNN.jpg", "restore the list"));
        };
        let class =
            label.parse::<usize>().ok().and_then(|label| Some(LIST[label.checked_sub(1).filter(|at| *at < 7)?]));
        let Some(label) = class else {
            return Err(wrong(
                "a label from 1 (surprise) to 7 (neutral)",
                "labels from 0 (neutral) to 6 belong to copies with a folder for each class; restore the list",
            ));
        };
        if !seen.insert(file) {
            return Err(wrong("each image once", "restore the list"));
        }
        let image = match faces {
            Faces::Aligned => format!("{stem}_aligned.jpg"),
            Faces::Original => file.to_string(),
        };
        let id = format!("{split}/{file}");
        listings.entry(split).or_default().0.push(Pending::new(id, images.join(image), label));
    }
    Ok(listings)
}

/// The folder of the wanted pictures.
fn images_of(root: &Path, faces: Faces) -> Result<PathBuf> {
    let images = folder_of(root, faces);
    if images.is_dir() {
        return Ok(images);
    }
    let (other, spec) = match faces {
        Faces::Aligned => (Faces::Original, "rafdb-original:DIR"),
        Faces::Original => (Faces::Aligned, "rafdb:DIR"),
    };
    let there = folder_of(root, other).is_dir();
    Err(Error::File {
        path: images,
        expected: format!("the {} faces", if faces == Faces::Aligned { "aligned" } else { "original" }),
        found: if there { format!("only {}", folder_of(root, other).display()) } else { "no such folder".into() },
        hint: if there {
            format!("unpack them there, or take the others with {spec}")
        } else {
            "unpack Image there".into()
        },
    })
}

/// The layout with a folder for each class.
fn folders(
    top: &Path,
    root: &Path,
    splits: &BTreeMap<&'static str, String>,
    faces: Faces,
    known: &mut Known,
) -> Result<Listings> {
    let mut listings = Listings::new();
    for (&split, part) in splits {
        let dir = root.join(part);
        let names = folders_in(&dir)?;
        let (first, order) = order(&dir, &names)?;
        let (pending, dropped) = listings.entry(split).or_default();
        for folder in names {
            let number: usize = folder.parse().expect("invariant: `order` takes numbers only");
            for file in names_in(&dir.join(&folder), |path| path.is_file())? {
                let id = format!("{split}/{folder}/{file}");
                if !is_image(&file) {
                    known.add_path(top, &dir.join(&folder).join(&file));
                    dropped.push(Dropped { id, reason: "not an image".into(), unreadable: false });
                    continue;
                }
                if faces == Faces::Original && file.contains("_aligned") {
                    return Err(Error::File {
                        path: dir.join(&folder).join(file),
                        expected: "an original photograph".into(),
                        found: "an aligned face".into(),
                        hint: "this copy has the aligned faces only: take them with rafdb:DIR".into(),
                    });
                }
                let path = dir.join(&folder).join(file);
                pending.push(Pending::new(id, path, order[number - first]));
            }
        }
    }
    Ok(listings)
}

/// The number of the first class's folder, and the classes of the folders.
fn order(dir: &Path, names: &[String]) -> Result<(usize, [usize; CLASSES])> {
    let numbers: Option<Vec<usize>> = names.iter().map(|name| name.parse().ok()).collect();
    let all = |first: usize| {
        numbers.as_ref().is_some_and(|numbers| (first..first + CLASSES).all(|n| numbers.contains(&n)))
            && names.len() == CLASSES
    };
    if all(0) {
        return Ok((0, FOLDERS));
    }
    if all(1) {
        return Ok((1, LIST));
    }
    Err(Error::File {
        path: dir.into(),
        expected: "folders 0 (neutral) to 6 (anger), or 1 (surprise) to 7 (neutral)".into(),
        found: if names.is_empty() { contents(dir) } else { format!("folders {}", names.join(", ")) },
        hint: "the two orders differ, so a folder too many or too few leaves the classes unknown: restore the copy"
            .into(),
    })
}
