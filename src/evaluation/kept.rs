//! Predictions as files: what a network answered to the images of some splits, for [`super::compare()`] and other programs.
//!
//! A file is safetensors. Its tensors are `mean` `[N, K]` (f32, in a compact file f16), `members` `[N, B]` (the class
//! that each branch answers, u8), `labels` `[N]` (u8) and, but in a compact file, `votes` `[N, K]` (f32) where the data
//! have votes. The metadata under `moue_predictions` are JSON: classes, splits with their sizes and hashes, and the ids of
//! the images but in a compact file. The images are in the order of their ids, split by split.

use std::{borrow::Cow, collections::HashMap, path::Path};

use half::f16;
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::figures::Answered;
use crate::{Error, Result, checkpoint::write_atomic, predict::majority_vote};

/// The format that this version writes and reads.
const FORMAT: &str = "moue predictions 1";
/// The metadata's key.
const KEY: &str = "moue_predictions";

/// What a network, or an ensemble of networks, answered to N images of K classes; it has B branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Whose answers, and to what.
    pub about: About,
    /// The probabilities of the answers `[N, K]`: the mean of the branches', calibrated where [`About::calibrated`] says so.
    pub mean: Vec<f32>,
    /// The class that each branch answers `[N, B]`.
    pub members: Vec<u8>,
    /// The true class of each image.
    pub labels: Vec<usize>,
    /// The annotators' distribution `[N, K]`, where the data have one for every image.
    pub votes: Option<Vec<f32>>,
}

/// What stands in the metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    format: String,
    /// The class names.
    pub classes: Vec<String>,
    /// The data set, such as `ferplus`.
    pub source: String,
    /// The splits in the order of the images.
    pub splits: Vec<SplitOf>,
    /// The SHA-256 of each model file.
    pub models: Vec<String>,
    /// Whether the models' calibrations made the answers; not in files of earlier versions, which knew none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calibrated: bool,
    /// The id of each image; none in a compact file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

/// A split of a file of predictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitOf {
    /// `train`, `valid` or `test`.
    pub name: String,
    /// Its images.
    pub images: usize,
    /// The hash of its images and labels, as `moue data check` prints it; of a part of a split also that of the part's ids.
    pub hash: String,
}

impl About {
    /// Of answers to the images with these ids.
    #[must_use]
    pub fn new(
        classes: Vec<String>,
        source: String,
        splits: Vec<SplitOf>,
        models: Vec<String>,
        ids: Vec<String>,
    ) -> Self {
        Self { format: FORMAT.into(), classes, source, splits, models, calibrated: false, ids }
    }
}

impl Kept {
    /// The images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// The branches.
    #[must_use]
    pub fn branches(&self) -> usize {
        self.members.len() / self.images().max(1)
    }

    /// The answers by the mean.
    #[must_use]
    pub fn answered(&self) -> Answered<'_> {
        let (classes, votes) = (self.about.classes.len(), self.votes.as_deref());
        Answered { classes, probabilities: &self.mean, labels: &self.labels, votes }
    }

    /// The class of each image by majority vote; ties go to the lowest class.
    #[must_use]
    pub fn vote(&self) -> Vec<usize> {
        let classes = self.about.classes.len();
        let votes = |image: &[u8]| majority_vote(image.iter().map(|&class| usize::from(class)), classes);
        self.members.chunks(self.branches().max(1)).map(votes).collect()
    }

    /// Writes the file; a compact one has a quarter of the length, and needs another file of the same images for the votes.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written, [`Error::Data`] for more than 256 classes.
    pub fn write(&self, path: &Path, compact: bool) -> Result<()> {
        if self.about.classes.len() > 256 {
            return Err(Error::Data {
                what: "the predictions".into(),
                expected: "at most 256 classes, which a byte can tell apart".into(),
                found: self.about.classes.len().to_string(),
                hint: "leave --predictions out".into(),
            });
        }
        let (images, classes) = (self.images(), self.about.classes.len());
        let floats = |values: &[f32], half: bool| -> Vec<u8> {
            if half {
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            } else {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        };
        let mean_type = if compact { Dtype::F16 } else { Dtype::F32 };
        let labels = self.labels.iter().map(|&label| label as u8).collect();
        let mut tensors = vec![
            ("labels", Tensor { dtype: Dtype::U8, shape: vec![images], bytes: labels }),
            ("mean", Tensor { dtype: mean_type, shape: vec![images, classes], bytes: floats(&self.mean, compact) }),
            ("members", Tensor { dtype: Dtype::U8, shape: vec![images, self.branches()], bytes: self.members.clone() }),
        ];
        if let Some(votes) = self.votes.as_ref().filter(|_| !compact) {
            let bytes = floats(votes, false);
            tensors.push(("votes", Tensor { dtype: Dtype::F32, shape: vec![images, classes], bytes }));
        }
        let mut about = self.about.clone();
        if compact {
            about.ids.clear();
        }
        let json = serde_json::to_string(&about).expect("invariant: metadata are plain data");
        let bytes = safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), json)])))
            .expect("invariant: each tensor has the bytes of its shape");
        write_atomic(path, "writing the predictions", |file| file.write_all(&bytes))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::File`] where it is no file of predictions, or its parts do not fit.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|source| Error::io(path, "reading the predictions", source, "check the path"))?;
        Self::parse(&bytes).map_err(|(expected, found)| Error::File {
            path: path.into(),
            expected,
            found,
            hint: "write one with `moue eval --predictions FILE`".into(),
        })
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, (String, String)> {
        let wrong = |expected: &str, found: String| (expected.to_owned(), found);
        let safe = |error: safetensors::SafeTensorError| wrong("a safetensors file of predictions", error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(safe)?;
        let json = header.metadata().as_ref().and_then(|all| all.get(KEY)).ok_or_else(|| {
            wrong("a file of predictions", format!("safetensors without the metadata `{KEY}`, such as a model"))
        })?;
        let about: About =
            serde_json::from_str(json).map_err(|error| wrong("the metadata of predictions", error.to_string()))?;
        if about.format != FORMAT {
            return Err(wrong(&format!("the format `{FORMAT}`"), format!("`{}`", about.format)));
        }
        let all = SafeTensors::deserialize(bytes).map_err(safe)?;
        let classes = about.classes.len();
        let images: usize = about.splits.iter().map(|split| split.images).sum();
        let tensor = |name: &str, types: &[Dtype], shape: &[Option<usize>]| {
            let view = all.tensor(name).map_err(safe)?;
            let fits = view.shape().len() == shape.len()
                && view.shape().iter().zip(shape).all(|(found, size)| size.is_none_or(|size| size == *found));
            if !fits || !types.contains(&view.dtype()) {
                let expected = format!("`{name}` for {images} images of {classes} classes");
                return Err((expected, format!("{:?} of {:?}", view.shape(), view.dtype())));
            }
            Ok((view.dtype(), view.data().to_vec()))
        };
        let floats = |(dtype, bytes): (Dtype, Vec<u8>)| -> Vec<f32> {
            match dtype {
                Dtype::F16 => bytes.chunks(2).map(|two| f16::from_le_bytes([two[0], two[1]]).to_f32()).collect(),
                _ => bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            }
        };
        let mean = floats(tensor("mean", &[Dtype::F16, Dtype::F32], &[Some(images), Some(classes)])?);
        let members = tensor("members", &[Dtype::U8], &[Some(images), None])?.1;
        let labels: Vec<usize> =
            tensor("labels", &[Dtype::U8], &[Some(images)])?.1.into_iter().map(usize::from).collect();
        let votes = if all.names().contains(&"votes") {
            Some(floats(tensor("votes", &[Dtype::F32], &[Some(images), Some(classes)])?))
        } else {
            None
        };
        if let Some(index) =
            labels.iter().chain(&members.iter().map(|&m| m.into()).collect::<Vec<_>>()).find(|index| **index >= classes)
        {
            return Err(wrong(&format!("classes 0 to {}", classes.saturating_sub(1)), index.to_string()));
        }
        if !mean.iter().chain(votes.iter().flatten()).all(|p| (0.0..=1.001).contains(p)) {
            return Err(wrong("probabilities", "a number that is none".into()));
        }
        if !about.ids.is_empty() && about.ids.len() != images {
            return Err(wrong(&format!("{images} ids"), about.ids.len().to_string()));
        }
        Ok(Self { about, mean, members, labels, votes })
    }
}

/// A tensor to be written.
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
