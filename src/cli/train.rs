//! `moue train`: trains a network and leaves a run folder.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use super::{
    Outcome, device,
    init::{self, Init},
    progress::Progress,
    recorder::Recorder,
};
use crate::{
    Error, Result,
    checkpoint::{TrainingData, load_model},
    data::{Augment, ColourOrder, Dataset, Normalisation, Spec},
    diversity::{Diversity, LOGDET_EPS},
    nn::variables::Tensors,
    ops::Objective,
    train::{
        Evaluation, RunFolder, RunStart, Status, Summary, TrainConfig, TrainOptions,
        choices::{self, Colour, ObjectiveKind, Protocol, Schedule, SimilarityKind},
        evaluate::{Inputs, evaluate},
        resident::Residency,
        schedule::{LrSchedule, Plan},
        session::{Evaluator, SessionSpec},
        trainer::{Gamma, Settings, Start, fresh, train},
    },
};

/// Arguments of `moue train`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A TOML file whose keys have the flags' names; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: TrainOptions,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let resumed = args.options.resume.as_deref().map(RunFolder::locate).transpose()?;
    let config = match &resumed {
        Some(folder) => TrainConfig::resumed(&folder.join("config.toml"), &args.options)?,
        None => {
            let file = args.config.as_deref().map(TrainOptions::load).transpose()?.unwrap_or_default();
            TrainConfig::resolve(&file, &args.options)?
        }
    };
    let done = train_run(&config, resumed.as_deref(), &interrupt())?;
    let Summary { best_val_accuracy, best_epoch, epochs, images_per_s, .. } = done.summary;
    println!(
        "best validation accuracy {best_val_accuracy:.4} in epoch {best_epoch} of {epochs}; {images_per_s:.0} images/s; {}",
        done.folder.display()
    );
    let json = json!({
        "run": done.folder, "best_val_accuracy": best_val_accuracy, "epochs": epochs,
        "seconds": done.summary.seconds, "images_per_s": images_per_s, "device": done.summary.device,
    });
    Ok(Outcome::passed(json))
}

/// A finished training.
pub(super) struct Trained {
    /// The run's folder.
    pub(super) folder: PathBuf,
    /// What it reached.
    pub(super) summary: Summary,
}

/// Trains, or goes on with the run in `resumed`, until the end or until `interrupted` is set.
///
/// # Errors
/// Whatever ends the training; [`Error::Interrupted`] with a checkpoint saved.
pub(super) fn train_run(
    config: &TrainConfig,
    resumed: Option<&std::path::Path>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Trained> {
    let (data, validation) = load(config)?;
    let mut settings = settings(config, data.classes.len())?;
    // A resumed run has the weights and the colours that it began with.
    let init = if resumed.is_none() { start_weights(config, &settings, &data.classes)? } else { None };
    let (colour, normalise) =
        init.as_ref().map_or((config.colour, config.normalise), |init| (init.colour, init.normalise));
    let config = &TrainConfig { colour, normalise, ..config.clone() };
    settings.inputs = inputs(config);
    let threads = (config.threads > 0).then_some(config.threads);
    let mut opened = device::open(&config.device, config.precision, threads)?;
    opened.announce();
    let residency = Residency::choose(config.resident, opened.executor.as_ref(), &data.split("train")?.samples)?;
    eprintln!("images: {}", residency.reason);
    settings.pool = residency.pool;

    let counts = data.splits.iter().map(|(name, split)| (name.clone(), split.samples.len() as u64)).collect();
    let begin = RunStart {
        device: opened.name(),
        adapter: json!({"kind": opened.executor.device().kind, "reason": opened.reason}),
        images: residency.reason,
        data: TrainingData { source: config.data_name().to_owned(), hash: data.hash.clone(), counts },
        classes: data.classes.clone(),
        parameters: parameters(&fresh(&settings.session.network, 0)?),
        command: std::env::args().collect(),
        init: init.as_ref().map_or(serde_json::Value::Null, |init| init.report.clone()),
    };
    let (folder, start) = match resumed {
        Some(folder) => resume(folder, config, &begin)?,
        None => {
            let tensors = init.map(|init| init.tensors).unwrap_or_default();
            (RunFolder::create(config, &begin)?, Start { tensors, ..Start::default() })
        }
    };
    eprintln!("run folder: {}", folder.path().display());
    let mut recorder = Recorder::new(folder, Progress::new(), config, &begin, Arc::clone(interrupted));
    let trained = train(
        opened.executor.as_mut(),
        &settings,
        &data.split("train")?.samples,
        &data.split(validation)?.samples,
        start,
        &mut recorder,
    );
    let state = match trained {
        Ok(state) => state,
        Err(error) => {
            let status = if matches!(error, Error::Interrupted { .. }) { Status::Interrupted } else { Status::Failed };
            recorder.into_folder().stop(status)?;
            return Err(error);
        }
    };
    let (best_accuracy, best_epoch) = state.best.unwrap_or((0.0, 0));
    let mut folder = recorder.into_folder();
    let best = load_model(&folder.best())?;
    let network = best.network()?;
    let inputs = Inputs { batch: settings.session.batch, ..settings.inputs.clone() };
    let mut evaluator = Evaluator::new(opened.executor.as_mut(), &network, inputs.batch, &best.tensors)?;
    let samples = &data.split(validation)?.samples;
    let predictions = evaluate(samples, &network, &inputs, |images| evaluator.answer(images))?;
    let summary = Summary {
        best_val_accuracy: best_accuracy,
        best_epoch,
        epochs: state.epochs_done,
        seconds: state.seconds,
        images_per_s: state.images as f64 / state.seconds.max(1e-9),
        device: begin.device.clone(),
        parameters: parameters(&best.tensors),
        split: validation.to_owned(),
        evaluation: Some(Evaluation::from_predictions(&predictions.labels, &predictions.answers(), &data.classes)?),
        branch_accuracy: predictions.branch_accuracy(),
        ..Summary::default()
    };
    let summary = folder.finish(&summary, &best.meta)?;
    Ok(Trained { folder: folder.path().to_owned(), summary })
}

/// The data with a validation split, and the split that chooses the best epoch.
fn load(config: &TrainConfig) -> Result<(Dataset, &'static str)> {
    let spec: Spec = config.data.parse()?;
    match config.protocol {
        Protocol::Clean => {
            let mut data = spec.load_splits(&["train", "valid"])?;
            data.split_validation(config.validation, config.seed)?;
            Ok((data, "valid"))
        }
        Protocol::Released => Ok((spec.load_splits(&["train", "test"])?, "test")),
    }
}

fn settings(config: &TrainConfig, classes: usize) -> Result<Settings> {
    let network = config.network(classes);
    network.validate()?;
    let diversity = Diversity {
        branch: config.branch_diversity,
        spatial: config.spatial_diversity,
        channel: config.channel_diversity,
        released: config.similarity == SimilarityKind::Released,
        objective: match config.objective {
            ObjectiveKind::Det => Objective::Det,
            ObjectiveKind::LogDet => Objective::LogDet { eps: LOGDET_EPS },
            ObjectiveKind::Sum => Objective::Sum,
        },
    };
    let session =
        SessionSpec { network, batch: config.batch, diversity, momentum: config.momentum, nesterov: config.nesterov };
    Ok(Settings {
        inputs: inputs(config),
        session,
        gamma: match config.gamma {
            choices::Gamma::Auto => Gamma::Auto,
            choices::Gamma::Value(value) => Gamma::Value(value),
        },
        plan: match config.schedule {
            Schedule::Joint => Plan::Joint,
            Schedule::Progressive => Plan::Progressive,
            Schedule::FineTune => Plan::FineTune,
        },
        epochs: config.epochs,
        stage_epochs: config.stage_epochs,
        lr: config.lr,
        lr_old: config.lr_old,
        weight_decay: config.weight_decay,
        lr_schedule: match config.lr_schedule {
            choices::LrSchedule::Constant => LrSchedule::Constant,
            choices::LrSchedule::Step => LrSchedule::Step { every: config.step_size, gamma: config.step_gamma },
            choices::LrSchedule::Cosine => LrSchedule::Cosine,
            choices::LrSchedule::OneCycle => LrSchedule::OneCycle,
        },
        warmup: config.warmup,
        augment: config.augment.parse::<Augment>()?,
        targets: match config.targets {
            choices::Targets::Hard => crate::data::Targets::Hard,
            choices::Targets::Votes => crate::data::Targets::Votes,
        },
        mixup: config.mixup,
        limit_per_class: (config.limit_per_class > 0).then_some(config.limit_per_class),
        early_stop: (config.early_stop > 0).then_some(config.early_stop),
        seed: config.seed,
        read_every: config.read_every,
        pool: None,
    })
}

/// What `--init` brings for the network of the first stage.
fn start_weights(config: &TrainConfig, settings: &Settings, classes: &[String]) -> Result<Option<Init>> {
    if config.init.is_none() {
        return Ok(None);
    }
    let branches = if settings.plan == Plan::Progressive { 1 } else { config.branches };
    let first = settings.session.network.with_branches(branches);
    init::load(config, fresh(&first, config.seed)?, classes)
}

/// How images become inputs; what is still `auto` is as if no weights were there to start from.
fn inputs(config: &TrainConfig) -> Inputs {
    Inputs {
        batch: config.batch,
        size: config.size,
        normalise: (config.normalise == choices::Normalise::Imagenet).then_some(Normalisation::IMAGENET),
        order: if config.colour == Colour::Bgr { ColourOrder::Bgr } else { ColourOrder::Rgb },
    }
}

fn resume(folder: &std::path::Path, config: &TrainConfig, begin: &RunStart) -> Result<(RunFolder, Start)> {
    let (folder, saved) = RunFolder::resume(folder, config, begin)?;
    let state = serde_json::from_value(saved.state).map_err(|error| Error::File {
        path: folder.last(),
        expected: "the state of a training by this version".into(),
        found: error.to_string(),
        hint: "start a new run, or resume with the version that began it".into(),
    })?;
    let stage_best = folder.path().join("checkpoints").join(super::recorder::STAGE_BEST);
    let stage_best = if stage_best.exists() { Some(load_model(&stage_best)?.tensors) } else { None };
    Ok((folder, Start { state, tensors: saved.model.tensors, momenta: saved.momenta, stage_best }))
}

fn parameters(tensors: &Tensors) -> usize {
    tensors.iter().filter(|(name, _)| !name.contains("running_")).map(|(_, (_, values))| values.len()).sum()
}

/// A flag that Ctrl-C sets; the second one ends the process at once.
pub(super) fn interrupt() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let installed = ctrlc::set_handler(move || {
        if set.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; once more to stop at once without saving");
    });
    if let Err(error) = installed {
        eprintln!("Ctrl-C will not save: {error}");
    }
    flag
}
