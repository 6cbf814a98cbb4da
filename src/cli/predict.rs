//! `moue predict`: the probabilities of images.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Outcome,
    abstain::{Abstain, UNSURE},
    device::DeviceArgs,
    output::{Results, say},
};
use crate::{
    Result,
    checkpoint::load_model,
    data::Image,
    models::NetworkSpec,
    predict::{Decided, decide, transform_of},
    train::session::Evaluator,
};

/// Arguments of `moue predict`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model file.
    #[arg(long)]
    model: PathBuf,
    /// Images of faces, cut to the face.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// A table instead of text: image, prediction, then the answer's and each branch's probabilities.
    #[arg(long)]
    csv: bool,
    /// Answers with the mean of the branches' probabilities alone, whatever calibration the model has.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    abstain: Abstain,
    #[command(flatten)]
    device: DeviceArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let model = load_model(&args.model)?;
    let classes = &model.meta.classes;
    let network = model.network()?;
    let images = args.images.iter().map(|path| Image::open(path)).collect::<Result<Vec<_>>>()?;
    let transform = transform_of(&model.meta);
    let mut opened = args.device.open()?;
    let mut evaluator = Evaluator::of_model(opened.executor.as_mut(), &model, 1)?;
    let mut pixels = vec![0.0; 3 * transform.size * transform.size];
    let calibration = model.meta.answer.as_ref().filter(|_| !args.raw);
    let threshold = args.abstain.threshold(std::slice::from_ref(&args.model), calibration)?;
    let mut predictions = Vec::new();
    for image in &images {
        transform.evaluate(image, &mut pixels)?;
        let logits = evaluator.answer(&pixels)?.logits;
        predictions.push(decide(&logits, classes.len(), network.decision(), calibration));
    }
    let answer = |prediction: &Decided| {
        let is_unsure = threshold.is_some_and(|least| prediction.probabilities[prediction.class] < least);
        if is_unsure { UNSURE } else { &*classes[prediction.class] }.to_owned()
    };
    let answers: Vec<String> = predictions.iter().map(answer).collect();
    if args.csv {
        print_csv(args, classes, &network, &answers, &predictions);
    } else {
        print_text(args, classes, &answers, &predictions);
    }
    let named = |values: &[f32]| -> serde_json::Map<String, serde_json::Value> {
        classes.iter().cloned().zip(values.iter().map(|p| json!(p))).collect()
    };
    let json: Vec<_> = args
        .images
        .iter()
        .zip(&answers)
        .zip(&predictions)
        .map(|((path, answer), prediction)| {
            json!({
                "image": path.display().to_string(), "prediction": answer, "vote": classes[prediction.vote],
                "probabilities": named(&prediction.probabilities), "mean": named(&prediction.mean),
                "branches": prediction.heads.iter().map(|branch| named(branch)).collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(Outcome::passed(json!({
        "images": json, "calibration": calibration, "least_confidence": threshold.filter(|least| least.is_finite()),
        "device": opened.name(),
    })))
}

fn print_text(args: &Args, classes: &[String], answers: &[String], predictions: &[Decided]) {
    for ((path, answer), prediction) in args.images.iter().zip(answers).zip(predictions) {
        say!("{}: {answer}", path.display());
        for (k, class) in classes.iter().enumerate() {
            let branches: Vec<_> = prediction.heads.iter().map(|branch| format!("{:.3}", branch[k])).collect();
            say!("  {class:<12} {:.3}   branches {}", prediction.probabilities[k], branches.join(" "));
        }
    }
}

fn print_csv(args: &Args, classes: &[String], network: &NetworkSpec, answers: &[String], predictions: &[Decided]) {
    let written = "invariant: rows of one length, for a writer that never fails";
    let mut table = csv::Writer::from_writer(Results);
    let mut header = vec!["image".to_owned(), "prediction".to_owned()];
    header.extend(classes.iter().cloned());
    for head in 0..network.heads() {
        header.extend(classes.iter().map(|class| format!("{}.{class}", network.head_name(head))));
    }
    table.write_record(&header).expect(written);
    for ((path, answer), prediction) in args.images.iter().zip(answers).zip(predictions) {
        let mut row = vec![path.display().to_string(), answer.clone()];
        row.extend(prediction.probabilities.iter().chain(prediction.heads.iter().flatten()).map(f32::to_string));
        table.write_record(&row).expect(written);
    }
    table.flush().expect(written);
}
