//! `moue explain`: what a model looks at in an image, as a picture and in numbers.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{Outcome, device::DeviceArgs, output::say};
use crate::{
    Error, Result,
    checkpoint::{load_model, write_atomic},
    data::Image,
    explain::{Branch, Explanation, Format, figure, is_own_svg, range},
    predict::{KINDS, Predictor, SpatialMap},
};

/// Arguments of `moue explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model file.
    #[arg(long)]
    model: PathBuf,
    /// An image of a face, cut to the face.
    image: PathBuf,
    /// The picture to write, .svg or .png; IMAGE's name with .explain.svg in this folder by default.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The class whose Grad-CAM is shown; by default the one that each branch votes for.
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Answers with the mean of the branches' probabilities alone, whatever calibration the model has.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let out = target(args)?;
    let format = Format::of(&out)?;
    let model = load_model(&args.model)?;
    let classes = &model.meta.classes;
    let network = model.network()?;
    let class = args.class.as_deref().map(|name| class_of(name, classes)).transpose()?;
    let image = Image::open(&args.image)?;
    let mut opened = args.device.open()?;
    let mut predictor = Predictor::new(&model.meta)?.explaining();
    if args.raw {
        predictor = predictor.raw();
    }
    predictor.load(opened.executor.as_mut(), &model.tensors, network.heads())?;
    let prediction = &pollster::block_on(predictor.predict(opened.executor.as_mut(), &image, true))?;
    let name = &args.image.file_name().unwrap_or(args.image.as_os_str()).to_string_lossy();
    let explanation = Explanation { name, image: &image, classes, network: &network, prediction, class };
    let picture = explanation.scene()?.bytes(format);
    write_atomic(&out, "writing the picture", |writer| writer.write_all(&picture))?;
    print(args, &explanation);
    say!("picture: {}", out.display());
    let mut json = json(&explanation);
    json.insert("image".into(), args.image.display().to_string().into());
    json.insert("picture".into(), out.display().to_string().into());
    json.insert("device".into(), opened.name().into());
    Ok(Outcome::passed(json.into()))
}

/// The file to write: the one that was asked for, unless it is one that is read; else one beside the user that is free
/// or has an earlier picture of this command.
fn target(args: &Args) -> Result<PathBuf> {
    if let Some(out) = &args.out {
        let same = |path: &Path| matches!((out.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if same(&args.image) || same(&args.model) {
            return Err(Error::Usage {
                setting: "--out".into(),
                expected: "another file than the image and the model".into(),
                found: format!("`{}`", out.display()),
                hint: "what is read is not written over".into(),
            });
        }
        return Ok(out.clone());
    }
    let mut name = args.image.file_stem().unwrap_or(args.image.as_os_str()).to_owned();
    name.push(".explain.svg");
    let out = PathBuf::from(name);
    let beginning = File::open(&out).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(200).read_to_end(&mut bytes).map(|_| bytes)
    });
    match beginning {
        Ok(bytes) if is_own_svg(&bytes) => Ok(out),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(out),
        _ => Err(Error::File {
            path: out,
            expected: "no file, or an earlier picture of `moue explain`".into(),
            found: "something else".into(),
            hint: "say where the picture goes with `--out FILE`".into(),
        }),
    }
}

fn class_of(name: &str, classes: &[String]) -> Result<usize> {
    classes.iter().position(|class| class == name).ok_or_else(|| Error::Usage {
        setting: "--class".into(),
        expected: format!("one of the model's classes, {}", classes.join(", ")),
        found: format!("`{name}`"),
        hint: "leave it out for the class that each branch votes for".into(),
    })
}

fn print(args: &Args, explanation: &Explanation<'_>) {
    let Explanation { classes, prediction, .. } = explanation;
    let (class, p) = (&classes[prediction.class], prediction.probabilities[prediction.class]);
    say!("{}: {class} {p:.3}", args.image.display());
    for Branch { name, answer, class, grad_cam } in explanation.branches() {
        let (vote, p) = (&classes[answer.class], answer.probabilities[answer.class]);
        let seen = answer.attention.as_ref().zip(explanation.attention()).map(|(map, (kind, _))| {
            let [low, high] = range(map).map(figure);
            format!("{kind} {low} to {high}; ")
        });
        let [_, strongest] = range(&grad_cam).map(figure);
        let seen = seen.unwrap_or_default();
        say!("  {name:<9} {vote} {p:.3}; {seen}Grad-CAM of {} up to {strongest}", classes[class]);
    }
    for (kind, kinship) in KINDS.iter().zip(&prediction.kinships) {
        if let Some(kinship) = kinship {
            say!("  {kind} similarity of the {}: det S {:.4}", explanation.learners(), kinship.determinant);
        }
    }
    if explanation.attention().is_none() {
        say!("  this model has no attention; the picture shows Grad-CAM alone");
    }
}

fn json(explanation: &Explanation<'_>) -> Map<String, Value> {
    let Explanation { classes, prediction, .. } = explanation;
    let named = |values: &[f32]| -> Value {
        classes.iter().cloned().zip(values.iter().map(|p| json!(p))).collect::<Map<_, _>>().into()
    };
    let branch = |Branch { name, answer, class, grad_cam }: Branch<'_>| {
        json!({
            "name": name, "vote": classes[answer.class], "probabilities": named(&answer.probabilities),
            "attention": answer.attention.as_ref().map(map),
            "grad_cam": {"class": classes[class], "map": map(&grad_cam)},
        })
    };
    let similarity =
        KINDS.iter().zip(&prediction.kinships).zip(prediction.gammas).filter_map(|((kind, kinship), gamma)| {
            let kinship = kinship.as_ref()?;
            let side = kinship.similarity.len().isqrt();
            let rows = rows(&kinship.similarity, side);
            let of = explanation.learners();
            Some(((*kind).to_owned(), json!({"of": of, "gamma": gamma, "s": rows, "determinant": kinship.determinant})))
        });
    let json = json!({
        "prediction": classes[prediction.class], "vote": classes[prediction.vote], "classes": classes,
        "probabilities": named(&prediction.probabilities), "mean": named(&prediction.mean),
        "attention": explanation.attention().map(|(kind, _)| kind),
        "branches": explanation.branches().map(branch).collect::<Vec<_>>(),
        "similarity": similarity.collect::<Map<_, _>>(),
    });
    match json {
        Value::Object(json) => json,
        _ => Map::new(),
    }
}

fn map(map: &SpatialMap) -> Value {
    json!({"height": map.height, "width": map.width, "values": rows(&map.values, map.width)})
}

fn rows(values: &[f32], width: usize) -> Vec<&[f32]> {
    values.chunks(width.max(1)).collect()
}
