//! Folders of faces: the files' names carry the labels, or the folders' numbers do.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Listing, affect, class_of};
use crate::data::Dropped;
use crate::data::decode::Pending;
use crate::data::files::{contents, folders_in, is_image, names_in, split_folders};
use crate::{Error, Result};

/// Where the numbered folders are, split by split, below the data set's folder; `""` for the data set's folder itself.
/// Copies for competitions have `train/0…7` and `val/0…7`, some a `test/0…7` too. Where only one of `valid` and `test`
/// exists, it is the split that papers report.
pub(super) fn numbered_splits(dir: &Path) -> Result<Option<BTreeMap<&'static str, String>>> {
    let numbered = |folder: &str| dir.join(folder).join("0").is_dir() && dir.join(folder).join("6").is_dir();
    if numbered("") {
        return Ok(Some(BTreeMap::from([("train", String::new())])));
    }
    if !dir.is_dir() {
        return Ok(None);
    }
    let mut splits = split_folders(dir)?;
    splits.retain(|_, folder| numbered(folder));
    if !splits.contains_key("test")
        && let Some(valid) = splits.remove("valid")
    {
        splits.insert("test", valid);
    }
    Ok(Some(splits).filter(|splits| !splits.is_empty()))
}

/// A split with a folder for each expression's number.
pub(super) fn numbered(dir: &Path, part: &str) -> Result<Listing> {
    let mut listing = Listing::default();
    for folder in folders_in(&dir.join(part))? {
        let below = if part.is_empty() { folder.clone() } else { format!("{part}/{folder}") };
        let Some(class) = folder.parse().ok().and_then(class_of) else {
            // Named among what is not used.
            continue;
        };
        for file in names_in(&dir.join(&below), |path| path.is_file())? {
            let id = format!("{below}/{file}");
            if !is_image(&file) {
                listing.dropped.push(Dropped { id, reason: "not an image".into(), unreadable: false });
                continue;
            }
            match class {
                Ok(label) => listing.pending.push(Pending::new(id.clone(), dir.join(&id), label)),
                Err(reason) => listing.dropped.push(Dropped { id, reason: reason.into(), unreadable: false }),
            }
        }
    }
    if listing.pending.is_empty() {
        return Err(Error::File {
            path: dir.join(part),
            expected: "images in folders 0 (neutral) to 7 (contempt)".into(),
            found: contents(&dir.join(part)),
            hint: "unpack the data again".into(),
        });
    }
    Ok(listing)
}

/// A split whose files' names carry the labels, in folders with any names.
pub(super) fn folders(dir: &Path, part: &str) -> Result<Listing> {
    let mut listing = Listing::default();
    for folder in folders_in(&dir.join(part))? {
        for file in names_in(&dir.join(part).join(&folder), |_| true)? {
            let id = format!("{part}/{folder}/{file}");
            if !is_image(&file) {
                listing.dropped.push(Dropped { id, reason: "not an image".into(), unreadable: false });
                continue;
            }
            let path = dir.join(&id);
            let carried = numbers_in(&file);
            let Some(class) = carried.and_then(|numbers| class_of(numbers[0])) else {
                return Err(Error::File {
                    path,
                    expected: "a name IDsEXPRESSIONsVALENCEsAROUSAL, the expression from 0 to 10".into(),
                    found: format!("`{file}`"),
                    hint: "give the file its name again, or remove it".into(),
                });
            };
            match class {
                Ok(label) => {
                    let [_, valence, arousal] = carried.expect("invariant: the class is one of its numbers");
                    let thousandth = |number: i64| affect(&number.to_string(), 1000.0);
                    let (valence, arousal) = (thousandth(valence), thousandth(arousal));
                    listing.pending.push(Pending { valence, arousal, ..Pending::new(id, path, label) });
                }
                Err(reason) => listing.dropped.push(Dropped { id, reason: reason.into(), unreadable: false }),
            }
        }
    }
    Ok(listing)
}

/// The expression, valence·1000 and arousal·1000 in `<id>s<expression>s<valence>s<arousal>.jpg`; the code that made
/// such folders reads `s`, its description says `_`.
fn numbers_in(file: &str) -> Option<[i64; 3]> {
    let stem = file.rsplit_once('.')?.0;
    ['s', '_'].into_iter().find_map(|between| {
        let parts: Vec<&str> = stem.rsplitn(4, between).collect();
        let &[arousal, valence, expression, id] = parts.as_slice() else { return None };
        let number = |part: &str| part.parse::<i64>().ok();
        Some([number(expression)?, number(valence)?, number(arousal)?]).filter(|_| !id.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_expression_between_either_separator() {
        assert_eq!(numbers_in("123s4s-350s210.jpg"), Some([4, -350, 210]));
        assert_eq!(numbers_in("abs12_7_0_-1000.png"), Some([7, 0, -1000]));
        for name in ["123s4s-350.jpg", "s4s1s2.jpg", "1sxs1s2.jpg", "1s4s1s2", "photo.jpg"] {
            assert_eq!(numbers_in(name), None, "{name}");
        }
    }
}
