//! `moue eval`: models on a data set.

mod choose;
mod say;
mod steadiness;

use std::path::PathBuf;

use serde_json::json;

use super::{Outcome, abstain::Abstain, device::DeviceArgs, output::note};
use choose::Chosen;

use crate::{
    Error, Result,
    checkpoint::{Model, file_hash, load_model},
    data::{ClassMap, Sample, Spec},
    evaluation::{About, Evaluation, Kept, MapSums, Members, average_precision},
    models::{Calibration, Decision},
    predict::transform_of,
    train::{
        ablation::exits,
        evaluate::{Inputs, Predictions, evaluate, votes_of},
        session::Evaluator,
    },
};

/// Arguments of `moue eval`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model file; several answer together, by the mean of their probabilities.
    #[arg(long, required = true)]
    model: Vec<PathBuf>,
    /// ferplus:DIR, fer2013:DIR, rafdb:DIR, affectnet:DIR, folder:DIR or synthetic.
    #[arg(long)]
    data: Spec,
    /// The splits, judged together: train, valid, test.
    #[arg(long, value_delimiter = ',', default_value = "test")]
    split: Vec<String>,
    /// FROM=TO,…: images of the data's class FROM count as the model's class TO, `FROM=` leaves them out; names of one
    /// expression, such as happy and happiness, find each other without it.
    #[arg(long, value_name = "FROM=TO,…")]
    class_map: Option<ClassMap>,
    /// Only the images whose ids a file lists, one a line.
    #[arg(long, value_name = "LIST")]
    subset: Option<PathBuf>,
    /// Leaves out the images that the split train has too, pixel for pixel.
    #[arg(long)]
    without_copies: bool,
    /// A table with a column `id` and columns of groups, such as `age`: the accuracy of each group, and whether the
    /// groups differ by more than chance.
    #[arg(long, value_name = "CSV")]
    groups: Option<PathBuf>,
    /// Writes the answers, for `moue compare`.
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Writes them at a quarter of the length: 16-bit probabilities, without ids and votes.
    #[arg(long, requires = "predictions")]
    compact: bool,
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
    /// The mean of the branches' probabilities answers, whatever calibration the model has.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    abstain: Abstain,
    /// How many answers change where the images are mirrored, darker, brighter, saved as JPEG, moved or scaled, and the
    /// accuracy then; takes twelve times as long.
    #[arg(long)]
    steadiness: bool,
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

/// Models that answer together.
fn load(paths: &[PathBuf]) -> Result<(Vec<Model>, Vec<String>)> {
    let (mut models, mut hashes) = (Vec::new(), Vec::new());
    for path in paths {
        let model = load_model(path)?;
        let hash = file_hash(path)?;
        note!("model: {}, sha256 {hash}", path.display());
        if let Some(first) = models.first().filter(|first: &&Model| first.meta.classes != model.meta.classes) {
            return Err(Error::File {
                path: path.clone(),
                expected: format!("the classes of {}: {}", first.path.display(), first.meta.classes.join(", ")),
                found: model.meta.classes.join(", "),
                hint: "models that answer together have the same classes in the same order".into(),
            });
        }
        models.push(model);
        hashes.push(hash);
    }
    Ok((models, hashes))
}

/// What a model answers to the images.
fn ask(args: &Args, model: &Model, samples: &[Sample], evaluator: &mut Evaluator<'_>) -> Result<Predictions> {
    let inputs = inputs(model, args.batch);
    evaluate(samples, &model.network()?, &inputs, |images| {
        let mut answers = evaluator.answer(images)?;
        if args.mirror {
            let mirrored = evaluator.answer(&mirrored(images, inputs.transform.size))?;
            answers.logits.iter_mut().zip(mirrored.logits).for_each(|(logit, other)| *logit = (*logit + other) / 2.0);
        }
        Ok(answers)
    })
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let (models, hashes) = load(&args.model)?;
    let classes = &models[0].meta.classes;
    let calibrations: Vec<_> = models.iter().map(|model| model.meta.answer.as_ref().filter(|_| !args.raw)).collect();
    let threshold = args.abstain.threshold(&args.model, calibrations[0])?;
    let mut names: Vec<&str> = args.split.iter().map(String::as_str).collect();
    if args.without_copies {
        if names.contains(&"train") {
            return Err(Error::Usage {
                setting: "--without-copies".into(),
                expected: "splits other than `train`, of whose images none would be left".into(),
                found: "`train`".into(),
                hint: "name the split that judges, such as `test`".into(),
            });
        }
        names.push("train");
    }
    let data = args.data.load_divided(&names, args.group_by.as_deref(), args.folds, args.fold)?;
    super::data::say_notes(&data);
    let mapping = args.class_map.clone().unwrap_or_default().resolve(&data.source, &data.classes, classes)?;
    mapping.sentences().iter().for_each(|sentence| note!("classes: {sentence}"));
    let Chosen { known, unknown, left_out, copies, splits } =
        Chosen::of(&data, &args.split, args.subset.as_deref(), args.without_copies, &mapping)?;
    if args.without_copies {
        note!("{copies} images are left out: the split train has the same pixels");
    }
    let groups = args.groups.as_deref().map(|path| choose::groups(path, &known)).transpose()?;

    // The network has no logit for the labels of the unknown: it is asked about them under another, which they are then
    // rid of.
    let others: Vec<_> = unknown.iter().map(|sample| Sample { label: 0, ..sample.clone() }).collect();
    let mut opened = args.device.open()?;
    let (mut asked, mut asked_unknown) = (Vec::new(), Vec::new());
    for model in &models {
        let mut evaluator = Evaluator::of_model(opened.executor.as_mut(), model, args.batch)?;
        asked.push(ask(args, model, &known, &mut evaluator)?);
        if !others.is_empty() {
            asked_unknown.push(ask(args, model, &others, &mut evaluator)?);
        }
    }
    let ids = known.iter().map(|sample| sample.id.clone()).collect();
    // Without the folder, which means nothing elsewhere.
    let source = data.source.split(':').next().unwrap_or_default().to_owned();
    let mut about = About::new(classes.clone(), source, splits, hashes.clone(), ids);
    about.calibrated = calibrations.iter().any(Option::is_some);
    let kept = together(about, &asked, &calibrations, &known);
    if let Some(path) = &args.predictions {
        kept.write(path, args.compact)?;
    }

    let answered = kept.answered();
    let mut labels = kept.labels.clone();
    let (mut answers, mut vote) = (answered.answers(), kept.vote());
    if !unknown.is_empty() {
        let others = together(kept.about.clone(), &asked_unknown, &calibrations, &others);
        labels.extend(unknown.iter().map(|sample| sample.label));
        answers.extend(others.answered().answers());
        vote.extend(others.vote());
    }
    let evaluation = Evaluation::from_predictions(&labels, &answers, &mapping.classes())?;
    let vote_accuracy = Evaluation::from_predictions(&labels, &vote, &mapping.classes())?.accuracy;
    let abstained = threshold.map(|least| say::Abstained::of(answered, least));
    let figures = answered.figures();
    let members = Members::of(&kept.members, &kept.labels);
    let named: Vec<String> = match &models[..] {
        [model] if asked[0].decision == Decision::Last => {
            let (network, accuracy) = (model.network()?, asked[0].branch_accuracy());
            accuracy.iter().enumerate().map(|(head, a)| format!("{} {a:.4}", network.head_name(head))).collect()
        }
        _ => members.accuracy.iter().map(|accuracy| format!("{accuracy:.4}")).collect(),
    };
    say::figures(&evaluation, vote_accuracy, &figures, &members, &named);
    if let Some(abstained) = &abstained {
        abstained.say();
    }
    let maps: Vec<_> = asked.iter().flat_map(|predictions| &predictions.maps).map(MapSums::figures).collect();
    maps.iter().for_each(say::maps);
    let exits = if asked.len() == 1 { exits(&asked[0]) } else { Vec::new() };
    // The accuracy of the answer itself by the first branches, one, two, … of them.
    let by_branches = match &asked[..] {
        [alone] => alone.result("", calibrations[0], classes)?.by_branches,
        _ => Vec::new(),
    };
    if args.exits {
        say::exits(&exits, &by_branches, evaluation.accuracy);
    }
    let right: Vec<bool> = answered.answers().iter().zip(&kept.labels).map(|(answer, label)| answer == label).collect();
    let groups: Vec<_> = groups.unwrap_or_default().into_iter().map(|column| column.judged(&right)).collect();
    groups.iter().for_each(say::groups);
    let precision = |class: usize| {
        let scores: Vec<f64> = kept.mean.chunks(classes.len()).map(|row| f64::from(row[class])).collect();
        average_precision(&scores, &kept.labels.iter().map(|&label| label == class).collect::<Vec<_>>())
    };
    let steadiness = if args.steadiness {
        steadiness::judge(&known, &answered.answers(), |changed| {
            let mut asked = Vec::new();
            for model in &models {
                let mut evaluator = Evaluator::of_model(opened.executor.as_mut(), model, args.batch)?;
                asked.push(ask(args, model, changed, &mut evaluator)?);
            }
            Ok(together(kept.about.clone(), &asked, &calibrations, changed).answered().answers())
        })?
    } else {
        Vec::new()
    };
    let branch_accuracy = if asked.len() == 1 { asked[0].branch_accuracy() } else { members.accuracy.clone() };
    let loss = asked.iter().map(|predictions| predictions.loss).sum::<f64>() / asked.len() as f64;
    Ok(Outcome::passed(json!({
        "accuracy": evaluation.accuracy, "vote_accuracy": vote_accuracy,
        "balanced_accuracy": evaluation.balanced_accuracy, "per_class": evaluation.per_class,
        "average_precision": (0..classes.len()).map(precision).collect::<Vec<_>>(),
        "confusion": evaluation.confusion, "images": evaluation.images, "figures": figures,
        "reliability": answered.reliability(), "risk_at_coverage": say::risk_curve(&answered.risks()),
        "members": members, "maps": maps, "groups": groups, "branch_accuracy": branch_accuracy, "loss": loss,
        "split": args.split.join(","), "mirror": args.mirror, "raw": args.raw, "exits": exits,
        "by_branches": by_branches, "abstained": abstained, "steadiness": steadiness, "classes": mapping.report(),
        "left_out": left_out, "copies": copies, "calibration_error": figures.calibration_error,
        "model_sha256": hashes.join(","), "data_sha256": data.hash(), "device": opened.name(),
    })))
}

/// The answers of all models to the same images, joined: the mean of their probabilities, each by its own calibration,
/// and all of their branches.
fn together(about: About, asked: &[Predictions], by: &[Option<&Calibration>], samples: &[Sample]) -> Kept {
    let answered = asked.iter().zip(by);
    let means: Vec<Vec<f32>> = answered.map(|(predictions, by)| predictions.answer_probabilities(*by)).collect();
    let mean = |index: usize| means.iter().map(|mean| mean[index]).sum::<f32>() / means.len() as f32;
    let members: Vec<Vec<Vec<u8>>> = asked.iter().map(Predictions::members).collect();
    Kept {
        about,
        mean: (0..means[0].len()).map(mean).collect(),
        members: (0..samples.len()).flat_map(|image| members.iter().flat_map(move |own| own[image].clone())).collect(),
        labels: samples.iter().map(|sample| sample.label).collect(),
        votes: votes_of(samples),
    }
}
