//! Looking into folders and tables of a data set, and saying what was found there.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::spec::SPLITS;
use crate::{Error, Result};

/// The formats that can be read, by their endings.
pub(super) const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "bmp", "webp"];

/// Does a file's name end like an image's?
pub(super) fn is_image(name: &str) -> bool {
    let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// What a folder holds, for an error message.
pub(super) fn contents(dir: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return if dir.exists() { "no readable folder" } else { "no such folder" }.into();
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    match names.len() {
        0 => "an empty folder".into(),
        1..=4 => names.join(", "),
        more => format!("{}, … ({more} entries)", names[..3].join(", ")),
    }
}

/// The names of the folders in a folder that are not hidden, sorted.
pub(super) fn folders_in(dir: &Path) -> Result<Vec<String>> {
    names_in(dir, |path| path.is_dir())
}

/// The names in a folder that are not hidden and pass `keep`, sorted.
pub(super) fn names_in(dir: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let refused = |error| Error::io(dir, "listing the folder", error, "name a folder that exists and may be read");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let name = entry.file_name().into_string().map_err(|name| Error::File {
            path: dir.into(),
            expected: "file names in UTF-8".into(),
            found: name.to_string_lossy().into_owned(),
            hint: "rename that file".into(),
        })?;
        if !name.starts_with('.') && keep(&entry.path()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The split that a folder's or a table's name stands for; capitals do not matter.
pub(super) fn split_of(name: &str) -> Option<&'static str> {
    let name = match name.to_lowercase().as_str() {
        "train" | "training" => "train",
        "valid" | "val" | "validation" => "valid",
        "test" | "testing" => "test",
        _ => return None,
    };
    SPLITS.into_iter().find(|split| *split == name)
}

/// The folders of the splits in a folder.
///
/// # Errors
/// [`Error::File`] where two folders stand for one split, such as `val` and `valid`.
pub(super) fn split_folders(dir: &Path) -> Result<BTreeMap<&'static str, String>> {
    let mut splits = BTreeMap::new();
    for folder in folders_in(dir)? {
        let Some(split) = split_of(&folder) else { continue };
        if let Some(other) = splits.insert(split, folder.clone()) {
            return Err(Error::File {
                path: dir.into(),
                expected: format!("one folder for the {split} split"),
                found: format!("`{other}` and `{folder}`"),
                hint: "move one of them elsewhere, or their images into one folder".into(),
            });
        }
    }
    Ok(splits)
}

/// Text with each accent composed with its letter (NFC): two spellings of one name look alike and should be one name.
pub(super) fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// The text of a file without the byte-order mark that some editors put before it.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A table's path with `/` between its parts and without `.` and `..`.
pub(super) fn plain(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Where a file that a table names as `path`, a [`plain`] one, is: tables and disks may spell accents differently.
pub(super) fn spelled(dir: &Path, path: &str) -> PathBuf {
    let as_written = dir.join(path);
    if path.is_ascii() || as_written.exists() {
        return as_written;
    }
    let spellings = [composed(path), path.nfd().collect()];
    spellings.into_iter().map(|path| dir.join(path)).find(|path| path.exists()).unwrap_or(as_written)
}

/// A line's number and its columns.
pub(super) type Row = Result<(u64, csv::StringRecord)>;

/// The rows of a csv file with their line numbers; the first line is skipped if it is a header.
pub(super) fn rows(path: &Path, header: bool) -> Result<impl Iterator<Item = Row>> {
    let reader = csv::ReaderBuilder::new()
        .has_headers(header)
        .flexible(true)
        .from_path(path)
        .map_err(|error| csv_error(path, &error))?;
    let path = path.to_path_buf();
    Ok(reader.into_records().map(move |record| {
        let record = record.map_err(|error| csv_error(&path, &error))?;
        Ok((record.position().map_or(0, csv::Position::line), record))
    }))
}

/// A file that csv cannot read.
pub(super) fn csv_error(path: &Path, error: &csv::Error) -> Error {
    let expected = "a readable csv file in UTF-8".into();
    Error::File { path: path.into(), expected, found: error.to_string(), hint: "restore the file".into() }
}

/// Does a path lead out of the folder it is relative to?
pub(super) fn leaves(path: &Path) -> bool {
    let mut depth = 0;
    path.components().any(|component| {
        depth += match component {
            Component::Normal(_) => 1,
            Component::CurDir => 0,
            Component::ParentDir => -1,
            Component::RootDir | Component::Prefix(_) => return true,
        };
        depth < 0
    })
}
