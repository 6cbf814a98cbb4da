//! Weights and metadata as safetensors.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, View};
use serde_json::Value;

use super::meta::ModelMeta;
use crate::nn::variables::Tensors;
use crate::{Error, Result};

/// The metadata key of [`ModelMeta`].
pub(super) const META: &str = "moue";
/// The metadata key of the training loop's state.
const STATE: &str = "moue-state";
/// The end of a momentum's name.
pub(super) const MOMENTUM: &str = ".momentum";

/// A model as read from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The file, for messages.
    pub path: PathBuf,
    /// What the file says about the model.
    pub meta: ModelMeta,
    /// The weights and running statistics by PyTorch's names: shape and row-major values, all finite.
    pub tensors: Tensors,
}

/// A training as read from a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingState {
    /// The model as it was.
    pub model: Model,
    /// The optimiser's momenta, `<name>.momentum`, each with its parameter's shape.
    pub momenta: Tensors,
    /// The state of the training loop, as given to [`save_state`].
    pub state: Value,
}

impl Model {
    /// Reads a model file from memory; `path` names it in errors. The momenta and state of a checkpoint are left out.
    ///
    /// # Errors
    /// [`Error::File`] for bytes that are no safetensors or cut short, without moue's metadata or class list, with a
    /// tensor that is not f32 or holds a value that is not finite.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        Ok(read(path, bytes)?.0)
    }

    /// Checks that the file holds exactly the tensors `expected` (name, shape).
    ///
    /// # Errors
    /// [`Error::File`] that names the first tensor that is missing, has another shape or belongs to another network.
    pub fn require_tensors<'a>(&self, expected: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<()> {
        let wrong = |expected: String, found: String| {
            Err(Error::File {
                path: self.path.clone(),
                expected,
                found,
                hint: format!("the file says it is {}: use a file of the network asked for", self.meta.architecture),
            })
        };
        let mut names = std::collections::BTreeSet::new();
        for (name, shape) in expected {
            match self.tensors.get(name) {
                None => return wrong(format!("a tensor `{name}` {shape:?}"), "none of that name".into()),
                Some((found, _)) if found != shape => {
                    return wrong(format!("`{name}` of shape {shape:?}"), format!("{found:?}"));
                }
                Some(_) => names.insert(name),
            };
        }
        match self.tensors.iter().find(|(name, _)| !names.contains(name.as_str())) {
            Some((name, (shape, _))) => {
                wrong(format!("the {} tensors of the network", names.len()), format!("also `{name}` {shape:?}"))
            }
            None => Ok(()),
        }
    }
}

/// The bytes of a model file.
///
/// # Errors
/// As [`save_model`], but for the disk.
pub fn model_bytes(path: &Path, meta: &ModelMeta, tensors: &Tensors) -> Result<Vec<u8>> {
    serialise(path, meta, tensors, None)
}

/// The bytes of a checkpoint.
///
/// # Errors
/// As [`save_state`], but for the disk.
pub fn state_bytes(
    path: &Path,
    meta: &ModelMeta,
    tensors: &Tensors,
    momenta: &Tensors,
    state: &Value,
) -> Result<Vec<u8>> {
    serialise(path, meta, tensors, Some((momenta, state)))
}

/// Writes a model file, whole or not at all.
///
/// # Errors
/// [`Error::NotFinite`] for a NaN or an infinity in a tensor, [`Error::File`] for metadata without classes or a tensor
/// whose values do not fill its shape, [`Error::Io`] when the disk refuses; what was at `path` is then still there.
#[cfg(feature = "cli")]
pub fn save_model(path: &Path, meta: &ModelMeta, tensors: &Tensors) -> Result<()> {
    let bytes = model_bytes(path, meta, tensors)?;
    super::write_atomic(path, "writing the model", |writer| writer.write_all(&bytes))
}

/// Writes a checkpoint, whole or not at all: the model, the momenta (names ending in `.momentum`) and the loop's state.
///
/// # Errors
/// As [`save_model`].
#[cfg(feature = "cli")]
pub fn save_state(path: &Path, meta: &ModelMeta, tensors: &Tensors, momenta: &Tensors, state: &Value) -> Result<()> {
    let bytes = state_bytes(path, meta, tensors, momenta, state)?;
    super::write_atomic(path, "writing the checkpoint", |writer| writer.write_all(&bytes))
}

/// Reads a model file, or the model in a checkpoint.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; as [`Model::from_bytes`] for what is in it.
#[cfg(feature = "cli")]
pub fn load_model(path: &Path) -> Result<Model> {
    Model::from_bytes(path, &bytes_of(path)?)
}

/// Reads a checkpoint.
///
/// # Errors
/// As [`load_model`]; [`Error::File`] for a model file without a training state.
#[cfg(feature = "cli")]
pub fn load_state(path: &Path) -> Result<TrainingState> {
    match read(path, &bytes_of(path)?)? {
        (model, momenta, Some(state)) => Ok(TrainingState { model, momenta, state }),
        _ => Err(Error::File {
            path: path.into(),
            expected: "a checkpoint with the state of a training".into(),
            found: "a finished model without one".into(),
            hint: "give a run's checkpoints/last.safetensors".into(),
        }),
    }
}

#[cfg(feature = "cli")]
fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|source| Error::io(path, "reading the model", source, "check the path and its permissions"))
}

/// A tensor on its way into a file.
struct Values<'a>(&'a [usize], &'a [f32]);

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.1.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }

    fn data_len(&self) -> usize {
        self.1.len() * 4
    }
}

fn serialise(path: &Path, meta: &ModelMeta, tensors: &Tensors, state: Option<(&Tensors, &Value)>) -> Result<Vec<u8>> {
    let wrong = |expected: String, found: String| Error::File {
        path: path.into(),
        expected,
        found,
        hint: "nothing was written; this is a fault of the program that saves".into(),
    };
    meta.check(path)?;
    let mut all: BTreeMap<&str, Values<'_>> = BTreeMap::new();
    let momenta = state.iter().flat_map(|(momenta, _)| momenta.iter());
    for (is_momentum, (name, (shape, values))) in
        tensors.iter().map(|entry| (false, entry)).chain(momenta.map(|entry| (true, entry)))
    {
        if is_momentum != name.ends_with(MOMENTUM) {
            return Err(wrong(format!("names that end in `{MOMENTUM}` for momenta only"), format!("`{name}`")));
        }
        if shape.iter().product::<usize>() != values.len() {
            return Err(wrong(format!("values for `{name}` {shape:?}"), format!("{} of them", values.len())));
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite {
                what: format!("{} to be saved to {}", values[index], path.display()),
                at: format!("`{name}`, element {index}"),
                hint: "nothing was written; the last good checkpoint is unchanged, a lower learning rate may help"
                    .into(),
            });
        }
        all.insert(name, Values(shape, values));
    }
    let unwritable = |error: serde_json::Error| wrong("metadata as JSON".into(), error.to_string());
    // `format: pt` is what PyTorch's own readers look for.
    let mut metadata = HashMap::from([
        ("format".to_owned(), "pt".to_owned()),
        (META.to_owned(), serde_json::to_string(meta).map_err(unwritable)?),
        ("architecture".to_owned(), meta.architecture.to_string()),
        ("classes".to_owned(), serde_json::json!(meta.classes).to_string()),
    ]);
    if let Some((_, state)) = state {
        metadata.insert(STATE.to_owned(), state.to_string());
    }
    let mut bytes = safetensors::serialize(all, Some(metadata))
        .map_err(|error| wrong("tensors that fit safetensors".into(), error.to_string()))?;
    sort_metadata(&mut bytes);
    Ok(bytes)
}

/// Puts the metadata's keys in order: they come from a hash map, in another order each time.
fn sort_metadata(bytes: &mut [u8]) {
    let header = 8..8 + header_length(bytes).expect("invariant: safetensors writes a header");
    let mut json: serde_json::Map<String, Value> =
        serde_json::from_slice(&bytes[header.clone()]).expect("invariant: safetensors writes JSON");
    if let Some(Value::Object(metadata)) = json.get_mut("__metadata__") {
        metadata.sort_keys();
    }
    let mut sorted = Value::Object(json).to_string().into_bytes();
    assert!(sorted.len() <= header.len(), "invariant: the same entries in another order take the same room");
    sorted.resize(header.len(), b' ');
    bytes[header].copy_from_slice(&sorted);
}

/// The length that the first eight bytes give the header, if it is believable.
fn header_length(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    usize::try_from(length).ok().filter(|length| (2..=100_000_000).contains(length))
}

/// The length of the whole file according to its header.
fn whole_length(bytes: &[u8]) -> Option<u64> {
    let header = header_length(bytes)?;
    let Some(json) = bytes.get(8..8 + header) else {
        // Cut within the header; a foreign file would hardly have `{` right behind a believable length.
        return (bytes.get(8) == Some(&b'{')).then_some(8 + header as u64 + 1);
    };
    let entries: serde_json::Map<String, Value> = serde_json::from_slice(json).ok()?;
    let ends = entries.values().filter_map(|entry| entry.get("data_offsets")?.get(1)?.as_u64());
    Some(8 + header as u64 + ends.max().unwrap_or(0))
}

/// The model, the momenta and the loop's state in a file.
fn read(path: &Path, bytes: &[u8]) -> Result<(Model, Tensors, Option<Value>)> {
    let wrong = |expected: &str, found: String, hint: &str| Error::File {
        path: path.into(),
        expected: expected.into(),
        found,
        hint: hint.into(),
    };
    let unreadable = |error: safetensors::SafeTensorError| match whole_length(bytes) {
        Some(length) if length > bytes.len() as u64 => wrong(
            &format!("at least {length} bytes, as its header says"),
            format!("{} bytes", bytes.len()),
            "the file is cut short: copy it again, or use the run's other checkpoint",
        ),
        _ => wrong("a safetensors file", format!("other bytes ({error})"), "give a model that moue wrote"),
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let file = SafeTensors::deserialize(bytes).map_err(unreadable)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let foreign = "train it with moue, or use a file that moue wrote";
    let Some(meta) = metadata.get(META) else {
        return Err(wrong("a model with the metadata key `moue` and a class list", "neither".into(), foreign));
    };
    let meta: ModelMeta = serde_json::from_str(meta)
        .map_err(|error| wrong("the metadata of a moue model, with its class list", error.to_string(), foreign))?;
    meta.check(path)?;
    let state = metadata
        .get(STATE)
        .map(|state| serde_json::from_str(state))
        .transpose()
        .map_err(|error| wrong("the state of a training as JSON", error.to_string(), "use another checkpoint"))?;
    let (mut tensors, mut momenta) = (Tensors::new(), Tensors::new());
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(wrong(
                &format!("`{name}` in F32"),
                format!("{}", view.dtype()),
                "convert the file to 32-bit floating point",
            ));
        }
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("invariant: four bytes")))
            .collect();
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("{} at element {index} of `{name}`", values[index]);
            return Err(wrong("finite values", found, "use an earlier checkpoint"));
        }
        let group = if name.ends_with(MOMENTUM) { &mut momenta } else { &mut tensors };
        group.insert(name.to_owned(), (view.shape().to_vec(), values));
    }
    Ok((Model { path: path.into(), meta, tensors }, momenta, state))
}
