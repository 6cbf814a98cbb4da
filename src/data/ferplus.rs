//! FER+: FER2013's 48×48 grey faces with ten annotators' votes each.
//!
//! Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label
//! distribution" (2016). The majority rule is the one of the paper that moue implements: votes of 1 become 0,
//! and an image counts if one class holds more than half of the votes left, `unknown` and `not a face`
//! included; images whose majority is one of those two are dropped. That leaves 25,045 images to train,
//! 3,191 to validate and 3,137 to test with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decode::{Pending, read_all};
use super::files::{contents, rows};
use super::unused::Known;
use super::{Dropped, EXPRESSIONS, Image, Sample, Split, dataset::Loaded};
use crate::{Error, Result};

/// Name in moue, folder of the canonical layout, `Usage` in the Kaggle files, images after the majority rule.
const PARTS: [(&str, &str, &str, usize); 3] = [
    ("train", "FER2013Train", "Training", 25_045),
    ("valid", "FER2013Valid", "PublicTest", 3_191),
    ("test", "FER2013Test", "PrivateTest", 3_137),
];

/// The class in [`EXPRESSIONS`] of each of FER+'s first eight columns:
/// neutral, happiness, surprise, sadness, anger, disgust, fear, contempt.
const COLUMNS: [usize; 8] = [0, 1, 3, 2, 6, 5, 4, 7];

/// Eight classes, `unknown` and `not a face`.
const VOTES: usize = 10;

/// The number of images that a split has after the majority rule.
pub(super) fn expected(split: &str) -> Option<usize> {
    PARTS.iter().find(|part| part.0 == split).map(|part| part.3)
}

/// Loads the named splits; the classes are [`EXPRESSIONS`].
pub(super) fn load(dir: &Path, names: &[&str]) -> Result<Loaded> {
    let layout = Layout::of(dir)?;
    let kaggle = match &layout {
        Layout::Kaggle { pixels, votes } => Some(kaggle(pixels, votes, names)?),
        Layout::Folders { .. } => None,
    };
    let (mut splits, mut known) = (BTreeMap::new(), Known::default());
    match &layout {
        // The parts that were not asked for are known as a whole.
        Layout::Folders { images, labels } => {
            for part in PARTS.iter().filter(|part| !names.contains(&part.0)) {
                known.add_path(dir, &images.join(part.1));
                known.add_path(dir, &labels.join(part.1));
            }
        }
        Layout::Kaggle { pixels, votes } => [pixels, votes].into_iter().for_each(|path| known.add_path(dir, path)),
    }
    for (name, part, usage, _) in PARTS.into_iter().filter(|part| names.contains(&part.0)) {
        let split = match (&layout, &kaggle) {
            (Layout::Folders { images, labels }, _) => {
                let (images, labels) = (images.join(part), labels.join(part));
                let split = folders(name, &images, &labels)?;
                known.add_path(dir, &labels.join("label.csv"));
                let listed = split.samples.iter().map(|sample| &sample.id);
                for id in listed.chain(split.dropped.iter().map(|drop| &drop.id)) {
                    known.add_path(dir, &images.join(id.strip_prefix(&format!("{name}/")).unwrap_or(id)));
                }
                split
            }
            (Layout::Kaggle { votes, .. }, Some(splits)) => splits.get(name).cloned().ok_or_else(|| Error::File {
                path: votes.clone(),
                expected: format!("rows whose Usage is {usage}"),
                found: "none".into(),
                hint: "download fer2013new.csv from the FER+ project again".into(),
            })?,
            (Layout::Kaggle { .. }, None) => unreachable!("invariant: read above"),
        };
        if split.samples.is_empty() {
            return Err(Error::Data {
                what: format!("the {name} split of FER+ in {}", dir.display()),
                expected: "images with a majority label".into(),
                found: format!("none among {} listed", split.dropped.len()),
                hint: "unpack the data again".into(),
            });
        }
        splits.insert(name.to_string(), split);
    }
    Ok(Loaded { classes: EXPRESSIONS.map(String::from).to_vec(), splits, unused: known.unused(dir)? })
}

/// Where the parts are.
enum Layout {
    /// `images/FER2013Train/*.png` and `labels/FER2013Train/label.csv`, often one and the same folder.
    Folders { images: PathBuf, labels: PathBuf },
    /// `fer2013.csv` and `fer2013new.csv`.
    Kaggle { pixels: PathBuf, votes: PathBuf },
}

impl Layout {
    fn of(dir: &Path) -> Result<Self> {
        let any_part = |labels: &Path| PARTS.iter().any(|part| labels.join(part.1).join("label.csv").is_file());
        let (images, labels) = (dir.join("Images"), dir.join("Labels"));
        let (pixels, votes) = (dir.join("fer2013.csv"), dir.join("fer2013new.csv"));
        if any_part(dir) {
            Ok(Self::Folders { images: dir.into(), labels: dir.into() })
        } else if any_part(&labels) {
            Ok(Self::Folders { images, labels })
        } else if pixels.is_file() && votes.is_file() {
            Ok(Self::Kaggle { pixels, votes })
        } else {
            Err(Error::File {
                path: dir.into(),
                expected: "FER2013Train/label.csv, Labels/FER2013Train/label.csv, or fer2013.csv beside fer2013new.csv"
                    .into(),
                found: contents(dir),
                hint: "name the folder that FER+ was unpacked to".into(),
            })
        }
    }
}

/// One split in the canonical layout.
fn folders(name: &str, images: &Path, labels: &Path) -> Result<Split> {
    let path = labels.join("label.csv");
    let mut pending = Vec::new();
    let mut dropped = Vec::new();
    for record in rows(&path, false)? {
        let (line, record) = record?;
        let file = record.get(0).unwrap_or_default();
        if record.len() != 2 + VOTES || file.is_empty() || file.contains(['/', '\\']) {
            return Err(Error::File {
                path: path.clone(),
                expected: "a file name, a rectangle and 10 votes in each line".into(),
                found: format!("{} columns starting with `{file}` on line {line}", record.len()),
                hint: "restore label.csv from the FER+ project".into(),
            });
        }
        let id = format!("{name}/{file}");
        match majority(&counts(&path, line, &record, 2)?) {
            Ok((label, votes)) => {
                pending.push(Pending { votes: Some(votes), ..Pending::new(id, images.join(file), label) })
            }
            Err(reason) => dropped.push(Dropped { id, reason, unreadable: false }),
        }
    }
    if !images.is_dir() {
        return Err(Error::File {
            path: images.into(),
            expected: format!("the {} images of the {name} split", pending.len()),
            found: "no such folder".into(),
            hint: "unpack the images beside their labels".into(),
        });
    }
    let (samples, unreadable) = read_all(&format!("the {name} split of FER+ in {}", images.display()), pending)?;
    dropped.extend(unreadable);
    Ok(Split { samples, dropped })
}

/// The splits of the Kaggle files: row i of one file belongs to row i of the other.
fn kaggle(pixels: &Path, votes: &Path, names: &[&str]) -> Result<BTreeMap<String, Split>> {
    const HINT: &str = "take fer2013.csv from Kaggle and fer2013new.csv from the FER+ project";
    let mut splits = BTreeMap::<String, Split>::new();
    let mut faces = rows(pixels, true)?;
    for record in rows(votes, true)? {
        let (line, record) = record?;
        let wrong = |expected: &str, found: String| Error::File {
            path: votes.into(),
            expected: expected.into(),
            found: format!("{found} on line {line}"),
            hint: HINT.into(),
        };
        if record.len() != 2 + VOTES {
            return Err(wrong("Usage, Image name and 10 votes in each line", format!("{} columns", record.len())));
        }
        let Some(face) = faces.next() else {
            return Err(wrong(&format!("as many lines as in {}", pixels.display()), "a line too many".into()));
        };
        let (face_line, face) = face?;
        let Some(part) = PARTS.iter().find(|part| part.2 == &record[0]) else {
            return Err(wrong("Training, PublicTest or PrivateTest", format!("`{}`", &record[0])));
        };
        // An empty name marks an image that FER+ excludes.
        if !names.contains(&part.0) || record[1].is_empty() {
            continue;
        }
        let split = splits.entry(part.0.into()).or_default();
        let id = format!("{}/{}", part.0, &record[1]);
        match majority(&counts(votes, line, &record, 2)?) {
            Ok((label, votes)) => {
                let image = Arc::new(face_of(pixels, face_line, face.get(1).unwrap_or_default())?);
                split.samples.push(Sample { votes: Some(votes), ..Sample::new(id, image, label) });
            }
            Err(reason) => split.dropped.push(Dropped { id, reason, unreadable: false }),
        }
    }
    if let Some(face) = faces.next() {
        return Err(Error::File {
            path: pixels.into(),
            expected: format!("as many lines as in {}", votes.display()),
            found: format!("a line too many on line {}", face?.0),
            hint: HINT.into(),
        });
    }
    Ok(splits)
}

/// 48 · 48 grey values separated by blanks.
pub(super) fn face_of(path: &Path, line: u64, text: &str) -> Result<Image> {
    let values: Vec<&str> = text.split_ascii_whitespace().collect();
    let pixels: Vec<u8> = values.iter().map_while(|value| value.parse().ok()).collect();
    if pixels.len() != 48 * 48 || values.len() != 48 * 48 {
        return Err(Error::File {
            path: path.into(),
            expected: "emotion, 48·48 = 2304 grey values from 0 to 255, Usage in each line".into(),
            found: format!("{} values, {} of them good, on line {line}", values.len(), pixels.len()),
            hint: "take fer2013.csv from Kaggle again".into(),
        });
    }
    Ok(Image { width: 48, height: 48, channels: 1, pixels })
}

/// The ten votes that start at column `first`.
fn counts(path: &Path, line: u64, record: &csv::StringRecord, first: usize) -> Result<[u32; VOTES]> {
    let mut votes = [0; VOTES];
    for (vote, text) in votes.iter_mut().zip(record.iter().skip(first)) {
        *vote = text.trim().parse::<u16>().map(u32::from).map_err(|_| Error::File {
            path: path.into(),
            expected: "10 votes, whole numbers".into(),
            found: format!("`{text}` on line {line}"),
            hint: "restore the file from the FER+ project".into(),
        })?;
    }
    Ok(votes)
}

/// The label by the majority rule and the distribution over the eight classes, or why there is none.
fn majority(votes: &[u32; VOTES]) -> std::result::Result<(usize, Vec<f32>), String> {
    let kept = votes.map(|vote| if vote == 1 { 0 } else { vote });
    let total: u32 = kept.iter().sum();
    let Some((top, &most)) = kept.iter().enumerate().find(|(_, vote)| 2 * **vote > total) else {
        return Err("no majority".into());
    };
    match top {
        8 => return Err("the majority votes unknown".into()),
        9 => return Err("the majority votes not a face".into()),
        _ => {}
    }
    let faces: u32 = kept[..8].iter().sum();
    debug_assert!(most > 0 && faces >= most, "invariant: the top class is one of the eight");
    let mut distribution = vec![0.0; 8];
    for (&class, &vote) in COLUMNS.iter().zip(&kept) {
        distribution[class] = vote as f32 / faces as f32;
    }
    Ok((COLUMNS[top], distribution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majority_removes_single_votes_before_it_counts() {
        // 5 neutral, 4 sadness: 5 of 9 left; the single votes for anger and unknown do not count.
        let (label, votes) = majority(&[5, 0, 0, 4, 1, 0, 0, 0, 1, 0]).expect("5 of 9 is a majority");
        assert_eq!(EXPRESSIONS[label], "neutral");
        assert_eq!(votes, [5.0 / 9.0, 0.0, 4.0 / 9.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn majority_counts_unknown_but_leaves_it_out_of_the_distribution() {
        let (label, votes) = majority(&[0, 0, 0, 0, 0, 0, 7, 0, 3, 0]).expect("7 of 10 is a majority");
        assert_eq!((EXPRESSIONS[label], votes[label]), ("fear", 1.0));
        assert_eq!(majority(&[0, 0, 0, 0, 0, 0, 5, 0, 5, 0]), Err("no majority".into()));
    }

    #[test]
    fn majority_drops_what_has_none() {
        assert_eq!(majority(&[1; 10]), Err("no majority".into()));
        assert_eq!(majority(&[0, 0, 0, 0, 0, 0, 0, 0, 6, 2]), Err("the majority votes unknown".into()));
        assert_eq!(majority(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 10]), Err("the majority votes not a face".into()));
    }
}
