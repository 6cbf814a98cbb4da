//! `moue eval`: a model on a data set.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Outcome,
    device::DeviceArgs,
    output::{note, say},
};
use crate::{
    Result,
    checkpoint::{Model, file_hash, load_model},
    data::{ClassMap, Sample, Spec},
    models::Decision,
    predict::transform_of,
    train::{
        Evaluation,
        ablation::exits,
        evaluate::{Inputs, evaluate},
        session::Evaluator,
    },
};

/// Arguments of `moue eval`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model file.
    #[arg(long)]
    model: PathBuf,
    /// ferplus:DIR, fer2013:DIR, rafdb:DIR, affectnet:DIR, folder:DIR or synthetic.
    #[arg(long)]
    data: Spec,
    /// The split: train, valid or test.
    #[arg(long, default_value = "test")]
    split: String,
    /// FROM=TO,…: images of the data's class FROM count as the model's class TO, `FROM=` leaves them out; names of one
    /// expression, such as happy and happiness, find each other without it.
    #[arg(long, value_name = "FROM=TO,…")]
    class_map: Option<ClassMap>,
    /// The column of the data folder's labels.csv that names groups, as for `moue train`
    #[arg(long, value_name = "COLUMN")]
    group_by: Option<String>,
    /// The number of folds, as for `moue train`: the split test is then the fold that it held out
    #[arg(long, value_name = "K", default_value_t = 0)]
    folds: usize,
    /// The fold, from 1
    #[arg(long, value_name = "I", default_value_t = 1)]
    fold: usize,
    /// The accuracy of every early exit too: of the first branch, the first two, and so on.
    #[arg(long = "early-exits", alias = "exits")]
    exits: bool,
    /// Answers by the mean of the logits of each image and of its mirror image; takes twice as long.
    #[arg(long = "tta-flip", alias = "mirror")]
    mirror: bool,
    /// Images of a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    device: DeviceArgs,
}

/// How the images of a model become its inputs.
pub(super) fn inputs(model: &Model, batch: usize) -> Inputs {
    Inputs { batch, transform: transform_of(&model.meta) }
}

/// Each row of pixels from right to left.
fn mirrored(images: &[f32], size: usize) -> Vec<f32> {
    images.chunks(size).flat_map(|row| row.iter().rev().copied()).collect()
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let model = load_model(&args.model)?;
    let hash = file_hash(&args.model)?;
    note!("model: {}, sha256 {hash}", args.model.display());
    let network = model.network()?;
    let data = args.data.load_divided(&[&args.split], args.group_by.as_deref(), args.folds, args.fold)?;
    super::data::say_notes(&data);
    let mapping =
        args.class_map.clone().unwrap_or_default().resolve(&data.source, &data.classes, &model.meta.classes)?;
    mapping.sentences().iter().for_each(|sentence| note!("classes: {sentence}"));
    let mapped = mapping.apply(&data.split(&args.split)?.samples);
    let mut opened = args.device.open()?;
    let mut evaluator = Evaluator::new(opened.executor.as_mut(), &network, args.batch, &model.tensors)?;
    let inputs = inputs(&model, args.batch);
    let mut answer = |images: &[f32]| {
        let mut answers = evaluator.answer(images)?;
        if args.mirror {
            let mirrored = evaluator.answer(&mirrored(images, inputs.transform.size))?;
            answers.logits.iter_mut().zip(mirrored.logits).for_each(|(logit, other)| *logit = (*logit + other) / 2.0);
        }
        Ok(answers)
    };
    let mut predictions = evaluate(&mapped.known, &network, &inputs, &mut answer)?;
    if !mapped.unknown.is_empty() {
        // The network has no logit for these labels: it is asked about the images under another, which it is then rid of.
        let images: Vec<_> = mapped.unknown.iter().map(|sample| Sample { label: 0, ..sample.clone() }).collect();
        let others = evaluate(&images, &network, &inputs, &mut answer)?;
        predictions.labels.extend(mapped.unknown.iter().map(|sample| sample.label));
        predictions.probabilities.extend(others.probabilities);
    }
    let evaluation = Evaluation::from_predictions(&predictions.labels, &predictions.answers(), &mapping.classes())?;
    let mean_accuracy = match predictions.decision {
        Decision::Vote => predictions.accuracy(&predictions.mean(predictions.branches)),
        Decision::Last => evaluation.accuracy,
    };
    let how = match predictions.decision {
        Decision::Vote => format!(" by vote, {mean_accuracy:.4} by mean probability"),
        Decision::Last => String::new(),
    };
    say!(
        "accuracy {:.4}{how}; balanced {:.4}; {} images",
        evaluation.accuracy,
        evaluation.balanced_accuracy,
        evaluation.images
    );
    for class in &evaluation.per_class {
        let recall = class.recall.map_or("–".into(), |recall| format!("{recall:.4}"));
        say!("  {:<12} {recall:>7}  ({} images)", class.class, class.images);
    }
    let branches = predictions.branch_accuracy();
    let named = |(head, accuracy): (usize, &f64)| match predictions.decision {
        Decision::Vote => format!("{accuracy:.4}"),
        Decision::Last => format!("{} {accuracy:.4}", network.head_name(head)),
    };
    say!("branches: {}", branches.iter().enumerate().map(named).collect::<Vec<_>>().join("  "));
    let exits = exits(&predictions);
    if args.exits {
        for exit in &exits {
            say!("first {:>2} branches: {:.4} by vote, {:.4} by mean probability", exit.branches, exit.vote, exit.mean);
        }
    }
    let calibration_error = predictions.calibration_error();
    say!("expected calibration error of the answer's probabilities {calibration_error:.4}");
    Ok(Outcome::passed(json!({
        "accuracy": evaluation.accuracy, "balanced_accuracy": evaluation.balanced_accuracy,
        "per_class": evaluation.per_class, "confusion": evaluation.confusion, "images": evaluation.images,
        "mean_accuracy": mean_accuracy, "branch_accuracy": branches, "loss": predictions.loss, "split": args.split, "mirror": args.mirror,
        "exits": exits, "classes": mapping.report(), "left_out": mapped.left_out, "calibration_error": calibration_error, "model_sha256": hash, "data_sha256": data.hash(), "device": opened.name(),
    })))
}
