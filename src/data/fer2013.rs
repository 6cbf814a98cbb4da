//! FER2013: 48×48 grey faces from web searches with one label each.
//!
//! Goodfellow et al., "Challenges in representation learning: a report on three machine learning contests" (2013). Two
//! layouts are read: the contest's table (`fer2013.csv` or `icml_face_data.csv` with the columns emotion, pixels and
//! Usage), and folders `train/angry…`, `test/angry…`. FER+ is these images with better labels: `ferplus:DIR`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::class_map::expression;
use super::files::{contents, rows};
use super::unused::Known;
use super::{EXPRESSIONS, Sample, Split, dataset::Loaded, ferplus, folder};
use crate::{Error, Result};

/// FER2013 has no contempt.
const CLASSES: usize = 7;

/// The class in [`EXPRESSIONS`] of the table's emotions 0 to 6: anger, disgust, fear, happiness, sadness, surprise,
/// neutral.
const EMOTIONS: [usize; CLASSES] = [6, 5, 4, 1, 2, 3, 0];

/// Name in moue, `Usage` in the table, images.
const PARTS: [(&str, &str, usize); 3] =
    [("train", "Training", 28_709), ("valid", "PublicTest", 3_589), ("test", "PrivateTest", 3_589)];

/// The number of images that a split should have; the folders have both test splits of the table in one.
pub(super) fn expected(split: &str, has_valid: bool) -> Option<usize> {
    let count = PARTS.iter().find(|part| part.0 == split)?.2;
    Some(if split == "test" && !has_valid { 2 * count } else { count })
}

/// Loads the named splits that there are; the classes are the first seven [`EXPRESSIONS`].
pub(super) fn load(dir: &Path, names: &[&str]) -> Result<Loaded> {
    let table =
        ["fer2013.csv", "icml_face_data.csv"].map(|file| dir.join(file)).into_iter().find(|path| path.is_file());
    let classes = EXPRESSIONS[..CLASSES].iter().map(|&name| name.into()).collect();
    if let Some(table) = table {
        let mut known = Known::default();
        known.add_path(dir, &table);
        return Ok(Loaded { classes, splits: read(&table, names)?, unused: known.unused(dir)? });
    }
    let Loaded { classes: found, mut splits, unused } = folder::load(dir, names)?;
    let labels: Option<Vec<usize>> = found
        .iter()
        .map(|class| EXPRESSIONS[..CLASSES].iter().position(|name| Some(*name) == expression(class)))
        .collect();
    let Some(labels) = labels else {
        return Err(Error::File {
            path: dir.into(),
            expected: "fer2013.csv, or folders train and test with angry, disgust, fear, happy, neutral, sad, surprise"
                .into(),
            found: if found.is_empty() { contents(dir) } else { format!("the classes {}", found.join(", ")) },
            hint: "name the folder that FER2013 was unpacked to, or read other classes with folder:DIR".into(),
        });
    };
    for sample in splits.values_mut().flat_map(|split| &mut split.samples) {
        sample.label = labels[sample.label];
    }
    Ok(Loaded { classes, splits, unused })
}

/// The splits of the table.
fn read(table: &Path, names: &[&str]) -> Result<BTreeMap<String, Split>> {
    let mut splits = BTreeMap::<String, Split>::new();
    let mut places: Option<[usize; 3]> = None;
    for (number, record) in rows(table, false)?.enumerate() {
        let (line, record) = record?;
        let wrong = |expected: &str, found: String| Error::File {
            path: PathBuf::from(table),
            expected: expected.into(),
            found: format!("{found} on line {line}"),
            hint: "take the file from the contest again".into(),
        };
        let Some([emotion, pixels, usage]) = places else {
            let column = |name: &str| record.iter().position(|column| column.trim() == name);
            let (Some(emotion), Some(pixels), Some(usage)) = (column("emotion"), column("pixels"), column("Usage"))
            else {
                let found = format!("`{}`", record.iter().take(3).collect::<Vec<_>>().join(","));
                return Err(wrong("the header emotion,pixels,Usage", found));
            };
            places = Some([emotion, pixels, usage]);
            continue;
        };
        let column = |at: usize| record.get(at).unwrap_or_default().trim();
        let Some((name, ..)) = PARTS.iter().find(|part| part.1 == column(usage)) else {
            return Err(wrong("Training, PublicTest or PrivateTest as the Usage", format!("`{}`", column(usage))));
        };
        let label = column(emotion).parse::<usize>().ok().and_then(|emotion| EMOTIONS.get(emotion));
        let Some(&label) = label else {
            return Err(wrong("an emotion from 0 (angry) to 6 (neutral)", format!("`{}`", column(emotion))));
        };
        if names.contains(name) {
            let image = Arc::new(ferplus::face_of(table, line, column(pixels))?);
            // FER+ calls the images so.
            let id = format!("{name}/fer{:07}.png", number - 1);
            splits.entry((*name).into()).or_default().samples.push(Sample::new(id, image, label));
        }
    }
    if splits.is_empty() {
        return Err(Error::File {
            path: table.into(),
            expected: format!("rows for {}", names.join(", ")),
            found: "none".into(),
            hint: "take the file from the contest again".into(),
        });
    }
    Ok(splits)
}
