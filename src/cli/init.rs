//! `moue train --init`: where a training begins that does not begin from nothing.

use serde_json::{Value, json};

use crate::{
    Result,
    checkpoint::{ColourOrder, Want, Weights, fit, gather, is_base},
    nn::variables::Tensors,
    train::{
        TrainConfig,
        choices::{Colour, InitPart},
    },
};

/// What a training starts from.
pub(super) struct Init {
    /// The network to start from.
    pub(super) tensors: Tensors,
    /// What became of the file's tensors, for `run.json`.
    pub(super) report: Value,
    /// The order of the colours to train with.
    pub(super) colour: Colour,
}

/// Puts the weights of `--init` over the `fresh` network of the first stage; says what was taken, left and reshaped.
///
/// # Errors
/// What [`Weights::read`], [`gather`] and [`fit`] return.
pub(super) fn load(config: &TrainConfig, fresh: Tensors, classes: &[String]) -> Result<Option<Init>> {
    let Some(path) = &config.init else { return Ok(None) };
    let mut network = gather(vec![Weights::read(path)?])?;
    if config.init_part == InitPart::Base {
        network.tensors.retain(|name, _| is_base(name));
        network.others.retain(|name, _| is_base(name));
    }
    let same_classes = network.meta.as_ref().is_none_or(|meta| meta.classes == classes);
    let (tensors, fit) = fit(&network, fresh, Want::Start, same_classes)?;
    for line in fit.lines() {
        eprintln!("init: {line}");
    }
    let colour = match (config.colour, &network.meta) {
        (Colour::Auto, Some(meta)) if meta.colour == ColourOrder::Rgb => Colour::Rgb,
        // Only the authors' weights do not say it, and they expect this.
        (Colour::Auto, _) => Colour::Bgr,
        (given, _) => given,
    };
    eprintln!("init: images are read as {colour}");
    if let Some(meta) = network.meta.as_ref().filter(|meta| meta.normalisation != Default::default()) {
        eprintln!("init: these weights were trained with {:?}, this training has none", meta.normalisation);
    }
    let report = json!({ "file": path, "part": config.init_part, "fit": fit.lines() });
    Ok(Some(Init { tensors, report, colour }))
}
