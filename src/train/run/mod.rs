//! A run: one training, with its folder, from its start over any number of resumptions to its end.
//!
//! [`Run::start`] begins one, [`Run::resume`] goes on with one, [`Run::train`] trains it to its end or until its observer
//! stops it. A run holds its folder by a [`Claim`]; all that it must remember is one [`State`].
//!
//! ```no_run
//! use moue::train::{Settings, run::{Run, TrainingSet}, trainer::Observer};
//!
//! struct Quiet;
//! impl Observer for Quiet {}
//!
//! # fn main() -> moue::Result<()> {
//! let settings = Settings { branches: 2, epochs: 3, ..Settings::default() };
//! let (data, device) = (TrainingSet::load(&settings)?, settings.open_device()?);
//! let trained = Run::start(&settings, data, device)?.train(&mut Quiet)?;
//! println!("{:.3} on the validation images; {}", trained.summary.best_val_accuracy, trained.folder.display());
//! // After an interruption: Run::resume("runs/esr-synthetic".as_ref())?.train(&mut Quiet)?
//! # Ok(())
//! # }
//! ```

pub mod claim;
mod facts;
mod folder;
mod init;
mod recorder;
mod state;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    evaluate::{Inputs, evaluate_unless, votes_of},
    metrics::Summary,
    resident::Residency,
    session::Evaluator,
    settings::{Given, Settings, words::SelectOn},
    teachers::Teachers,
    trainer::{Ended, Job, Observer, Start, fresh, train},
};
use crate::{
    Error, Result,
    checkpoint::{TrainingData, load_model},
    data::{Augment, Dataset},
    evaluation::{Answered, Evaluation, MapSums, Members},
    exec::open::{Opened, open},
    models::Decision,
    nn::variables::Tensors,
};
use claim::Claim;
use recorder::Recorder;

pub use facts::{RunStart, Status};
pub use folder::{RunFolder, Saved, read_records};
pub use state::{Position, State};

/// The images of a training: those that train, and those that choose the best epoch.
#[derive(Debug, Clone)]
pub struct TrainingSet {
    data: Dataset,
    validation: &'static str,
}

/// The place of a run before its data and its device are known: its folder, claimed, and its settings.
#[derive(Debug)]
pub struct Place {
    claim: Claim,
    settings: Settings,
}

/// A run that is ready to train, or to go on.
pub struct Run {
    folder: RunFolder,
    settings: Settings,
    set: TrainingSet,
    device: Opened,
    residency: Residency,
    teachers: Option<Teachers>,
    begin: RunStart,
    state: State,
    start: Start,
    notes: Vec<String>,
}

impl TrainingSet {
    /// Loads the data that the settings name. Without a validation split of their own one is held out, unless the test
    /// split is to choose; a fold that the settings name is the test split.
    ///
    /// # Errors
    /// Those of [`Settings::load_splits`] and [`Dataset::split_validation`].
    pub fn load(settings: &Settings) -> Result<Self> {
        match settings.select_on {
            SelectOn::Valid => {
                let mut data = settings.load_splits(&["train", "valid"])?;
                data.split_validation(settings.val_fraction, settings.seed)?;
                Ok(Self { data, validation: "valid" })
            }
            SelectOn::Test => Ok(Self { data: settings.load_splits(&["train", "test"])?, validation: "test" }),
        }
    }

    /// The data set.
    #[must_use]
    pub fn data(&self) -> &Dataset {
        &self.data
    }
}

impl Place {
    /// A new folder for a run with these settings, by their `out` and `name`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be made.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { claim: RunFolder::create(settings)?, settings: settings.clone() })
    }

    /// A folder that this process has claimed: that of a run with these settings, or an empty one for it.
    ///
    /// # Errors
    /// [`Error::File`] where the run there has other settings; [`Error::Usage`] or [`Error::Io`] where they cannot be read.
    pub fn claimed(claim: Claim, settings: &Settings) -> Result<Self> {
        let path = claim.folder().join("config.toml");
        if path.is_file() {
            let saved = Settings::resumed(&path, &Given::default())?;
            if let Some(difference) = saved.difference(settings) {
                return Err(Error::File {
                    path,
                    expected: "a run that began with the settings that are asked for".into(),
                    found: difference,
                    hint: "name another folder, or remove this one to train it again".into(),
                });
            }
        }
        Ok(Self { claim, settings: settings.clone() })
    }

    /// The folder of the run that `given` names: the folder itself, or a checkpoint in it. `changes` are settings that
    /// may differ from those that the run began with.
    ///
    /// # Errors
    /// [`Error::File`] where there is no run, [`Error::Busy`] where another process trains it, [`Error::Usage`] for a
    /// setting that must not change.
    pub fn of_run(given: &Path, changes: &Given) -> Result<Self> {
        let folder = RunFolder::locate(given)?;
        let settings = Settings::resumed(&folder.join("config.toml"), changes)?;
        let claim = Claim::take(&folder, settings.claim_timeout())?;
        Ok(Self { claim, settings })
    }

    /// The run's settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Run {
    /// Begins a run in a new folder.
    ///
    /// # Errors
    /// As [`Run::at`], and [`Error::Io`] where the folder cannot be made.
    pub fn start(settings: &Settings, set: TrainingSet, device: Opened) -> Result<Self> {
        Self::at(Place::new(settings)?, set, device)
    }

    /// Goes on with the run in a folder, on the data and the device that its settings name.
    ///
    /// # Errors
    /// As [`Place::of_run`] and [`Run::at`], and those of loading the data and opening the device.
    pub fn resume(folder: &Path) -> Result<Self> {
        let place = Place::of_run(folder, &Given::default())?;
        let set = TrainingSet::load(place.settings())?;
        let device = place.settings().open_device()?;
        Self::at(place, set, device)
    }

    /// Goes on with the run at a place where it has a checkpoint, begins it where it has none.
    ///
    /// # Errors
    /// [`Error::Usage`] for settings that the network or the device does not take, [`Error::File`] for a run of other
    /// data or weights to start from that do not fit, [`Error::Io`] where its files cannot be read or written.
    pub fn at(place: Place, set: TrainingSet, mut device: Opened) -> Result<Self> {
        let Place { claim, mut settings } = place;
        let classes = &set.data.classes;
        let network = settings.network(classes.len());
        network.validate()?;
        let saved = RunFolder::checkpoint(claim.folder(), &settings, classes.len())?;
        // A run that goes on has the weights and the colours that it began with.
        let init = if saved.is_none() { init::load(&settings, classes)? } else { None };
        if let Some(init) = &init {
            (settings.colour, settings.normalise) = (init.colour, init.normalise);
        }
        let train = &set.data.split("train")?.samples;
        if settings.resample_votes && train.iter().all(|sample| sample.votes.is_none()) {
            return Err(Error::Usage {
                setting: "--resample-votes".into(),
                expected: "data with annotators' votes, such as ferplus".into(),
                found: settings.data_name().to_owned(),
                hint: "leave it out".into(),
            });
        }
        let teachers = if settings.teacher.is_empty() { None } else { Some(Teachers::load(&settings, classes)?) };
        if let (Some(saved), Some(teachers)) = (&saved, &teachers) {
            teachers.check(&settings, &saved.state.training.teachers)?;
        }
        let residency = if teachers.is_some() {
            Residency::host("the teachers look at it")
        } else if settings.augment.parse::<Augment>()?.needs_host() {
            Residency::host("border, blur and jpeg are changed there")
        } else {
            Residency::choose(settings.resident, device.executor.as_ref(), train)?
        };
        let counts = set.data.splits.iter().map(|(name, split)| (name.clone(), split.samples.len() as u64)).collect();
        let begin = RunStart {
            device: device.name(),
            adapter: json!({"kind": device.executor.device().kind, "reason": device.reason}),
            images: residency.reason.clone(),
            data: TrainingData { source: settings.data_name().to_owned(), hash: set.data.hash(), counts },
            classes: classes.clone(),
            parameters: parameters(&fresh(&network, 0)?),
            command: std::env::args().collect(),
            init: init.as_ref().map_or(Value::Null, |init| init.report.clone()),
        };
        let mut notes = Vec::new();
        let (folder, state, start) = match saved {
            Some(Saved { state, tensors, momenta, stage_best }) => {
                let folder = RunFolder::resume(claim, &settings, &state, &begin)?;
                let start = Start { state: state.training.clone(), tensors, momenta, stage_best };
                (folder, state, start)
            }
            None => {
                let folder = RunFolder::begin(claim, &settings, &begin)?;
                let tensors = init.map(|init| {
                    notes = init.notes;
                    init.tensors
                });
                (folder, State::default(), Start { tensors: tensors.unwrap_or_default(), ..Start::default() })
            }
        };
        device.executor.clear();
        Ok(Self { folder, settings, set, device, residency, teachers, begin, state, start, notes })
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The settings; colours and normalisation as the weights to start from decided them.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the run stands: how many epochs and steps of the next one are done.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The device, and why it is this one.
    #[must_use]
    pub fn device(&self) -> &Opened {
        &self.device
    }

    /// Where the training images are, and why.
    #[must_use]
    pub fn images(&self) -> &str {
        &self.residency.reason
    }

    /// What became of the weights to start from, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Trains to the end and writes the report.
    ///
    /// # Errors
    /// [`Error::Interrupted`] where `observer` stopped it, with a checkpoint saved; and whatever else ends a training.
    pub fn train(mut self, observer: &mut dyn Observer) -> Result<Trained> {
        let ended = self.run(observer);
        let status = match &ended {
            Ok(Some(_)) => Status::Finished,
            Ok(None) => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        let noted = if status == Status::Finished { Ok(()) } else { self.folder.stop(status) };
        match ended {
            Ok(Some(summary)) => {
                let (folder, claim) = (self.folder.path().to_owned(), self.folder.into_claim());
                Ok(Trained { folder, summary, claim })
            }
            Ok(None) => noted.and(Err(Error::Interrupted { checkpoint: self.folder.last() })),
            // What ended the training says more than that run.json could not be written.
            Err(error) => Err(error),
        }
    }

    /// None where the observer stopped it.
    fn run(&mut self, observer: &mut dyn Observer) -> Result<Option<Summary>> {
        let Self { folder, settings, set, device, residency, teachers, begin, state, start, .. } = self;
        let (classes, validation) = (&set.data.classes, &set.data.split(set.validation)?.samples);
        let job = Job {
            settings,
            classes: classes.len(),
            train: &set.data.split("train")?.samples,
            validation,
            pool: residency.pool.clone(),
        };
        let mut recorder = Recorder::new(folder, observer, settings, begin, state.clone());
        let training =
            match train(device.executor.as_mut(), &job, teachers.as_mut(), std::mem::take(start), &mut recorder)? {
                Ended::Stopped(_) => return Ok(None),
                Ended::Finished(training) => training,
            };
        let mut best = load_model(&folder.best())?;
        let network = best.network()?;
        let inputs = Inputs { batch: settings.batch_size, transform: settings.transform() };
        let mut evaluator = Evaluator::of_model(device.executor.as_mut(), &best, inputs.batch)?;
        let answer = |images: &[f32]| evaluator.answer(images);
        let Some(predictions) = evaluate_unless(|| observer.stops(), validation, &network, &inputs, answer)? else {
            return Ok(None);
        };
        // Nothing is fitted to the split that judges.
        let fits = settings.select_on == SelectOn::Valid;
        best.meta.answer = fits.then(|| predictions.calibrate(settings.prior(job.train, classes.len())));
        let answers = predictions.answered(best.meta.answer.as_ref(), predictions.branches);
        let evaluation = Evaluation::from_predictions(&predictions.labels, &answers, classes)?;
        // Both follow from the weights alone: a run that is killed here, and resumed, writes the same file.
        best.meta.result = Some(predictions.result(settings.chosen_on(), best.meta.answer.as_ref(), classes)?);
        folder.save_best(&best.meta, &best.tensors)?;
        let vote = || predictions.accuracy(&predictions.vote(predictions.branches));
        let mean = predictions.answer_probabilities(best.meta.answer.as_ref());
        let votes = votes_of(validation);
        let answered = Answered {
            classes: classes.len(),
            probabilities: &mean,
            labels: &predictions.labels,
            votes: votes.as_deref(),
        };
        let (best_val_accuracy, best_epoch) = training.best.unwrap_or((0.0, 0));
        let summary = Summary {
            best_val_accuracy,
            best_epoch,
            epochs: training.epochs_done,
            seconds: training.seconds + training.validation_seconds,
            training_seconds: training.seconds,
            images_per_s: training.images as f64 / training.seconds.max(1e-9),
            device: begin.device.clone(),
            parameters: parameters(&best.tensors),
            split: set.validation.to_owned(),
            evaluation: Some(evaluation),
            vote_accuracy: (predictions.decision == Decision::Vote).then(vote),
            branch_accuracy: predictions.branch_accuracy(),
            figures: Some(answered.figures()),
            reliability: answered.reliability(),
            risks: answered.risks(),
            members: Some(Members::of(&predictions.members().concat(), &predictions.labels)),
            maps: predictions.maps.iter().map(MapSums::figures).collect(),
            ..Summary::default()
        };
        folder.finish(&summary, &best.meta).map(Some)
    }
}

/// A finished training.
#[derive(Debug)]
pub struct Trained {
    /// The run's folder.
    pub folder: PathBuf,
    /// What it reached.
    pub summary: Summary,
    /// The folder is this process's until this is dropped.
    pub claim: Claim,
}

impl Settings {
    /// Opens the device that they name.
    ///
    /// # Errors
    /// [`Error::Device`] where there is none that fits.
    pub fn open_device(&self) -> Result<Opened> {
        open(&self.device, self.precision, (self.threads > 0).then_some(self.threads))
    }

    /// How long a claim holds without a sign of life.
    #[must_use]
    pub fn claim_timeout(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(60.0 * self.claim_timeout)
    }
}

fn parameters(tensors: &Tensors) -> usize {
    tensors.iter().filter(|(name, _)| !name.contains("running_")).map(|(_, (_, values))| values.len()).sum()
}
