//! `moue predict`: the probabilities of images.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Outcome,
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
    device: DeviceArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let model = load_model(&args.model)?;
    let classes = &model.meta.classes;
    let network = model.network()?;
    let images = args.images.iter().map(|path| Image::open(path)).collect::<Result<Vec<_>>>()?;
    let transform = transform_of(&model.meta);
    let mut opened = args.device.open()?;
    let mut evaluator = Evaluator::new(opened.executor.as_mut(), &network, 1, &model.tensors)?;
    let mut pixels = vec![0.0; 3 * transform.size * transform.size];
    let calibration = model.meta.answer.as_ref().filter(|_| !args.raw);
    let mut predictions = Vec::new();
    for image in &images {
        transform.evaluate(image, &mut pixels)?;
        let logits = evaluator.answer(&pixels)?.logits;
        predictions.push(decide(&logits, classes.len(), network.decision(), calibration));
    }
    if args.csv {
        print_csv(args, classes, &network, &predictions);
    } else {
        print_text(args, classes, &predictions);
    }
    let named = |values: &[f32]| -> serde_json::Map<String, serde_json::Value> {
        classes.iter().cloned().zip(values.iter().map(|p| json!(p))).collect()
    };
    let json: Vec<_> = args
        .images
        .iter()
        .zip(&predictions)
        .map(|(path, prediction)| {
            json!({
                "image": path.display().to_string(), "prediction": classes[prediction.class], "vote": classes[prediction.vote],
                "probabilities": named(&prediction.probabilities), "mean": named(&prediction.mean),
                "branches": prediction.heads.iter().map(|branch| named(branch)).collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(Outcome::passed(json!({"images": json, "calibration": calibration, "device": opened.name()})))
}

fn print_text(args: &Args, classes: &[String], predictions: &[Decided]) {
    for (path, prediction) in args.images.iter().zip(predictions) {
        say!("{}: {}", path.display(), classes[prediction.class]);
        for (k, class) in classes.iter().enumerate() {
            let branches: Vec<_> = prediction.heads.iter().map(|branch| format!("{:.3}", branch[k])).collect();
            say!("  {class:<12} {:.3}   branches {}", prediction.probabilities[k], branches.join(" "));
        }
    }
}

fn print_csv(args: &Args, classes: &[String], network: &NetworkSpec, predictions: &[Decided]) {
    let written = "invariant: rows of one length, for a writer that never fails";
    let mut table = csv::Writer::from_writer(Results);
    let mut header = vec!["image".to_owned(), "prediction".to_owned()];
    header.extend(classes.iter().cloned());
    for head in 0..network.heads() {
        header.extend(classes.iter().map(|class| format!("{}.{class}", network.head_name(head))));
    }
    table.write_record(&header).expect(written);
    for (path, prediction) in args.images.iter().zip(predictions) {
        let mut row = vec![path.display().to_string(), classes[prediction.class].clone()];
        row.extend(prediction.probabilities.iter().chain(prediction.heads.iter().flatten()).map(f32::to_string));
        table.write_record(&row).expect(written);
    }
    table.flush().expect(written);
}
