//! The authors' annotations: tables beside whole photographs.

use std::path::Path;

use super::{Listing, affect, class_of};
use crate::data::Dropped;
use crate::data::decode::{Face, Pending};
use crate::data::files::{csv_error, leaves, plain, spelled};
use crate::{Error, Result};

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
pub(super) fn annotated(table: &Path, images: &Path) -> Result<Listing> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_path(table)
        .map_err(|error| csv_error(table, &error))?;
    let mut listing = Listing::default();
    let mut places: [usize; COLUMNS.len()] = std::array::from_fn(|at| at);
    let mut arousal_at = Some(COLUMNS.len());
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
            arousal_at = record.iter().position(|column| column.trim() == "arousal");
            continue;
        }
        let column = |at: usize| record.get(places[at]).unwrap_or_default().trim();
        let file = column(0);
        if file.is_empty() {
            return Err(wrong("the columns subDirectory_filePath to expression", file, "restore the file"));
        }
        if leaves(Path::new(&file.replace('\\', "/"))) {
            return Err(wrong("paths that stay inside the folder", file, "restore the file from its authors"));
        }
        let Some(class) = column(6).parse().ok().and_then(class_of) else {
            return Err(wrong("an expression from 0 to 10", column(6), "restore the file from its authors"));
        };
        let id = plain(file);
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
                let arousal = arousal_at.and_then(|at| record.get(at));
                listing.pending.push(Pending {
                    face: Some(face),
                    valence: affect(column(7), 1.0),
                    arousal: affect(arousal.unwrap_or_default(), 1.0),
                    ..Pending::new(id.clone(), spelled(images, &id), label)
                });
            }
        }
    }
    Ok(listing)
}
