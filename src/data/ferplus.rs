//! FER+: FER2013's 48×48 grey faces with ten annotators' votes each.
//!
//! Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label
//! distribution" (2016). The majority rule is the one of the paper that moue implements: votes of 1 become 0,
//! and an image counts if one class holds more than half of the votes left, `unknown` and `not a face`
//! included; images whose majority is one of those two are dropped. That leaves 25,045 images to train,
//! 3,191 to validate and 3,137 to test with. [`FerPlusVotes`] says what else of the votes trains.

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

/// What else of the annotators' votes is in the training split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FerPlusVotes {
    /// `uncertain=votes`: images without a majority whose most frequent vote is an expression train too. Their label is
    /// the expression with the most votes, of equal ones the first of the classes; what soft targets train on is the
    /// whole distribution.
    pub uncertain: bool,
    /// `identical=merged`: training images of the same pixels share the mean of their distributions, and the label of
    /// its largest.
    pub merged: bool,
}

impl FerPlusVotes {
    const OPTIONS: [&str; 2] = [",uncertain=votes", ",identical=merged"];

    /// Takes the options off a folder's end.
    pub(super) fn split_off(text: &str) -> Result<(&str, Self)> {
        let (mut dir, mut votes) = (text, Self::default());
        while let Some((option, rest)) =
            Self::OPTIONS.iter().find_map(|option| Some((option, dir.strip_suffix(option)?)))
        {
            dir = rest;
            match *option {
                ",uncertain=votes" => votes.uncertain = true,
                _ => votes.merged = true,
            }
        }
        match dir.rsplit_once(',') {
            Some((_, option)) if option.starts_with("uncertain=") || option.starts_with("identical=") => {
                Err(Error::Usage {
                    setting: "the data set".into(),
                    expected: "ferplus:DIR, then uncertain=votes or identical=merged, each after a comma".into(),
                    found: format!("`{option}`"),
                    hint: "leave it out to train on images with a majority alone".into(),
                })
            }
            _ => Ok((dir, votes)),
        }
    }
}

impl std::fmt::Display for FerPlusVotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (option, is_on) in Self::OPTIONS.into_iter().zip([self.uncertain, self.merged]) {
            f.write_str(if is_on { option } else { "" })?;
        }
        Ok(())
    }
}

/// The number of images that a split has after the majority rule.
pub(super) fn expected(split: &str) -> Option<usize> {
    PARTS.iter().find(|part| part.0 == split).map(|part| part.3)
}

/// Loads the named splits; the classes are [`EXPRESSIONS`].
pub(super) fn load(dir: &Path, votes: FerPlusVotes, names: &[&str]) -> Result<Loaded> {
    let layout = Layout::of(dir)?;
    let kaggle = match &layout {
        Layout::Kaggle { pixels, votes: table } => Some(kaggle(pixels, table, names, votes)?),
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
        Layout::Kaggle { pixels, votes: table } => {
            [pixels, table].into_iter().for_each(|path| known.add_path(dir, path))
        }
    }
    for (name, part, usage, _) in PARTS.into_iter().filter(|part| names.contains(&part.0)) {
        let mut split = match (&layout, &kaggle) {
            (Layout::Folders { images, labels }, _) => {
                let (images, labels) = (images.join(part), labels.join(part));
                let split = folders(name, &images, &labels, votes)?;
                known.add_path(dir, &labels.join("label.csv"));
                let listed = split.samples.iter().map(|sample| &sample.id);
                for id in listed.chain(split.dropped.iter().map(|drop| &drop.id)) {
                    known.add_path(dir, &images.join(id.strip_prefix(&format!("{name}/")).unwrap_or(id)));
                }
                split
            }
            (Layout::Kaggle { votes: table, .. }, Some(splits)) => {
                splits.get(name).cloned().ok_or_else(|| Error::File {
                    path: table.clone(),
                    expected: format!("rows whose Usage is {usage}"),
                    found: "none".into(),
                    hint: "download fer2013new.csv from the FER+ project again".into(),
                })?
            }
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
        if votes.merged && name == "train" {
            merge_identical(&mut split.samples);
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
fn folders(name: &str, images: &Path, labels: &Path, options: FerPlusVotes) -> Result<Split> {
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
        match labelled(&counts(&path, line, &record, 2)?, options.uncertain && name == "train") {
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
fn kaggle(pixels: &Path, votes: &Path, names: &[&str], options: FerPlusVotes) -> Result<BTreeMap<String, Split>> {
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
        match labelled(&counts(votes, line, &record, 2)?, options.uncertain && part.0 == "train") {
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

/// The label and the distribution over the eight classes by the majority rule; of an image without a majority, where
/// `uncertain` are wanted, by the most votes.
fn labelled(votes: &[u32; VOTES], uncertain: bool) -> std::result::Result<(usize, Vec<f32>), String> {
    let by_majority = majority(votes);
    if !uncertain || !matches!(&by_majority, Err(reason) if reason == NO_MAJORITY) {
        return by_majority;
    }
    let kept = votes.map(|vote| if vote == 1 { 0 } else { vote });
    let most = kept[..8].iter().copied().max().unwrap_or_default();
    if most == 0 || most < kept[8].max(kept[9]) {
        return by_majority;
    }
    let faces: u32 = kept[..8].iter().sum();
    let mut distribution = vec![0.0; 8];
    for (&class, &vote) in COLUMNS.iter().zip(&kept) {
        distribution[class] = vote as f32 / faces as f32;
    }
    Ok((largest(&distribution), distribution))
}

/// The class of the largest share, of equal ones the first.
fn largest(distribution: &[f32]) -> usize {
    (0..distribution.len())
        .rev()
        .fold(0, |best, class| if distribution[class] >= distribution[best] { class } else { best })
}

/// Gives images of the same pixels the mean of their distributions.
fn merge_identical(samples: &mut [Sample]) {
    let mut alike = BTreeMap::<Vec<u8>, Vec<usize>>::new();
    for (index, sample) in samples.iter().enumerate() {
        alike.entry(sample.image.pixels.clone()).or_default().push(index);
    }
    for group in alike.values().filter(|group| group.len() > 1) {
        let all: Vec<Vec<f32>> = group.iter().filter_map(|&index| samples[index].votes.clone()).collect();
        let mean: Vec<f32> =
            (0..8).map(|class| all.iter().map(|votes| votes[class]).sum::<f32>() / all.len() as f32).collect();
        for &index in group {
            samples[index].label = largest(&mean);
            samples[index].votes = Some(mean.clone());
        }
    }
}

/// Why most images are dropped.
const NO_MAJORITY: &str = "no majority";

/// The label by the majority rule and the distribution over the eight classes, or why there is none.
fn majority(votes: &[u32; VOTES]) -> std::result::Result<(usize, Vec<f32>), String> {
    let kept = votes.map(|vote| if vote == 1 { 0 } else { vote });
    let total: u32 = kept.iter().sum();
    let Some((top, &most)) = kept.iter().enumerate().find(|(_, vote)| 2 * **vote > total) else {
        return Err(NO_MAJORITY.into());
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
    fn an_uncertain_image_trains_with_its_votes_where_most_of_them_name_an_expression() {
        // 4 sadness, 4 anger, 2 unknown: no majority; of equal ones the first class.
        let votes = [0, 0, 0, 4, 4, 0, 0, 0, 2, 0];
        assert_eq!(labelled(&votes, false), Err(NO_MAJORITY.into()));
        let (label, shares) = labelled(&votes, true).expect("an uncertain image");
        assert_eq!(EXPRESSIONS[label], "sadness");
        assert_eq!(shares, [0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0]);
        // More say unknown than any expression; nothing is left of single votes.
        assert_eq!(labelled(&[3, 0, 0, 2, 0, 0, 0, 0, 5, 0], true), Err(NO_MAJORITY.into()));
        assert_eq!(labelled(&[1; 10], true), Err(NO_MAJORITY.into()));
        assert_eq!(labelled(&[0, 0, 0, 0, 0, 0, 0, 0, 6, 2], true), Err("the majority votes unknown".into()));
        assert_eq!(labelled(&[5, 0, 0, 4, 1, 0, 0, 0, 1, 0], true), majority(&[5, 0, 0, 4, 1, 0, 0, 0, 1, 0]));
    }

    #[test]
    fn images_of_the_same_pixels_share_the_mean_of_their_votes() {
        let sample = |tone: u8, label: usize, shares: [f32; 2]| {
            let image = Arc::new(Image { width: 1, height: 1, channels: 1, pixels: vec![tone] });
            let votes = [&shares[..], &[0.0; 6]].concat();
            Sample { votes: Some(votes), ..Sample::new(format!("{tone}/{label}"), image, label) }
        };
        let mut samples = [sample(7, 0, [1.0, 0.0]), sample(9, 0, [1.0, 0.0]), sample(7, 1, [0.0, 1.0])];
        samples[2].votes = Some(vec![0.25, 0.0, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0]);
        merge_identical(&mut samples);
        let expected = Some(vec![0.625, 0.0, 0.375, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!((&samples[0].votes, &samples[2].votes), (&expected, &expected));
        assert_eq!(
            (samples[2].label, samples[1].label, &samples[1].votes.as_ref().expect("votes")[..2]),
            (0, 0, &[1.0, 0.0][..])
        );
    }

    #[test]
    fn options_of_the_votes_stand_after_the_folder_and_others_are_refused() {
        let both = FerPlusVotes { uncertain: true, merged: true };
        assert_eq!(FerPlusVotes::split_off("a,b,identical=merged,uncertain=votes").expect("options"), ("a,b", both));
        assert_eq!(both.to_string(), ",uncertain=votes,identical=merged");
        assert_eq!(FerPlusVotes::split_off("a,b").expect("a folder"), ("a,b", FerPlusVotes::default()));
        let error = FerPlusVotes::split_off("a,uncertain=yes").expect_err("refused").to_string();
        assert!(error.contains("uncertain=votes") && error.contains("`uncertain=yes`"), "{error}");
    }

    #[test]
    fn majority_drops_what_has_none() {
        assert_eq!(majority(&[1; 10]), Err("no majority".into()));
        assert_eq!(majority(&[0, 0, 0, 0, 0, 0, 0, 0, 6, 2]), Err("the majority votes unknown".into()));
        assert_eq!(majority(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 10]), Err("the majority votes not a face".into()));
    }
}
