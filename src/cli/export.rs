//! `moue export`: a model for other programs.

use std::path::PathBuf;

use serde_json::json;

use super::Outcome;
use crate::{
    Result,
    checkpoint::{load_model, write_atomic, write_streamed},
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
    /// A model file for the web page: 16-bit weights, the branches one after the other.
    #[arg(long)]
    web: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let model = load_model(&args.model)?;
    let (out, meta, tensors) = (&args.out, &model.meta, &model.tensors);
    let (format, bytes) = ("web", write_streamed(out, meta, tensors)?);
    write_atomic(out, "writing the exported model", |writer| writer.write_all(&bytes))?;
    println!("{}: {format}, {} bytes", out.display(), bytes.len());
    Ok(Outcome::passed(json!({"out": out, "format": format, "bytes": bytes.len()})))
}
