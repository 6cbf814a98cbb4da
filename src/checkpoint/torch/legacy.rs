//! The format of `torch.save` before PyTorch 1.6: five pickles (a magic number, a version, the writer's system, the
//! objects, the keys of the storages), then each storage in the order of the keys: its number of elements and its bytes.

use std::collections::HashMap;
use std::path::Path;

use super::{
    pickle::{Pickle, Value},
    wrong,
};
use crate::Result;

/// The magic number, a ten-byte integer.
const MAGIC: &[u8] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Whether a file begins with a pickle of the magic number, whatever its protocol.
pub(super) fn recognises(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(32)];
    head.first() == Some(&0x80) && head.windows(MAGIC.len()).any(|window| window == MAGIC)
}

/// The version that all such files have.
const VERSION: i64 = 1001;

/// The objects, and the bytes of each storage by its key.
///
/// # Errors
/// [`crate::Error::File`] for a file that is cut short, of another version or byte order.
pub(super) fn read<'b>(path: &Path, bytes: &'b [u8]) -> Result<(Pickle, HashMap<String, &'b [u8]>)> {
    let mut rest = bytes;
    let mut next = || -> Result<Pickle> {
        let (pickle, length) = Pickle::run(path, rest)?;
        rest = &rest[length..];
        Ok(pickle)
    };
    next()?;
    let version = next()?;
    if !matches!(version.value(version.root), Value::Int(VERSION)) {
        return Err(wrong(path, format!("the legacy format, version {VERSION}"), version.value(version.root).kind()));
    }
    let system = next()?;
    if let Value::Dict(entries) = system.value(system.root) {
        let little = entries.iter().find(|(key, _)| system.text(*key) == Some("little_endian"));
        if little.is_some_and(|(_, value)| matches!(system.value(*value), Value::Bool(false))) {
            return Err(wrong(path, "little-endian storages", "big-endian ones"));
        }
    }
    let (objects, keys) = (next()?, next()?);
    let Value::List(list) = keys.value(keys.root) else {
        return Err(wrong(path, "the list of storages", keys.value(keys.root).kind()));
    };
    let sizes: HashMap<&str, u64> =
        objects.storages.iter().map(|storage| (storage.key.as_str(), storage.dtype.bitsize() as u64 / 8)).collect();
    let mut storages = HashMap::new();
    for &id in list {
        let key = keys.text(id).ok_or_else(|| wrong(path, "keys of storages", keys.value(id).kind()))?;
        let size = sizes.get(key).ok_or_else(|| wrong(path, "storages that tensors use", format!("key `{key}`")))?;
        let cut = || wrong(path, format!("the storage `{key}`"), "the end of the file: it is cut short");
        let (count, behind) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = u64::from_le_bytes(*count).checked_mul(*size).and_then(|length| usize::try_from(length).ok());
        let (storage, behind) = length.and_then(|length| behind.split_at_checked(length)).ok_or_else(cut)?;
        storages.insert(key.to_owned(), storage);
        rest = behind;
    }
    Ok((objects, storages))
}
