//! Where a training begins that does not begin from nothing.

use serde_json::{Value, json};

use crate::{
    Result,
    checkpoint::{ColourOrder, Normalisation, Want, Weights, fit, gather, is_base},
    nn::variables::Tensors,
    train::{
        schedule::stages,
        settings::{
            Settings,
            words::{Colour, InitPart, Normalise},
        },
        trainer::fresh,
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
    /// What there is to say of it, a sentence each.
    pub(super) notes: Vec<String>,
}

/// Puts the weights of [`Settings::init`] over a fresh network of the first stage, and notes what was taken, left and
/// reshaped; none where there are no such weights.
///
/// # Errors
/// What [`Weights::read`], [`gather`] and [`fit`] return.
pub(super) fn load(config: &Settings, classes: &[String]) -> Result<Option<Init>> {
    let Some(path) = &config.init else { return Ok(None) };
    let whole = config.network(classes.len());
    let first = stages(config, whole.heads())[0].branches;
    let fresh = fresh(&whole.with_branches(first), config.seed)?;
    let mut network = gather(vec![Weights::read(path)?])?;
    if config.init_part == InitPart::Base {
        network.tensors.retain(|name, _| is_base(name));
        network.others.retain(|name, _| is_base(name));
    }
    let same_classes = network.meta.as_ref().is_none_or(|meta| meta.classes == classes);
    let (tensors, fit) = fit(&network, fresh, Want::Start, same_classes)?;
    let the_network = format!("the network is {}", config.architecture());
    let mut notes: Vec<String> = std::iter::once(the_network).chain(network.unwrapped()).chain(fit.lines()).collect();
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
    notes.push(format!("images are read as {colour}, normalised: {normalise}"));
    if expected != normalise.normalisation().unwrap_or_default() {
        let Normalisation { mean, std } = expected;
        notes.push(format!("these weights expect pixels less {mean:?}, divided by {std:?}, and will have to adapt"));
    }
    let report = json!({ "file": path, "part": config.init_part, "fit": fit.lines() });
    Ok(Some(Init { tensors, report, colour, normalise, notes }))
}
