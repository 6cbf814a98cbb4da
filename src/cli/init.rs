//! `moue train --init`: where a training begins that does not begin from nothing.

use serde_json::{Value, json};

use crate::{
    Result,
    checkpoint::{ColourOrder, Normalisation, Want, Weights, fit, gather, is_base},
    nn::variables::Tensors,
    train::{
        TrainConfig,
        choices::{Colour, InitPart, Normalise},
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
    /// How pixels become inputs.
    pub(super) normalise: Normalise,
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
    let expected = network.meta.as_ref().map(|meta| meta.normalisation).unwrap_or_default();
    let normalise = match config.normalise {
        Normalise::Auto if expected == Normalisation::IMAGENET => Normalise::Imagenet,
        Normalise::Auto => Normalise::None,
        given => given,
    };
    eprintln!("init: images are read as {colour}, normalised: {normalise}");
    if expected != normalisation(normalise) {
        let Normalisation { mean, std } = expected;
        eprintln!("init: these weights expect pixels less {mean:?}, divided by {std:?}, and will have to adapt");
    }
    let report = json!({ "file": path, "part": config.init_part, "fit": fit.lines() });
    Ok(Some(Init { tensors, report, colour, normalise }))
}

/// What a choice means, as model files have it.
pub(super) fn normalisation(choice: Normalise) -> Normalisation {
    if choice == Normalise::Imagenet { Normalisation::IMAGENET } else { Normalisation::default() }
}
