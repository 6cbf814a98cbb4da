//! The zip format of `torch.save` (PyTorch 1.6 and later): `NAME/data.pkl` and the storages `NAME/data/KEY`.

use std::io::{Cursor, Read};
use std::path::Path;

use zip::{ZipArchive, result::ZipError};

use super::wrong;
use crate::{Error, Result};

/// The first bytes of a zip archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// An open archive.
pub(super) struct Archive<'b> {
    path: &'b Path,
    zip: ZipArchive<Cursor<&'b [u8]>>,
    /// The length of the file: no part is longer, since none is compressed.
    length: u64,
    /// The folder within the archive, with its `/`.
    folder: String,
}

impl<'b> Archive<'b> {
    /// Reads the list of parts.
    ///
    /// # Errors
    /// [`Error::File`] where there is none, or no `data.pkl` in it.
    pub(super) fn open(path: &'b Path, bytes: &'b [u8]) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
            wrong(path, "a whole zip archive", format!("{} bytes without its list of parts ({error})", bytes.len()))
        })?;
        let names = zip.file_names().filter_map(std::result::Result::ok);
        let folder = names.filter_map(|name| name.strip_suffix("data.pkl").map(str::to_owned)).min();
        let Some(folder) = folder.filter(|folder| folder.is_empty() || folder.ends_with('/')) else {
            return Err(wrong(path, "a checkpoint of torch.save with a `data.pkl`", "another zip archive"));
        };
        let mut archive = Self { path, zip, length: bytes.len() as u64, folder };
        let order = archive.part("byteorder")?.unwrap_or_else(|| b"little".to_vec());
        if order != b"little" {
            return Err(wrong(path, "little-endian storages", format!("`{}`", String::from_utf8_lossy(&order))));
        }
        Ok(archive)
    }

    /// The bytes of the pickle.
    pub(super) fn pickle(&mut self) -> Result<Vec<u8>> {
        self.part("data.pkl").map(|bytes| bytes.expect("invariant: `open` found it"))
    }

    /// The bytes of a storage.
    ///
    /// # Errors
    /// [`Error::File`] where it is missing or damaged.
    pub(super) fn storage(&mut self, key: &str) -> Result<Vec<u8>> {
        let name = format!("data/{key}");
        self.part(&name)?.ok_or_else(|| wrong(self.path, format!("a part `{}{name}`", self.folder), "none"))
    }

    /// The bytes of a part, checked against its checksum.
    fn part(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let name = format!("{}{name}", self.folder);
        let damaged = |what: String| -> Error { wrong(self.path, format!("a readable part `{name}`"), what) };
        let part = match self.zip.by_name(&name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let size = part.size();
        if size > self.length {
            return Err(damaged(format!("a length of {size} bytes in a file of {}", self.length)));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        part.take(self.length + 1).read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(bytes))
    }
}
