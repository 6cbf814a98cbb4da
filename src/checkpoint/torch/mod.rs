//! Checkpoints of `torch.save`, read without executing anything.
//!
//! A checkpoint is a pickle that describes objects, and storages: runs of elements that tensors are views of. Since
//! PyTorch 1.6 both lie in a zip archive ([`archive`]), before that one behind the other ([`legacy`]). The pickle is run
//! by a machine of our own ([`pickle`]) that knows a few opcodes and globals, builds plain values and refuses the rest.

mod archive;
mod globals;
mod legacy;
mod objects;
mod pickle;
mod tensor;

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;

use crate::nn::variables::Tensors;
use crate::{Error, Result};
use pickle::{Pickle, Value};
use tensor::Layout;

/// What a checkpoint holds.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The tensors of floating-point elements, by the checkpoint's own names.
    pub(super) tensors: Tensors,
    /// The types of all other tensors.
    pub(super) others: BTreeMap<String, Dtype>,
}

/// The names under which a checkpoint may keep the state dict beside other things.
const NESTED: [&str; 6] = ["state_dict", "model_state_dict", "model_state", "model", "net", "network"];

/// How many dictionaries lie in each other at most.
const MAX_NESTING: usize = 4;

/// Whether a file begins as one of the two formats does.
pub(super) fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(archive::MAGIC) || legacy::recognises(bytes)
}

/// Reads a checkpoint of either format.
///
/// # Errors
/// [`Error::File`] for a file that is cut short, damaged, asks for a global that is not allowed, or holds no state dict.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Checkpoint> {
    if bytes.starts_with(archive::MAGIC) {
        let mut archive = archive::Archive::open(path, bytes)?;
        let pickle = Pickle::run(path, &archive.pickle()?)?.0;
        collect(path, bytes, &pickle, |storage| archive.storage(&storage.key))
    } else {
        let (pickle, storages) = legacy::read(path, bytes)?;
        collect(path, bytes, &pickle, |storage| match storages.get(&storage.key) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(wrong(path, "every storage that its tensors name", format!("none of key `{}`", storage.key))),
        })
    }
}

/// A file that is not as it should be.
fn wrong(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::File {
        path: path.into(),
        expected: expected.into(),
        found: found.into(),
        hint: "the file is damaged or of another program: copy it again, or save its state_dict with torch.save".into(),
    }
}

/// Takes the tensors of the state dict out of their storages.
fn collect(
    path: &Path,
    file: &[u8],
    pickle: &Pickle,
    mut load: impl FnMut(&pickle::Storage) -> Result<Vec<u8>>,
) -> Result<Checkpoint> {
    let named = state_dict(path, pickle)?;
    // Both sums bound what is read into memory by the length of the file, whatever its pickle claims.
    let (mut elements, limit) = (0_u64, file.len() as u64);
    let mut by_storage: BTreeMap<usize, Vec<(&str, Layout)>> = BTreeMap::new();
    for &(name, tensor) in &named {
        let storage = &pickle.storages[tensor.storage];
        let layout = Layout::check(path, name, tensor, storage.elements)?;
        elements = elements.saturating_add(layout.elements as u64);
        by_storage.entry(tensor.storage).or_default().push((name, layout));
    }
    let stored = by_storage.keys().map(|id| pickle.storages[*id].bytes()).fold(0, u64::saturating_add);
    if elements > limit || stored > limit {
        let found = format!("{} tensors of {elements} elements in {stored} bytes", named.len());
        return Err(wrong(path, format!("tensors that fit the file's {limit} bytes"), found));
    }
    let mut checkpoint = Checkpoint { tensors: Tensors::new(), others: BTreeMap::new() };
    for (id, tensors) in by_storage {
        let storage = &pickle.storages[id];
        let bytes = load(storage)?;
        if bytes.len() as u64 != storage.bytes() {
            let expected = format!("{} bytes in the storage `{}`", storage.bytes(), storage.key);
            return Err(wrong(path, expected, bytes.len().to_string()));
        }
        match super::element::to_f32(storage.dtype, &bytes) {
            Some(values) => {
                for (name, layout) in tensors {
                    checkpoint.tensors.insert(name.to_owned(), (layout.shape.clone(), layout.gather(&values)));
                }
            }
            None => checkpoint.others.extend(tensors.iter().map(|(name, _)| ((*name).to_owned(), storage.dtype))),
        }
    }
    Ok(checkpoint)
}

/// The entries of the state dict that are tensors: the outermost dictionary, or the one that it keeps under a usual name.
fn state_dict<'p>(path: &Path, pickle: &'p Pickle) -> Result<Vec<(&'p str, &'p pickle::Tensor)>> {
    let mut at = pickle.root;
    for _ in 0..MAX_NESTING {
        let Value::Dict(entries) = pickle.value(at) else {
            return Err(wrong(path, "a state_dict", pickle.value(at).kind()));
        };
        let named = || entries.iter().filter_map(|(key, value)| Some((pickle.text(*key)?, *value)));
        let nested =
            named().find(|(key, value)| NESTED.contains(key) && matches!(pickle.value(*value), Value::Dict(_)));
        if let Some((_, inner)) = nested {
            at = inner;
            continue;
        }
        let tensors: Vec<_> = named().filter_map(|(key, id)| Some((key, pickle.tensor(id)?))).collect();
        if tensors.is_empty() {
            let keys: Vec<_> = named().take(8).map(|(key, _)| format!("`{key}`")).collect();
            let found = if keys.is_empty() { "no names".into() } else { keys.join(", ") };
            return Err(wrong(path, "a state_dict with tensors", found));
        }
        return Ok(tensors);
    }
    Err(wrong(path, format!("a state_dict in at most {MAX_NESTING} dictionaries"), "more of them"))
}
