//! A network in evaluation mode as an ONNX file, for any number of images.
//!
//! Each op becomes the standard operators that compute it ([`ops`]). The weights stand under their published names; where
//! moue stacks the branches of a layer, a `Concat` does the same in the file. Which dimension is the number of images is
//! seen by building the graph for one image and for two.

mod answer;
mod ops;
mod proto;
mod writer;

use std::path::Path;

use prost::Message;

use super::{ColourOrder, ModelMeta, Normalisation};
use crate::graph::Graph;
use crate::nn::variables::Tensors;
use crate::ops::TensorId;
use crate::{Error, Result};
use writer::Writer;

/// The version of the file format.
const IR_VERSION: i64 = 8;
/// The version of the operators.
const OPSET: i64 = 17;

/// A network's graph and its results by the names that they have in the file.
pub type Named = (Graph, Vec<(&'static str, TensorId)>);

/// The bytes of an ONNX file of the network that `build` makes for a number of images.
///
/// The metadata hold what [`ModelMeta`] says, as JSON under `moue`, the class names under `classes`, and how a picture becomes
/// the input under `preprocessing`. Behind a result `logits` of the shape `[N, heads, K]` the file has one more at its end,
/// `probabilities` `[N, K]`: the answer's, with the calibration of `meta`.
///
/// # Errors
/// What `build` returns; those of [`ModelMeta::network`]; [`Error::Shape`] for an op that has no place in evaluation, [`Error::Data`] for a tensor that is
/// missing; [`Error::File`] for a file above 2 GB, which the format cannot hold. `path` is for errors only.
pub fn onnx_bytes(
    path: &Path,
    meta: &ModelMeta,
    tensors: &Tensors,
    build: impl Fn(usize) -> Result<Named>,
) -> Result<Vec<u8>> {
    let (one, two) = (build(1)?, build(2)?);
    let graph = write(path, meta, &one, &two.0, tensors)?;
    let entry = |key: &str, value: String| proto::Entry { key: Some(key.into()), value: Some(value) };
    let model = proto::Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("moue".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(graph),
        opset_import: vec![proto::OperatorSet { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: vec![
            entry("moue", serde_json::to_string(meta).expect("invariant: metadata are plain data")),
            entry("classes", serde_json::json!(meta.classes).to_string()),
            entry("preprocessing", preprocessing(meta).to_string()),
        ],
    };
    let length = model.encoded_len();
    if length > i32::MAX as usize {
        return Err(Error::File {
            path: path.into(),
            expected: "a network of at most 2 GB, the limit of an ONNX file".into(),
            found: format!("{length} bytes"),
            hint: "export it as safetensors".into(),
        });
    }
    Ok(model.encode_to_vec())
}

/// The ONNX graph of `one`, which is `twice` but for the number of images.
fn write(path: &Path, meta: &ModelMeta, one: &Named, twice: &Graph, tensors: &Tensors) -> Result<proto::Graph> {
    let (graph, outputs) = one;
    let mut writer = Writer::new(one, twice, tensors);
    let needed = writer.needed();
    for node in graph.nodes().iter().filter(|node| node.outputs.iter().any(|id| needed.contains(id))) {
        ops::write(&mut writer, node, &needed)?;
    }
    let logits = outputs.iter().find(|(name, id)| *name == "logits" && graph.tensor(*id).shape.rank() == 3);
    if let Some((_, logits)) = logits {
        answer::write(&mut writer, *logits, meta.network(path)?.decision(), meta.answer.as_ref())?;
    }
    writer.finish(outputs)
}

/// What [`crate::data::Transform`] does to a picture. The words for resizing are those of ONNX's `Resize`; mean and std are
/// in the order of `channels`.
fn preprocessing(meta: &ModelMeta) -> serde_json::Value {
    let Normalisation { mut mean, mut std } = meta.normalisation;
    if meta.colour == ColourOrder::Bgr {
        mean.reverse();
        std.reverse();
    }
    serde_json::json!({
        "input": "one face, cut out; pixels divided by 255, resized, then (pixel - mean) / std",
        "layout": "NCHW", "channels": meta.colour, "grey": "in all three channels", "size": [meta.size, meta.size],
        "reduce": {
            "when": "factor = floor(min(width, height) / size) is at least 2",
            "how": "the mean of each factor x factor block; what is left over at the right and at the bottom is cut off",
        },
        "resize": {
            "mode": "linear", "coordinate_transformation_mode": "half_pixel", "antialias": 0,
            "keep_aspect_ratio_policy": "stretch",
        },
        "mean": mean, "std": std,
    })
}
