//! `moue export`: a model for other programs.

use std::path::PathBuf;

use serde_json::json;

use super::{Outcome, train::esr_of};
use crate::{
    Result,
    checkpoint::{Named, half_bytes, load_model, onnx_bytes, torch_bytes, write_atomic},
    graph::Graph,
    models::EsrSpec,
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
    #[command(flatten)]
    format: Format,
}

/// What to write.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Format {
    /// ONNX, for any number of images: logits [N, branches, classes] and the attention maps.
    #[arg(long)]
    onnx: bool,
    /// Safetensors for PyTorch, with the published names: `load_state_dict(safetensors.torch.load_file(FILE))`.
    #[arg(long)]
    torch: bool,
    /// A model file for moue with weights in 16-bit floating point, half as long.
    #[arg(long)]
    f16: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let model = load_model(&args.model)?;
    let (out, meta, tensors) = (&args.out, &model.meta, &model.tensors);
    let (format, bytes) = if args.format.onnx {
        let esr = esr_of(&meta.architecture, meta.classes.len(), &args.model)?;
        ("onnx", onnx_bytes(out, meta, tensors, |images| esr_graph(&esr, images))?)
    } else if args.format.torch {
        ("torch", torch_bytes(out, meta, tensors)?)
    } else {
        ("f16", half_bytes(out, meta, tensors)?)
    };
    write_atomic(out, "writing the exported model", |writer| writer.write_all(&bytes))?;
    println!("{}: {format}, {} bytes", out.display(), bytes.len());
    Ok(Outcome::passed(json!({"out": out, "format": format, "bytes": bytes.len()})))
}

/// An ESR in evaluation mode; the branches have a dimension of their own in every result.
fn esr_graph(esr: &EsrSpec, images: usize) -> Result<Named> {
    let mut graph = Graph::new();
    let x = graph.input("images", [images, 3, esr.size, esr.size]);
    let built = esr.build(&mut graph, x, Mode::Eval)?;
    let by_branch = |graph: &mut Graph, id| {
        let features = graph.shape(id).elements() / (images * esr.branches);
        graph.reshape(id, Shape::new(&[images, esr.branches, features]))
    };
    let mut outputs = vec![("logits", by_branch(&mut graph, built.logits)?)];
    outputs.extend(built.spatial.map(|id| ("spatial", id)));
    if let Some(channel) = built.channel {
        outputs.push(("channel", by_branch(&mut graph, channel)?));
    }
    Ok((graph, outputs))
}
