//! Looking into folders and tables of a data set, and saying what was found there.

use std::path::{Component, Path};

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
