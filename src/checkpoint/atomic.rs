//! Files that appear whole or not at all, and their hashes.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Writes a file so that a reader finds either the old content or the whole new one, whatever fails on the way.
///
/// `contents` writes into a temporary file in the same folder; that file is flushed to the disk, renamed over `path`, and
/// the folder is flushed as well. `doing` names the work in an error, such as `writing the checkpoint`.
///
/// # Errors
/// [`Error::Io`] when any of this fails (a full disk, a missing folder, no permission): the temporary file is removed and
/// whatever was at `path` is still there.
pub fn write_atomic(
    path: &Path,
    doing: &'static str,
    contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    replace(path, contents).map_err(|source| Error::io(path, doing, source, hint(path)))
}

/// The temporary files that are being written.
static PARTIAL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// An entry of [`PARTIAL`], while the file is written.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        PARTIAL.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.0);
    }
}

/// Removes the temporary files that are being written, then calls `end`, which ends the process: no other can begin
/// meanwhile.
pub fn discard_partial_files(end: impl FnOnce()) {
    let partial = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
    for path in partial.iter() {
        // It may have just become the file that it was to be.
        let _ = std::fs::remove_file(path);
    }
    end();
}

fn replace(path: &Path, contents: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".moue-").suffix(".partial");
    #[cfg(unix)]
    {
        // A temporary file is private by default; a result is as readable as the user's other files (the umask applies).
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let (mut file, _partial) = {
        let mut partial = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let file = builder.tempfile_in(folder)?;
        partial.push(file.path().to_owned());
        let entry = Partial(file.path().to_owned());
        (file, entry)
    };
    {
        let mut writer = BufWriter::with_capacity(1 << 20, file.as_file_mut());
        contents(&mut writer)?;
        writer.flush()?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename itself is on the disk only once the folder is; Windows cannot open folders and needs no such step.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn hint(path: &Path) -> String {
    let kept = if path.exists() { "the file that was there is unchanged" } else { "no partial file was left" };
    format!("free space on the disk or check the folder's permissions; {kept}")
}

/// The SHA-256 of a file, as 64 lower-case hexadecimal digits.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub fn file_hash(path: &Path) -> Result<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut block = vec![0; 1 << 16];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(hex(&hasher.finalize())),
                count => hasher.update(&block[..count]),
            }
        }
    };
    read().map_err(|source| Error::io(path, "hashing the file", source, "check that it exists and can be read"))
}

/// The SHA-256 of some bytes, as 64 lower-case hexadecimal digits.
#[must_use]
pub fn bytes_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
