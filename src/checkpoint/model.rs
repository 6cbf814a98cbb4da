//! Weights and metadata as safetensors.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::{Dtype, SafeTensors, View};
use serde_json::Value;

use super::meta::ModelMeta;
use crate::models::NetworkSpec;
use crate::nn::variables::Tensors;
use crate::{Error, Result};

/// The metadata key of [`ModelMeta`].
pub(super) const META: &str = "moue";
/// The metadata key of the training loop's state.
const STATE: &str = "moue_state";
/// The same as earlier versions wrote it.
const OLD_STATE: &str = "moue-state";
/// The end of a momentum's name.
const MOMENTUM: &str = ".momentum";
/// The end of the name of a parameter's average over the steps of a training.
const AVERAGE: &str = ".average";
/// The end of the name of batch norm's count of batches, which PyTorch saves and nothing here reads.
pub(super) const COUNTER: &str = "num_batches_tracked";

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
    /// The optimiser's momenta, `<name>.momentum`, each with its parameter's shape; with `--ema` also the parameters'
    /// averages, `<name>.average`.
    pub momenta: Tensors,
    /// The state of the training loop, as given to [`save_state`].
    pub state: Value,
}

impl Model {
    /// The network that the file describes.
    ///
    /// # Errors
    /// As [`ModelMeta::network`].
    pub fn network(&self) -> Result<NetworkSpec> {
        self.meta.network(&self.path)
    }

    /// Reads a model file from memory; `path` names it in errors. The momenta and state of a checkpoint are left out.
    ///
    /// # Errors
    /// [`Error::File`] for bytes that are no safetensors or cut short, without moue's metadata or class list, with a
    /// tensor that is no floating point or holds a value that is not finite.
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
    serialise(path, meta, tensors, Target::Moue)
}

/// The bytes of a model file with weights in 16-bit floating point, half the length; moue reads it as any other.
///
/// # Errors
/// As [`model_bytes`]; [`Error::NotFinite`] also for a value that 16 bits cannot hold.
pub fn half_bytes(path: &Path, meta: &ModelMeta, tensors: &Tensors) -> Result<Vec<u8>> {
    serialise(path, meta, tensors, Target::Half)
}

/// The bytes of a model file that PyTorch's `load_state_dict` takes with `strict=True`: batch norm's counters of batches
/// are there too, at 0.
///
/// # Errors
/// As [`model_bytes`].
pub fn torch_bytes(path: &Path, meta: &ModelMeta, tensors: &Tensors) -> Result<Vec<u8>> {
    serialise(path, meta, tensors, Target::Torch)
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
    serialise(path, meta, tensors, Target::Checkpoint(momenta, state))
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

/// The bytes of a model file or checkpoint with other words about itself; of its tensors no byte changes, nor their order
/// or types. `path` is for errors only.
///
/// # Errors
/// [`Error::File`] for metadata that make no sense, or bytes that are no model's.
#[cfg(feature = "cli")]
pub fn with_meta(path: &Path, bytes: &[u8], meta: &ModelMeta) -> Result<Vec<u8>> {
    meta.check(path)?;
    let wrong = |found: &str| Error::File {
        path: path.into(),
        expected: "a model that moue wrote".into(),
        found: found.into(),
        hint: FOREIGN.into(),
    };
    let length = header_length(bytes).ok_or_else(|| wrong("other bytes"))?;
    let (header, data) = bytes.get(8..).and_then(|rest| rest.split_at_checked(length)).ok_or_else(|| wrong("less"))?;
    let mut header: serde_json::Map<String, Value> =
        serde_json::from_slice(header).map_err(|error| wrong(&error.to_string()))?;
    let Some(Value::Object(metadata)) = header.get_mut("__metadata__") else { return Err(wrong("no metadata")) };
    metadata.insert(META.to_owned(), serde_json::json!(meta).to_string().into());
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &*header, data].concat())
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
enum Values<'a> {
    F32(&'a [usize], &'a [f32]),
    F16(&'a [usize], &'a [f32]),
    /// Batch norm's count of batches, which PyTorch asks for: none.
    Counter,
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(..) => Dtype::F32,
            Self::F16(..) => Dtype::F16,
            Self::Counter => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::F32(shape, _) | Self::F16(shape, _) => shape,
            Self::Counter => &[],
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::F32(_, values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16(_, values) => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
            Self::Counter => Cow::Borrowed(&[0; 8]),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::F32(_, values) => values.len() * 4,
            Self::F16(_, values) => values.len() * 2,
            Self::Counter => 8,
        }
    }
}

/// What a file is written for.
#[derive(Clone, Copy)]
enum Target<'a> {
    Moue,
    Checkpoint(&'a Tensors, &'a Value),
    Half,
    Torch,
}

fn serialise(path: &Path, meta: &ModelMeta, tensors: &Tensors, target: Target<'_>) -> Result<Vec<u8>> {
    let wrong = |expected: String, found: String| Error::File {
        path: path.into(),
        expected,
        found,
        hint: "nothing was written; this is a fault of the program that saves".into(),
    };
    meta.check(path)?;
    let mut all: BTreeMap<Cow<'_, str>, Values<'_>> = BTreeMap::new();
    let momenta = match target {
        Target::Checkpoint(momenta, _) => Some(momenta),
        _ => None,
    };
    let momenta = momenta.into_iter().flatten();
    for (is_momentum, (name, (shape, values))) in
        tensors.iter().map(|entry| (false, entry)).chain(momenta.map(|entry| (true, entry)))
    {
        if is_momentum != is_of_training(name) {
            let expected = format!("names that end in `{MOMENTUM}` or `{AVERAGE}` for a training's tensors only");
            return Err(wrong(expected, format!("`{name}`")));
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
        if let (Target::Half, Some(index)) =
            (target, values.iter().position(|value| f16::from_f32(*value).is_infinite()))
        {
            return Err(Error::NotFinite {
                what: format!("{} in 16 bits, to be saved to {},", values[index], path.display()),
                at: format!("`{name}`, element {index}"),
                hint: "16-bit floating point ends at 65504; export the model in 32 bits".into(),
            });
        }
        if let (Target::Torch, Some(norm)) = (target, name.strip_suffix("running_var")) {
            all.insert(format!("{norm}{COUNTER}").into(), Values::Counter);
        }
        let of = if matches!(target, Target::Half) { Values::F16 } else { Values::F32 };
        all.insert(name.into(), of(shape, values));
    }
    let unwritable = |error: serde_json::Error| wrong("metadata as JSON".into(), error.to_string());
    // `format: pt` is what PyTorch's own readers look for.
    let mut metadata = HashMap::from([
        ("format".to_owned(), "pt".to_owned()),
        (META.to_owned(), serde_json::to_string(meta).map_err(unwritable)?),
        ("architecture".to_owned(), meta.architecture.to_string()),
        ("classes".to_owned(), serde_json::json!(meta.classes).to_string()),
    ]);
    if let Target::Checkpoint(_, state) = target {
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

/// A safetensors file taken apart.
pub(super) struct Parts {
    /// The metadata, by key.
    pub(super) metadata: HashMap<String, String>,
    /// The tensors of floating-point elements.
    pub(super) tensors: Tensors,
    /// The types of all others.
    pub(super) others: BTreeMap<String, Dtype>,
}

/// Takes any safetensors file apart; 16-bit and 64-bit floating point become f32.
pub(super) fn parts(path: &Path, bytes: &[u8]) -> Result<Parts> {
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
        _ => wrong(
            "a safetensors file",
            format!("other bytes ({error})"),
            "give a model that moue wrote; `moue import` makes one of weights of other programs",
        ),
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let file = SafeTensors::deserialize(bytes).map_err(unreadable)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let (mut tensors, mut others) = (Tensors::new(), BTreeMap::new());
    for (name, view) in file.iter() {
        match super::element::to_f32(view.dtype(), view.data()) {
            Some(values) => drop(tensors.insert(name.to_owned(), (view.shape().to_vec(), values))),
            None => drop(others.insert(name.to_owned(), view.dtype())),
        }
    }
    require_finite(path, &tensors)?;
    Ok(Parts { metadata, tensors, others })
}

/// Refuses values that no training goes on from.
pub(super) fn require_finite(path: &Path, tensors: &Tensors) -> Result<()> {
    for (name, (_, values)) in tensors {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::File {
                path: path.into(),
                expected: "finite values".into(),
                found: format!("{} at element {index} of `{name}`", values[index]),
                hint: "use an earlier checkpoint".into(),
            });
        }
    }
    Ok(())
}

/// What a file says about the model in it, if moue wrote the file.
pub(super) fn meta_of(path: &Path, metadata: &HashMap<String, String>) -> Result<Option<ModelMeta>> {
    let Some(meta) = metadata.get(META) else { return Ok(None) };
    let meta: ModelMeta = serde_json::from_str(meta).map_err(|error| Error::File {
        path: path.into(),
        expected: "the metadata of a moue model, with its class list".into(),
        found: error.to_string(),
        hint: FOREIGN.into(),
    })?;
    meta.check(path)?;
    Ok(Some(meta))
}

/// Whether a tensor of a checkpoint belongs to the training, not to the network.
pub(super) fn is_of_training(name: &str) -> bool {
    name.ends_with(MOMENTUM) || name.ends_with(AVERAGE)
}

/// What to do with a file of another program.
const FOREIGN: &str = "train it with moue, convert it with `moue import`, or use a file that moue wrote";

/// The model, the momenta and the loop's state in a file.
fn read(path: &Path, bytes: &[u8]) -> Result<(Model, Tensors, Option<Value>)> {
    let wrong = |expected: String, found: String, hint: &str| Error::File {
        path: path.into(),
        expected,
        found,
        hint: hint.into(),
    };
    #[cfg(feature = "cli")]
    if super::torch::recognises(bytes) {
        let hint = format!("make one of it: `moue import {} --out MODEL.safetensors`", path.display());
        return Err(wrong("a model file of moue, a safetensors file".into(), "a checkpoint of PyTorch".into(), &hint));
    }
    let Parts { metadata, mut tensors, others } = parts(path, bytes)?;
    let Some(meta) = meta_of(path, &metadata)? else {
        let expected = "a model with the metadata key `moue` and a class list";
        return Err(wrong(expected.into(), "neither".into(), FOREIGN));
    };
    // Batch norm's counters are there for PyTorch alone.
    if let Some((name, dtype)) = others.iter().find(|(name, _)| !name.ends_with(COUNTER)) {
        let expected = format!("`{name}` in F32 or another floating point");
        return Err(wrong(expected, dtype.to_string(), "convert the file to 32-bit floating point"));
    }
    let state =
        metadata.get(STATE).or_else(|| metadata.get(OLD_STATE)).map(|state| serde_json::from_str(state)).transpose();
    let state = state.map_err(|error| {
        wrong("the state of a training as JSON".into(), error.to_string(), "use another checkpoint")
    })?;
    let names: Vec<_> = tensors.keys().filter(|name| is_of_training(name)).cloned().collect();
    let momenta = names.into_iter().filter_map(|name| tensors.remove_entry(&name)).collect();
    Ok((Model { path: path.into(), meta, tensors }, momenta, state))
}
