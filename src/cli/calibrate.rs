//! `moue calibrate`: how a model's mean probabilities become its answer, fitted on a split of a data set.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Outcome,
    device::DeviceArgs,
    output::{note, say},
};
use crate::{
    Error, Result,
    checkpoint::{Model, bytes_hash, with_meta, write_atomic},
    data::{ClassMap, Dataset, Mapping, Targets},
    predict::transform_of,
    train::{
        evaluate::{Inputs, Predictions, evaluate},
        session::Evaluator,
        settings::{Settings, words::Balance},
    },
};

/// Arguments of `moue calibrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model file, of any kind that moue writes.
    #[arg(long)]
    model: PathBuf,
    /// The data that the model was trained on: ferplus:DIR, fer2013:DIR, rafdb:DIR, affectnet:DIR, folder:DIR or synthetic.
    #[arg(long)]
    data: String,
    /// The split whose labels decide: images that the model was not trained on. Where the data have no split `valid`, the
    /// one that a training holds out of `train`.
    #[arg(long, default_value = "valid")]
    split: String,
    /// Lets the split test decide; what is then measured on it is optimistic.
    #[arg(long)]
    allow_test: bool,
    /// As given to `moue train`, for the prior: the mean of its targets over what it drew of the split train.
    #[arg(long, default_value = "hard")]
    targets: Targets,
    /// As given to `moue train`.
    #[arg(long, default_value = "none")]
    balance: Balance,
    /// As given to `moue train`.
    #[arg(long, default_value_t = 0.0)]
    label_smoothing: f64,
    /// As given to `moue train`.
    #[arg(long, default_value_t = 0)]
    limit_per_class: usize,
    /// As given to `moue train`.
    #[arg(long, value_name = "FROM=TO,…", default_value = "")]
    class_map: String,
    /// As given to `moue train`, for data without a split `valid`.
    #[arg(long, default_value_t = Settings::default().val_fraction)]
    val_fraction: f64,
    /// As given to `moue train`, for data without a split `valid`.
    #[arg(long, default_value_t = Settings::default().seed)]
    seed: u64,
    /// As given to `moue train`.
    #[arg(long, value_name = "COLUMN")]
    group_by: Option<String>,
    /// As given to `moue train`.
    #[arg(long, value_name = "K", default_value_t = 0)]
    folds: usize,
    /// As given to `moue train`.
    #[arg(long, value_name = "I", default_value_t = 1)]
    fold: usize,
    /// The file to write; the model file itself by default.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Images of a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    device: DeviceArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let refused = |expected: &str, hint: &str| {
        Err(Error::Usage {
            setting: "--split".into(),
            expected: expected.into(),
            found: format!("`{}`", args.split),
            hint: hint.into(),
        })
    };
    match &*args.split {
        "train" => return refused("a split that the model was not trained on", "take `valid`"),
        "test" if !args.allow_test => {
            return refused("a split that the model is not judged by", "take `valid`, or say --allow-test");
        }
        _ => {}
    }
    let bytes = std::fs::read(&args.model)
        .map_err(|source| Error::io(&args.model, "reading the model", source, "check the path and its permissions"))?;
    let mut model = Model::from_bytes(&args.model, &bytes)?;
    let network = model.network()?;
    let settings = Settings {
        data: args.data.clone(),
        class_map: args.class_map.clone(),
        val_fraction: args.val_fraction,
        seed: args.seed,
        group_by: args.group_by.clone(),
        folds: args.folds,
        fold: args.fold,
        targets: args.targets,
        balance: args.balance,
        label_smoothing: args.label_smoothing,
        limit_per_class: args.limit_per_class,
        ..Settings::default()
    };
    settings.check()?;
    let mut data = settings.load_splits(&["train", &args.split])?;
    if args.split == "valid" {
        data.split_validation(settings.val_fraction, settings.seed)?;
    }
    super::data::say_notes(&data);
    let mapping = ClassMap::default().resolve(&data.source, &data.classes, &model.meta.classes)?;
    mapping.sentences().iter().for_each(|sentence| note!("classes: {sentence}"));
    let prior = prior_of(&settings, &model, &data, &mapping)?;
    let known = mapping.apply(&data.split(&args.split)?.samples).known;
    let mut opened = args.device.open()?;
    let mut evaluator = Evaluator::of_model(opened.executor.as_mut(), &model, args.batch)?;
    let inputs = Inputs { batch: args.batch, transform: transform_of(&model.meta) };
    let predictions = evaluate(&known, &network, &inputs, |images| evaluator.answer(images))?;

    let before = figures(&predictions, &model)?;
    if let Some(old) = &model.meta.answer {
        note!("the model had a calibration, which is replaced: T {:.4}, τ {}", old.temperature, old.tau);
    }
    let calibration = predictions.calibrate(prior);
    model.meta.answer = Some(calibration.clone());
    model.meta.result = Some(predictions.result(&args.split, Some(&calibration), &model.meta.classes)?);
    let after = figures(&predictions, &model)?;
    let out = args.out.as_ref().unwrap_or(&args.model);
    let bytes = with_meta(out, &bytes, &model.meta)?;
    write_atomic(out, "writing the model", |writer| writer.write_all(&bytes))?;

    say!(
        "T {:.4}, τ {}, by {} images of the split {}",
        calibration.temperature,
        calibration.tau,
        known.len(),
        args.split
    );
    for (class, share) in model.meta.classes.iter().zip(&calibration.prior) {
        say!("  {class:<12} prior {share:.4}");
    }
    for (when, [accuracy, balanced, likelihood]) in [("before", before), ("after", after)] {
        say!(
            "{when:<6} accuracy {accuracy:.4}; balanced {balanced:.4}; mean −ln probability of the label {likelihood:.4}"
        );
    }
    let hash = bytes_hash(&bytes);
    say!("{}: sha256 {hash}", out.display());
    let named = |[accuracy, balanced, likelihood]: [f64; 3]| json!({"accuracy": accuracy, "balanced_accuracy": balanced, "negative_log_likelihood": likelihood});
    Ok(Outcome::passed(json!({
        "out": out.display().to_string(), "calibration": calibration, "split": args.split, "images": known.len(),
        "before": named(before), "after": named(after), "model_sha256": hash, "data_sha256": data.hash(),
        "device": opened.name(),
    })))
}

/// The mean of the training's targets over the model's classes.
fn prior_of(settings: &Settings, model: &Model, data: &Dataset, mapping: &Mapping) -> Result<Vec<f64>> {
    let classes = &model.meta.classes;
    let train = &data.split("train")?.samples;
    let hash = data.hashes.get("train").map(|hash| format!("train:{hash}"));
    let trained = model.meta.data.as_ref().map_or("", |data| &data.hash);
    if let Some(hash) = hash.filter(|hash| trained.contains("train:") && !trained.split(' ').any(|own| own == hash)) {
        note!("the model was trained on other images, {trained}, than these, {hash}, of which the prior is");
    }
    if data.classes == *classes {
        return Ok(settings.prior(train, classes.len()));
    }
    if settings.targets == Targets::Soft {
        return Err(Error::Usage {
            setting: "--targets".into(),
            expected: "`hard` for data of other classes than the model's".into(),
            found: "`soft`".into(),
            hint: "leave it out, or bring the classes by --class-map to the model's, as in its training".into(),
        });
    }
    Ok(settings.prior(&mapping.apply(train).known, classes.len()))
}

/// Accuracy, balanced accuracy, and the mean of −ln of the label's probability, of the answer of the model as it is.
fn figures(predictions: &Predictions, model: &Model) -> Result<[f64; 3]> {
    let (classes, calibration) = (&model.meta.classes, model.meta.answer.as_ref());
    let result = predictions.result("", calibration, classes)?;
    let answers = predictions.answer_probabilities(calibration);
    let of = |(answer, label): (&[f32], &usize)| -f64::from(answer[*label].max(f32::MIN_POSITIVE)).ln();
    let sum: f64 = answers.chunks_exact(classes.len()).zip(&predictions.labels).map(of).sum();
    let likelihood = sum / predictions.labels.len().max(1) as f64;
    Ok([result.accuracy, result.balanced_accuracy.unwrap_or_default(), likelihood])
}
