//! `moue export`: a model for other programs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Outcome, output::say};
use crate::{
    Error, Result,
    checkpoint::{
        ModelResult, Named, file_hash, half_bytes, load_model, onnx_bytes, torch_bytes, write_atomic, write_streamed,
    },
    graph::Graph,
    models::{BRANCH_LAYERS, NetworkSpec},
    nn::Mode,
    ops::Emit,
    shape::Shape,
};

/// Arguments of `moue export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model file.
    model: PathBuf,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
    /// A file with what `moue eval --early-exits --json` said of this very model: it takes the place of the accuracy on the
    /// validation split in what the exported file says of itself.
    #[arg(long, value_name = "JSON")]
    result: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// What to write.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Format {
    /// ONNX, for any number of images: logits [N, heads, classes], the maps that diversity compares, and the answer's
    /// probabilities [N, classes], with the model's calibration. A MA-Net's heads are local, global and combined. The input is the picture of a face, resized bilinearly with half-pixel centres, without
    /// antialias and without keeping its proportions (PyTorch's `F.interpolate(mode="bilinear", align_corners=False)`); a
    /// picture that is f ≥ 2 times as large is first averaged over f×f pixels. The metadata say it under `preprocessing`, with
    /// the order of the channels, mean and std.
    #[arg(long)]
    onnx: bool,
    /// Safetensors for PyTorch, with the published names: `load_state_dict(safetensors.torch.load_file(FILE))`.
    #[arg(long)]
    torch: bool,
    /// A model file for moue with weights in 16-bit floating point, half as long.
    #[arg(long)]
    f16: bool,
    /// A model file for the web page: 16-bit weights, the branches one after the other.
    #[arg(long)]
    web: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let mut model = load_model(&args.model)?;
    if let Some(path) = &args.result {
        model.meta.result = Some(result_of(path, &file_hash(&args.model)?, model.meta.answer.is_some())?);
    }
    let (out, meta, tensors) = (&args.out, &model.meta, &model.tensors);
    let (format, bytes) = if args.format.onnx {
        let network = model.network()?;
        let layer = meta.diversity.as_ref().map_or(BRANCH_LAYERS, |diversity| diversity.layer);
        ("onnx", onnx_bytes(out, meta, tensors, |images| graph_of(&network, layer, images))?)
    } else if args.format.torch {
        ("torch", torch_bytes(out, meta, tensors)?)
    } else if args.format.web {
        ("web", write_streamed(out, meta, tensors)?)
    } else {
        ("f16", half_bytes(out, meta, tensors)?)
    };
    write_atomic(out, "writing the exported model", |writer| writer.write_all(&bytes))?;
    say!("{}: {format}, {} bytes", out.display(), bytes.len());
    Ok(Outcome::passed(json!({"out": out.display().to_string(), "format": format, "bytes": bytes.len()})))
}

/// What an evaluation of the model with this hash said, from its last line.
fn result_of(path: &Path, hash: &str, calibrated: bool) -> Result<ModelResult> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::io(path, "reading the result", error, "give a file with the output of `moue eval --early-exits --json`")
    })?;
    let wrong = |expected: &str, found: String| Error::File {
        path: path.into(),
        expected: expected.to_owned(),
        found,
        hint: "write it anew: `moue eval --model MODEL --data SPEC --early-exits --json > FILE`".into(),
    };
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let json: Value = serde_json::from_str(line)
        .map_err(|error| wrong("a last line of JSON, as `moue eval --json` writes it", error.to_string()))?;
    if json["model_sha256"] != hash {
        let found = json["model_sha256"].as_str().map_or("none".to_owned(), |other| format!("one of {other}"));
        return Err(wrong(&format!("an evaluation of the model with sha256 {hash}"), found));
    }
    let number =
        |key: &str| json[key].as_f64().ok_or_else(|| wrong(&format!("a number `{key}`"), json[key].to_string()));
    if calibrated && json["raw"] != false {
        return Err(wrong("an evaluation of the model's calibrated answers", "one of the mean probabilities".into()));
    }
    let Some(by_branches) = json["by_branches"].as_array() else {
        return Err(wrong("the accuracy `by_branches`", "a result of an earlier version".into()));
    };
    Ok(ModelResult {
        split: json["split"].as_str().unwrap_or_default().to_owned(),
        accuracy: number("accuracy")?,
        balanced_accuracy: Some(number("balanced_accuracy")?),
        images: json["images"].as_u64(),
        by_branches: by_branches.iter().filter_map(Value::as_f64).collect(),
    })
}

/// A network in evaluation mode, with the maps of the layer that was diversified; its heads and learners have a dimension of their own in every result.
fn graph_of(network: &NetworkSpec, layer: usize, images: usize) -> Result<Named> {
    let mut graph = Graph::new();
    let x = graph.input("images", [images, 3, network.size(), network.size()]);
    let built = network.build(&mut graph, x, Mode::Eval)?;
    let logits = graph.reshape(built.logits, Shape::new(&[images, network.heads(), network.classes()]))?;
    let mut outputs = vec![("logits", logits)];
    for maps in built.maps_of(layer) {
        let dims = graph.shape(maps.map).dims().to_vec();
        let map = match dims[..] {
            [n, features] => graph.reshape(maps.map, Shape::new(&[n, maps.learners, features / maps.learners]))?,
            _ => maps.map,
        };
        outputs.push((maps.kind, map));
    }
    Ok((graph, outputs))
}
