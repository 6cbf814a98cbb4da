//! The tensors of any file that holds weights: moue's, other safetensors, PyTorch's two formats.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{ModelMeta, model, torch};
use crate::nn::variables::Tensors;
use crate::{Error, Result};

/// The tensors of one file under the names that they have there.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The file, for messages.
    pub path: PathBuf,
    /// What the file says about its model, if moue wrote it.
    pub meta: Option<ModelMeta>,
    /// The tensors of floating-point elements, in f32: shape and row-major values, all finite.
    pub tensors: Tensors,
    /// The element types of all other tensors.
    pub others: BTreeMap<String, String>,
}

impl Weights {
    /// Reads a file of weights; momenta are left out. Nothing in a file is ever executed.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; as [`Weights::from_bytes`] for what is in it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|source| Error::io(path, "reading the weights", source, "check the path and its permissions"))?;
        Self::from_bytes(path, &bytes)
    }

    /// The same from memory; `path` names the file in errors.
    ///
    /// # Errors
    /// [`Error::File`] for bytes that are neither safetensors nor a checkpoint of PyTorch, are cut short or damaged, hold
    /// a value that is not finite, or a pickle that asks for anything but tensors.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        if torch::recognises(bytes) {
            let torch::Checkpoint { tensors, others } = torch::read(path, bytes)?;
            model::require_finite(path, &tensors)?;
            return Ok(Self { path: path.into(), meta: None, tensors, others: named(others) });
        }
        if bytes.first() == Some(&0x80) || bytes.get(8) != Some(&b'{') {
            return Err(Error::File {
                path: path.into(),
                expected: "weights: safetensors, or a checkpoint of torch.save in its zip or legacy format".into(),
                found: "neither".into(),
                hint: "in Python, save the model's state_dict() with torch.save or safetensors".into(),
            });
        }
        let model::Parts { metadata, mut tensors, others } = model::parts(path, bytes)?;
        let meta = model::meta_of(path, &metadata)?;
        tensors.retain(|name, _| !model::is_of_training(name));
        Ok(Self { path: path.into(), meta, tensors, others: named(others) })
    }
}

fn named(others: BTreeMap<String, safetensors::Dtype>) -> BTreeMap<String, String> {
    others.into_iter().map(|(name, dtype)| (name, dtype.to_string())).collect()
}
