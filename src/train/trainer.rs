//! The training loop: stages, epochs, steps, validation; what it sees goes to an [`Observer`].

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    evaluate::{Inputs, Predictions, evaluate},
    schedule::{LrSchedule, Plan, Stage, stages},
    session::{Session, SessionSpec, StepReport, TermReport, auto_gammas},
};
use crate::{
    Result,
    data::{Augment, Batch, Loader, LoaderOptions, Pool, Sample, Targets},
    exec::{Executor, Stats},
    graph::Graph,
    models::NetworkSpec,
    nn::{
        Mode,
        variables::{Tensors, initial},
    },
};

/// γ of the similarity (paper Eq. 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gamma {
    /// The same for all terms; 10 in the paper's code.
    Value(f64),
    /// One over the median squared distance between two branches' maps over the first batches of each stage.
    Auto,
}

/// Batches from which γ is taken when it is automatic.
const GAMMA_BATCHES: usize = 4;

/// Everything that decides what training does.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What is compiled; its number of branches is the last stage's.
    pub session: SessionSpec,
    /// γ.
    pub gamma: Gamma,
    /// Which branches learn when.
    pub plan: Plan,
    /// Epochs of the first stage.
    pub epochs: usize,
    /// Epochs of each later stage.
    pub stage_epochs: usize,
    /// Learning rate of what learns anew.
    pub lr: f64,
    /// Learning rate of what has learnt before.
    pub lr_old: f64,
    /// Weight decay of all parameters.
    pub weight_decay: f64,
    /// The change of the learning rate within a stage.
    pub lr_schedule: LrSchedule,
    /// The share of a stage's steps over which the learning rate rises, in [0, 1).
    pub warmup: f64,
    /// Random changes of the images.
    pub augment: Augment,
    /// Normalisation, size and colour order; its batch is that of evaluation, the session's.
    pub inputs: Inputs,
    /// Labels or votes.
    pub targets: Targets,
    /// α of mixup, 0 for none.
    pub mixup: f64,
    /// Images of a class in an epoch.
    pub limit_per_class: Option<usize>,
    /// Epochs without improvement after which a stage ends.
    pub early_stop: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
    /// Steps between two reports.
    pub read_every: usize,
    /// The training images where they stay on the device.
    pub pool: Option<Arc<Pool>>,
}

/// Where training stands; with the tensors and momenta it is all that a resumed run needs to go on to the same
/// bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// The stage, from 0.
    pub stage: usize,
    /// The epoch in the stage, from 0.
    pub epoch: usize,
    /// The next step in the epoch, from 0.
    pub step: usize,
    /// Epochs finished in all stages.
    pub epochs_done: usize,
    /// γ of each term in this stage.
    pub gammas: Vec<f64>,
    /// The best validation accuracy so far, and in which epoch of all.
    pub best: Option<(f64, usize)>,
    /// The best validation accuracy of this stage.
    pub stage_best: Option<f64>,
    /// Epochs of this stage since its best.
    pub since_best: usize,
    /// Sums over the reported steps of this epoch.
    pub sums: Sums,
    /// Seconds spent in training steps, over all stages.
    pub seconds: f64,
    /// Images trained on, over all stages.
    pub images: u64,
}

/// Sums over the reported steps of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sums {
    /// Reported steps.
    pub steps: usize,
    /// Of the loss.
    pub loss: f64,
    /// Of the hits of the network's answer.
    pub hits: f64,
    /// Images in those steps.
    pub images: usize,
}

/// What a step says while training runs.
pub struct StepRecord<'a> {
    /// Where training stands, before the step is counted.
    pub state: &'a State,
    /// Steps of an epoch.
    pub steps: usize,
    /// The schedule's factor of the learning rates.
    pub lr_factor: f64,
    /// The numbers.
    pub report: &'a StepReport,
}

/// What an epoch says when it ends.
pub struct EpochRecord<'a> {
    /// Where training stands, the epoch counted.
    pub state: &'a State,
    /// The stage's settings.
    pub stage: &'a Stage,
    /// The learning rate of what learns anew, at the last step.
    pub lr: f64,
    /// The mean training loss.
    pub train_loss: f64,
    /// The share of hits of the answer on augmented training images.
    pub train_accuracy: f64,
    /// The validation split's predictions.
    pub validation: &'a Predictions,
    /// The validation accuracy of the answers.
    pub accuracy: f64,
    /// The diversity terms at the last reported step.
    pub terms: &'a [TermReport],
    /// Seconds of this epoch's training steps.
    pub seconds: f64,
    /// Images of this epoch.
    pub images: usize,
}

/// What is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    /// The newest state, to resume from.
    Last,
    /// The best network so far.
    Best,
    /// The best network of this stage, from which the next one starts.
    StageBest,
}

/// A network at some point of training.
pub struct Snapshot<'a> {
    /// Where training stands.
    pub state: &'a State,
    /// The network, with the branches it has now.
    pub network: &'a NetworkSpec,
    /// All variables.
    pub tensors: &'a Tensors,
    /// All momenta; only for [`Save::Last`].
    pub momenta: Option<&'a Tensors>,
}

/// Takes what training sees: a run folder, a progress bar, a test.
pub trait Observer {
    /// A stage begins: its number, its settings and the cost of its step.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn stage(&mut self, number: usize, stage: &Stage, gammas: &[f64], stats: &Stats) -> Result<()>;
    /// A step was read.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn step(&mut self, record: &StepRecord<'_>) -> Result<()>;
    /// An epoch ended.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn epoch(&mut self, record: &EpochRecord<'_>) -> Result<()>;
    /// A network is to be saved.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn save(&mut self, what: Save, snapshot: &Snapshot<'_>) -> Result<()>;
    /// Whether the user wants training to stop now; the error it stops with.
    fn interrupted(&mut self) -> Option<crate::Error>;
}

/// Where training begins.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Where it stands.
    pub state: State,
    /// The variables; those that are missing start afresh.
    pub tensors: Tensors,
    /// The momenta; those that are missing are zero.
    pub momenta: Tensors,
    /// The best network of the stage in progress, where a later stage will need it.
    pub stage_best: Option<Tensors>,
}

/// Trains to the end, or until the observer interrupts; returns the final state.
///
/// # Errors
/// [`crate::Error::NotFinite`] where the loss stops being finite, [`crate::Error::Device`], [`crate::Error::Memory`],
/// [`crate::Error::Data`], and what the observer returns.
pub fn train(
    executor: &mut dyn Executor,
    settings: &Settings,
    train: &[Sample],
    validation: &[Sample],
    mut start: Start,
    observer: &mut dyn Observer,
) -> Result<State> {
    let all = stages(
        settings.plan,
        settings.session.network.heads(),
        settings.epochs,
        settings.stage_epochs,
        settings.lr,
        settings.lr_old,
    );
    let last = all.len() - 1;
    for (number, stage) in all.iter().enumerate().skip(start.state.stage) {
        let mut run = StageRun::begin(executor, settings, stage, train, validation, start)?;
        observer.stage(number, stage, &run.state.gammas, &run.session.train_stats())?;
        run.epochs(number < last, observer)?;
        start = run.end(number < last)?;
    }
    Ok(start.state)
}

/// One stage under way.
struct StageRun<'e, 's> {
    session: Session<'e>,
    settings: &'s Settings,
    stage: &'s Stage,
    train: &'s [Sample],
    validation: &'s [Sample],
    state: State,
    best: Option<Tensors>,
}

impl<'e, 's> StageRun<'e, 's> {
    fn begin(
        executor: &'e mut dyn Executor,
        settings: &'s Settings,
        stage: &'s Stage,
        train: &'s [Sample],
        validation: &'s [Sample],
        start: Start,
    ) -> Result<Self> {
        let Start { mut state, mut tensors, momenta, stage_best } = start;
        let mut spec = settings.session.clone();
        spec.network = spec.network.with_branches(stage.branches);
        for (name, tensor) in fresh(&spec.network, settings.seed)? {
            tensors.entry(name).or_insert(tensor);
        }
        if state.epoch == 0 && state.step == 0 {
            state.gammas = gammas(executor, settings, &spec, &tensors, train, &state)?;
        }
        let mut session = match &settings.pool {
            Some(pool) => Session::with_pool(executor, spec, &tensors, pool, &settings.inputs.transform())?,
            None => Session::new(executor, spec, &tensors)?,
        };
        session.set_momenta(&momenta)?;
        session.configure(&stage.weights, settings.weight_decay, &state.gammas)?;
        Ok(Self { session, settings, stage, train, validation, state, best: stage_best })
    }

    fn epochs(&mut self, more_stages: bool, observer: &mut dyn Observer) -> Result<()> {
        while self.state.epoch < self.stage.epochs && !self.stopped_early() {
            self.epoch(more_stages, observer)?;
        }
        Ok(())
    }

    fn stopped_early(&self) -> bool {
        self.settings.early_stop.is_some_and(|patience| self.state.since_best >= patience)
    }

    /// The next stage's start: this one's best network, momenta at zero, as the paper does.
    fn end(mut self, more_stages: bool) -> Result<Start> {
        if !more_stages {
            return Ok(Start { state: self.state, ..Start::default() });
        }
        let tensors = match self.best.take() {
            Some(best) => best,
            None => self.session.tensors()?,
        };
        let state = State {
            stage: self.state.stage + 1,
            epoch: 0,
            step: 0,
            gammas: vec![],
            stage_best: None,
            since_best: 0,
            ..self.state
        };
        Ok(Start { state, tensors, ..Start::default() })
    }

    fn epoch(&mut self, more_stages: bool, observer: &mut dyn Observer) -> Result<()> {
        let settings = self.settings;
        let mut loader = loader(settings, self.train, &self.state)?;
        let (steps, total) = (loader.len(), loader.len() * self.stage.epochs);
        let mut terms = Vec::new();
        let mut lr_factor = 1.0;
        let (mut clock, mut seconds) = (Instant::now(), 0.0);
        while let Some(batch) = loader.next() {
            if let Some(error) = observer.interrupted() {
                self.state.seconds += clock.elapsed().as_secs_f64();
                self.save(Save::Last, observer)?;
                return Err(error);
            }
            let batch = batch?;
            let step = self.state.epoch * steps + self.state.step;
            lr_factor = settings.lr_schedule.factor(step, total, steps, settings.warmup);
            self.session.set_lr(|part| self.stage.lr_of(part) * lr_factor)?;
            self.session.step(&batch)?;
            if (self.state.step + 1).is_multiple_of(settings.read_every) || self.state.step + 1 == steps {
                let report = self.session.report(step)?;
                let sums = &mut self.state.sums;
                sums.steps += 1;
                sums.loss += report.total;
                sums.hits += f64::from(report.hits.last().copied().unwrap_or(0.0));
                sums.images += batch.count;
                observer.step(&StepRecord { state: &self.state, steps, lr_factor, report: &report })?;
                terms = report.terms;
            }
            self.state.images += batch.count as u64;
            self.state.step += 1;
            loader.recycle(batch);
            seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
        }
        let images = loader.images();
        drop(loader);
        self.state.seconds += seconds;
        let validation = self.validate()?;
        let accuracy = validation.accuracy(&validation.answers());
        let sums = std::mem::take(&mut self.state.sums);
        let improved = self.state.stage_best.is_none_or(|best| accuracy > best);
        let best = self.state.best.is_none_or(|(best, _)| accuracy > best);
        self.state.epoch += 1;
        self.state.step = 0;
        self.state.epochs_done += 1;
        self.state.since_best = if improved { 0 } else { self.state.since_best + 1 };
        if improved {
            self.state.stage_best = Some(accuracy);
        }
        if best {
            self.state.best = Some((accuracy, self.state.epochs_done));
        }
        observer.epoch(&EpochRecord {
            state: &self.state,
            stage: self.stage,
            lr: settings.lr * lr_factor,
            train_loss: sums.loss / sums.steps.max(1) as f64,
            train_accuracy: sums.hits / sums.images.max(1) as f64,
            validation: &validation,
            accuracy,
            terms: &terms,
            seconds,
            images,
        })?;
        if best {
            self.save(Save::Best, observer)?;
        }
        if improved && more_stages {
            self.save(Save::StageBest, observer)?;
        }
        self.save(Save::Last, observer)
    }

    fn validate(&mut self) -> Result<Predictions> {
        let SessionSpec { network, batch, .. } = self.session.spec().clone();
        let inputs = Inputs { batch, ..self.settings.inputs.clone() };
        evaluate(self.validation, &network, &inputs, |images| self.session.answer(images))
    }

    fn save(&mut self, what: Save, observer: &mut dyn Observer) -> Result<()> {
        let tensors = self.session.tensors()?;
        let momenta = if what == Save::Last { Some(self.session.momenta()?) } else { None };
        let network = self.session.spec().network.clone();
        let snapshot = Snapshot { state: &self.state, network: &network, tensors: &tensors, momenta: momenta.as_ref() };
        observer.save(what, &snapshot)?;
        if what == Save::StageBest {
            self.best = Some(tensors);
        }
        Ok(())
    }
}

fn loader(settings: &Settings, samples: &[Sample], state: &State) -> Result<Loader> {
    let options = LoaderOptions {
        batch: settings.session.batch,
        size: settings.inputs.size,
        seed: settings.seed,
        epoch: state.epochs_done as u64,
        start: state.step,
        shuffle: true,
        drop_last: true,
        augment: settings.augment,
        normalise: settings.inputs.normalise,
        order: settings.inputs.order,
        targets: settings.targets,
        mixup: settings.mixup,
        limit_per_class: settings.limit_per_class,
        stage: state.stage as u64,
        pool: settings.pool.clone(),
    };
    Loader::new(samples, settings.session.network.classes(), options)
}

fn gammas(
    executor: &mut dyn Executor,
    settings: &Settings,
    spec: &SessionSpec,
    tensors: &Tensors,
    samples: &[Sample],
    state: &State,
) -> Result<Vec<f64>> {
    match settings.gamma {
        Gamma::Value(gamma) => {
            let terms = spec.network.kinds().iter().filter(|kind| spec.diversity.wants(kind));
            Ok(terms.map(|_| gamma).collect())
        }
        Gamma::Auto => {
            // The maps are read back anyway: the images go the host's way.
            let settings = Settings { pool: None, ..settings.clone() };
            let batches: Vec<Batch> = loader(&settings, samples, state)?.take(GAMMA_BATCHES).collect::<Result<_>>()?;
            auto_gammas(executor, spec, tensors, &batches)
        }
    }
}

/// The variables of a network before training.
///
/// # Errors
/// [`crate::Error::Usage`] where the network is out of range.
pub fn fresh(network: &NetworkSpec, seed: u64) -> Result<Tensors> {
    let mut graph = Graph::new();
    let x = graph.input("images", [1, 3, network.size(), network.size()]);
    network.build(&mut graph, x, Mode::Eval)?;
    Ok(initial(&graph, seed))
}
