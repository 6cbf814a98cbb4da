//! `moue import`: a model file from weights of other programs.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Outcome,
    output::{note, say},
};
use crate::{
    Error, Result,
    checkpoint::{
        ColourOrder, Family, Fit, MSCELEB_CLASSES, ModelMeta, StateDict, Want, Weights, fit, gather, is_base,
        save_model,
    },
    data::EXPRESSIONS,
    models::Architecture,
    nn::variables::Tensors,
    train::{
        settings::words::{Colour, Normalise},
        trainer::fresh,
    },
};

/// Arguments of `moue import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Checkpoints of PyTorch (zip or legacy) or safetensors: one, or the authors' files of base and branches.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The model file to write.
    #[arg(long)]
    out: PathBuf,
    /// The class names in the order of the logits; a number other than the file's replaces the classifiers by fresh ones.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    classes: Option<Vec<String>>,
    /// The order of the colours that the weights expect; auto: bgr, as the authors read AffectNet and FER+.
    #[arg(long, alias = "color", default_value = "auto")]
    colour: Colour,
    /// How pixels become inputs; auto: as the file says, else as they are in [0, 1].
    #[arg(long, alias = "normalize", default_value = "auto")]
    normalise: Normalise,
    /// The edge of the images in pixels; by default 96 for ESR, 224 for MA-Net.
    #[arg(long = "image-size", alias = "size")]
    size: Option<usize>,
    /// λ of a MA-Net, 0 to 1: its answer is λ·local + (1−λ)·global; by default as the file says, else 0.6.
    #[arg(long, value_name = "λ")]
    local_weight: Option<f64>,
}

/// A file's classes, where neither it nor the user names them: AffectNet's eight, or the seven without contempt.
fn default_classes(rows: usize) -> Result<Vec<String>> {
    let count = if rows == MSCELEB_CLASSES { EXPRESSIONS.len() } else { rows };
    if count == 7 || count == 8 {
        return Ok(EXPRESSIONS[..count].iter().map(|name| (*name).to_owned()).collect());
    }
    Err(Error::Usage {
        setting: "classes".into(),
        expected: format!("the names of the {rows} classes of these weights"),
        found: "none".into(),
        hint: "give --classes with as many names, or with the names to start afresh with".into(),
    })
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let weights = args.files.iter().map(|file| Weights::read(file)).collect::<Result<Vec<_>>>()?;
    let network = gather(weights)?;
    let mut family = Family::of(&network)?;
    match (args.local_weight, &mut family) {
        (Some(given), Family::Manet { local_weight, .. }) => *local_weight = given,
        (Some(given), Family::Esr { .. }) => {
            return Err(Error::Usage {
                setting: "--local-weight".into(),
                expected: "the weights of a MA-Net for it".into(),
                found: format!("{given} for an ESR, whose branches vote"),
                hint: "leave it out".into(),
            });
        }
        (None, _) => {}
    }
    let known = network.meta.as_ref();
    let classes = match (&args.classes, known, family.classes()) {
        (Some(names), ..) => names.clone(),
        (None, Some(meta), _) => meta.classes.clone(),
        (None, None, Some(rows)) => default_classes(rows)?,
        // A base alone has no classes.
        (None, None, None) => vec![],
    };
    let size = args.size.or(known.map(|meta| meta.size)).unwrap_or_else(|| family.size());
    let (architecture, empty) = empty_network(&family, size, &classes)?;
    // Only what has no file yet starts afresh: nothing but replaced classifiers.
    let (tensors, fit) = fit(&network, empty, Want::Whole, true)?;

    let mut meta = ModelMeta::new(architecture, classes, size);
    meta.colour = match args.colour {
        Colour::Auto => known.map_or(ColourOrder::Bgr, |meta| meta.colour),
        Colour::Rgb => ColourOrder::Rgb,
        Colour::Bgr => ColourOrder::Bgr,
    };
    meta.normalisation = match args.normalise {
        Normalise::Auto => known.map(|meta| meta.normalisation).unwrap_or_default(),
        given => given.normalisation().unwrap_or_default(),
    };
    let same = |known: &&ModelMeta| {
        known.architecture == meta.architecture
            && known.classes == meta.classes
            && (known.colour, known.normalisation) == (meta.colour, meta.normalisation)
    };
    meta.answer = known.filter(same).and_then(|known| known.answer.clone());
    save_model(&args.out, &meta, &tensors)?;
    Ok(Outcome::passed(report(args, &network, &meta, &fit)))
}

/// The architecture as it stands in a model file, and the network's tensors before training.
fn empty_network(family: &Family, size: usize, classes: &[String]) -> Result<(Architecture, Tensors)> {
    let network = family.network(size, classes.len().max(2));
    network.validate()?;
    let mut tensors = fresh(&network, 0)?;
    if family.is_base() {
        tensors.retain(|name, _| is_base(name));
        return Ok((network.with_branches(0).architecture(), tensors));
    }
    Ok((network.architecture(), tensors))
}

/// Says what was imported.
fn report(args: &Args, network: &StateDict, meta: &ModelMeta, fit: &Fit) -> serde_json::Value {
    for line in network.unwrapped().chain(fit.lines()) {
        note!("{line}");
    }
    if network.counters > 0 {
        note!("left: {} counters of batches, which moue does not use", network.counters);
    }
    let read = fit.taken.len() + fit.reshaped.len() + fit.replaced.len() + network.counters;
    let classes = if meta.classes.is_empty() { "a base alone".to_owned() } else { meta.classes.join(", ") };
    say!("{}: {read} tensors of {}; {}; colours {}", args.out.display(), meta.architecture, classes, meta.colour);
    json!({
        "out": args.out.display().to_string(), "architecture": meta.architecture, "classes": meta.classes, "colour": meta.colour,
        "tensors": read, "prefixes": network.prefixes, "counters": network.counters, "fit": fit,
    })
}
