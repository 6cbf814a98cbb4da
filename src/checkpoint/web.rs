//! Model files for downloads: half precision, and the branches one after the other.

use std::path::Path;

use half::f16;
use serde_json::{Map, Value, json};

use super::{ModelMeta, meta::branch_of, model::META};
use crate::{Error, Result, nn::variables::Tensors};

/// The bytes of a model file that can be used while it arrives ([`super::ModelStream`]): the base's tensors, then those of
/// branch 0, 1, …
///
/// It is a safetensors file like any other, with the same metadata. Matrices and filters are in half precision; vectors
/// (biases, batch norm) stay in f32, for running variances need its range. The same model gives the same bytes. `path`
/// names the model in errors.
///
/// # Errors
/// [`Error::File`] for a weight beyond half precision's range, or metadata that make no sense.
pub fn write_streamed(path: &Path, meta: &ModelMeta, tensors: &Tensors) -> Result<Vec<u8>> {
    meta.check(path)?;
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort_by_key(|name| (branch_of(name), *name));
    let mut header = Map::new();
    header.insert(
        "__metadata__".to_owned(),
        json!({
            "architecture": meta.architecture.to_string(), "classes": json!(meta.classes).to_string(), "format": "pt",
            META: json!(meta).to_string(),
        }),
    );
    let mut data = Vec::new();
    for name in names {
        let (shape, values) = &tensors[name];
        let begin = data.len();
        let kind = if shape.len() > 1 {
            for &value in values {
                let half = f16::from_f32(value);
                if !half.is_finite() {
                    return Err(Error::File {
                        path: path.into(),
                        expected: format!("weights below {} in `{name}`", f16::MAX),
                        found: value.to_string(),
                        hint: "such a network cannot be written in half precision; train it with weight decay".into(),
                    });
                }
                data.extend(half.to_le_bytes());
            }
            "F16"
        } else {
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            "F32"
        };
        header.insert(name.clone(), json!({"dtype": kind, "shape": shape, "data_offsets": [begin, data.len()]}));
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    Ok(bytes)
}
