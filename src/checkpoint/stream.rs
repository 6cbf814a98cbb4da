//! Reading a model file while it arrives.

use std::collections::HashMap;
use std::path::Path;

use half::f16;
use safetensors::{Dtype, tensor::Metadata};

use super::{
    ModelMeta,
    meta::branch_of,
    model::{META, is_of_training},
};
use crate::{
    Error, Result,
    graph::Graph,
    nn::{Mode, variables},
};

/// Longer headers are no model's: 16 branches have 0.2 MB.
const LONGEST_HEADER: usize = 4 << 20;

/// The largest network that is taken from a stream: beyond, no browser has the memory, and 32 bits do not count it.
const WIDEST: f64 = 4.0;
const LARGEST: usize = 1024;
const MOST_CLASSES: usize = 1000;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It is no model of moue.
    #[error(transparent)]
    Foreign(Error),
    /// Its tensors are not those of the network that it names, or hold values that are not finite.
    #[error(transparent)]
    Mismatch(Error),
    /// It ended too early.
    #[error(transparent)]
    Truncated(Error),
}

/// How much of a model is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The branches that can be used: they and all before them are whole. Those of a MA-Net come together.
    pub branches: usize,
    /// The branches of the model, once its header is there.
    pub total_branches: Option<usize>,
    /// The bytes of the file, once its header is there.
    pub total_bytes: Option<u64>,
}

/// A model file of which the beginning is there: any that moue writes, but only one from
/// [`write_streamed`](super::write_streamed) can be used before its end.
///
/// ```
/// # use moue::checkpoint::ModelStream;
/// let mut stream = ModelStream::new();
/// assert!(stream.push(b"GIF89a and so on").is_err());
/// ```
#[derive(Debug, Default)]
pub struct ModelStream {
    bytes: Vec<u8>,
    header: Option<Header>,
    /// Tensors, by their ends, whose values were looked at.
    looked_at: usize,
    refused: bool,
}

#[derive(Debug)]
struct Header {
    meta: ModelMeta,
    tensors: HashMap<String, Tensor>,
    /// The tensors' names by their ends.
    order: Vec<String>,
    /// Where the base ends, and each branch with all before it, in bytes of the file.
    ends: Vec<usize>,
    total: usize,
}

#[derive(Debug)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    begin: usize,
    end: usize,
}

type Checked<T> = std::result::Result<T, StreamError>;

fn refused(expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::File {
        path: "the model".into(),
        expected: expected.into(),
        found: found.into(),
        hint: "use a file from `moue export --web`".into(),
    }
}

fn foreign<T>(expected: impl Into<String>, found: impl Into<String>) -> Checked<T> {
    Err(StreamError::Foreign(refused(expected, found)))
}

fn mismatch<T>(expected: impl Into<String>, found: impl Into<String>) -> Checked<T> {
    Err(StreamError::Mismatch(refused(expected, found)))
}

impl ModelStream {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`StreamError::Foreign`] for a file that is no model, [`StreamError::Mismatch`] for a model whose tensors do not
    /// make up its network; then all that follow are refused too.
    pub fn push(&mut self, bytes: &[u8]) -> Checked<()> {
        if self.refused {
            return foreign("a new file", "more of one that was refused");
        }
        let taken = self.take(bytes);
        self.refused = taken.is_err();
        taken
    }

    fn take(&mut self, bytes: &[u8]) -> Checked<()> {
        if self.bytes.try_reserve(bytes.len()).is_err() {
            return mismatch("a model that fits the memory", format!("{} bytes", self.bytes.len() + bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
        if self.header.is_none() {
            self.header = read_header(&self.bytes)?;
            if let Some(header) = &self.header {
                let rest = header.total.saturating_sub(self.bytes.len());
                if self.bytes.try_reserve_exact(rest).is_err() {
                    return mismatch("a model that fits the memory", format!("{} bytes", header.total));
                }
            }
        }
        let Some(header) = &self.header else { return Ok(()) };
        if self.bytes.len() > header.total {
            return foreign(format!("{} bytes, as the header says", header.total), "more");
        }
        for name in &header.order[self.looked_at..] {
            let tensor = &header.tensors[name];
            if tensor.end > self.bytes.len() {
                break;
            }
            self.looked_at += 1;
            if let Some(at) = tensor.values(&self.bytes).position(|value| !value.is_finite()) {
                return mismatch("finite values", format!("another at element {at} of `{name}`"));
            }
        }
        Ok(())
    }

    /// Says that there are no more bytes.
    ///
    /// # Errors
    /// [`StreamError::Truncated`] where there should be, and as [`ModelStream::push`].
    pub fn finish(&self) -> Checked<()> {
        if self.refused {
            return foreign("a model", "a file that was refused");
        }
        let expected = match &self.header {
            Some(header) if header.total == self.bytes.len() => return Ok(()),
            Some(header) => format!("{} bytes", header.total),
            None => "a header".to_owned(),
        };
        let found = format!("the end after {} bytes", self.bytes.len());
        let hint = "the file is cut short: load it again".to_owned();
        Err(StreamError::Truncated(Error::File { path: "the model".into(), expected, found, hint }))
    }

    /// What is there.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let Some(header) = &self.header else { return Progress::default() };
        let whole = header.ends.iter().take_while(|end| **end <= self.bytes.len()).count();
        Progress {
            branches: if self.refused { 0 } else { whole.saturating_sub(1) },
            total_branches: Some(header.ends.len() - 1),
            total_bytes: Some(header.total as u64),
        }
    }

    /// What the file says about the model, once its header is there.
    #[must_use]
    pub fn meta(&self) -> Option<&ModelMeta> {
        self.header.as_ref().map(|header| &header.meta)
    }

    /// The number of trained values, once the header is there.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let trained = |(name, tensor): (&String, &Tensor)| {
            let count: usize = tensor.shape.iter().product();
            if name.contains("running_") { 0 } else { count }
        };
        self.header.iter().flat_map(|header| &header.tensors).map(trained).sum()
    }
}

impl variables::Source for ModelStream {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        let tensor = self.header.as_ref()?.tensors.get(name)?;
        (tensor.end <= self.bytes.len()).then_some(&*tensor.shape)
    }

    fn append(&self, name: &str, values: &mut Vec<f32>) {
        let tensor = self.header.as_ref().and_then(|header| header.tensors.get(name));
        if let Some(tensor) = tensor.filter(|tensor| tensor.end <= self.bytes.len()) {
            values.extend(tensor.values(&self.bytes));
        }
    }
}

impl Tensor {
    fn values<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = f32> + use<'a> {
        let bytes = &bytes[self.begin..self.end];
        let (halves, singles) = if self.dtype == Dtype::F16 { (bytes, &[][..]) } else { (&[][..], bytes) };
        let halves = halves.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32());
        halves.chain(singles.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)))
    }
}

/// The header, if it is there.
fn read_header(bytes: &[u8]) -> Checked<Option<Header>> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST_HEADER || rest.first().is_some_and(|first| *first != b'{') {
        return foreign("a safetensors file", "other bytes");
    }
    if rest.len() < length {
        return Ok(None);
    }
    // The crate's own reader wants all bytes; the checks of its header are the same.
    let header: Metadata = match serde_json::from_slice(&rest[..length]) {
        Ok(header) => header,
        Err(error) => return foreign("a safetensors file", format!("other bytes ({error})")),
    };
    let Some(meta) = header.metadata().as_ref().and_then(|metadata| metadata.get(META)) else {
        return foreign("a model with the metadata key `moue`", "none");
    };
    let meta: ModelMeta = match serde_json::from_str(meta) {
        Ok(meta) => meta,
        Err(error) => return foreign("the metadata of a moue model", error.to_string()),
    };
    meta.check(Path::new("the model")).map_err(StreamError::Foreign)?;
    let expected = expected(&meta)?;
    let all = header.tensors();
    let data = all.values().map(|info| info.data_offsets.1).max().unwrap_or(0);
    let Some(total) = data.checked_add(8 + length) else {
        return foreign("a file that fits the memory", data.to_string());
    };
    let mut tensors = HashMap::new();
    let mut ends = vec![0; 1 + expected.branches];
    for (name, shape) in &expected.shapes {
        let Some(info) = header.info(name) else { return mismatch(format!("a tensor `{name}`"), "none of that name") };
        if info.shape != *shape {
            return mismatch(format!("`{name}` of shape {shape:?}"), format!("{:?}", info.shape));
        }
        if !matches!(info.dtype, Dtype::F16 | Dtype::F32) {
            return mismatch(format!("`{name}` in F16 or F32"), info.dtype.to_string());
        }
        let (begin, end) = (8 + length + info.data_offsets.0, 8 + length + info.data_offsets.1);
        tensors.insert(name.clone(), Tensor { dtype: info.dtype, shape: shape.clone(), begin, end });
        let owner = branch_of(name).map_or(0, |branch| 1 + branch);
        ends[owner] = ends[owner].max(end);
    }
    for branch in 1..ends.len() {
        ends[branch] = ends[branch].max(ends[branch - 1]);
    }
    if let Some(name) = all.keys().find(|name| !tensors.contains_key(*name) && !is_of_training(name)) {
        return mismatch(format!("the {} tensors of the network", tensors.len()), format!("also `{name}`"));
    }
    let mut order: Vec<String> = tensors.keys().cloned().collect();
    order.sort_by_key(|name| tensors[name].end);
    Ok(Some(Header { meta, tensors, order, ends, total }))
}

/// The tensors of a network.
struct Expected {
    branches: usize,
    shapes: Vec<(String, Vec<usize>)>,
}

fn expected(meta: &ModelMeta) -> Checked<Expected> {
    let spec = meta.network(Path::new("the model")).map_err(StreamError::Mismatch)?;
    let (size, classes) = (spec.size(), spec.classes());
    if spec.width() > WIDEST || size > LARGEST || classes > MOST_CLASSES {
        let most = format!("width up to {WIDEST}, size up to {LARGEST}, as many as {MOST_CLASSES} classes");
        return mismatch(most, format!("{} with {classes} classes", meta.architecture));
    }
    let shapes = || -> Result<_> {
        let mut graph = Graph::new();
        let image = graph.input("images", [1, 3, size, size]);
        spec.build(&mut graph, image, Mode::Eval)?;
        let entries = variables::stacked(&graph);
        let parts = entries.iter().flat_map(|entry| {
            entry.variable.parts.iter().map(|part| (part.clone(), entry.part_shape.clone())).collect::<Vec<_>>()
        });
        Ok(parts.collect())
    };
    Ok(Expected { branches: spec.heads(), shapes: shapes().map_err(StreamError::Mismatch)? })
}
