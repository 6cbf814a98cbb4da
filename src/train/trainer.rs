//! The training loop: stages, epochs, steps, validation; what it sees goes to an [`Observer`].

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

pub use super::observer::{EpochRecord, Observer, Save, Snapshot, StepRecord};
use super::{
    auto_gamma::auto_gammas,
    average::{Average, NORM_BATCHES},
    batches::{LossTargets, loader},
    evaluate::{Inputs, Predictions, evaluate_unless, votes_of},
    schedule::{Stage, diversity_factor, lr_factor, stages},
    session::{Session, SessionSpec, TermReport},
    settings::{
        Settings,
        words::{DiversityWeight, Gamma},
    },
    sums::Sums,
    teachers::Teachers,
};
use crate::{
    Result,
    data::{Pool, Sample},
    exec::Executor,
    graph::Graph,
    models::NetworkSpec,
    nn::{
        Mode,
        variables::{Tensors, initial},
    },
};

/// What is trained, on what.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// Everything that decides what training does.
    pub settings: &'a Settings,
    /// The number of classes K.
    pub classes: usize,
    /// The training images.
    pub train: &'a [Sample],
    /// The images that choose the best epoch.
    pub validation: &'a [Sample],
    /// The training images where they stay on the device.
    pub pool: Option<Arc<Pool>>,
}

/// Where training stands; with the tensors and momenta it is all that a resumed run needs to go on to the same
/// bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The stage, from 0.
    pub stage: usize,
    /// The epoch in the stage, from 0.
    pub epoch: usize,
    /// The next step in the epoch, from 0.
    pub step: usize,
    /// Epochs finished in all stages.
    #[serde(alias = "epochs-done")]
    pub epochs_done: usize,
    /// γ of each term in this stage.
    pub gammas: Vec<f64>,
    /// λ of each term in this epoch, before its schedule's factor; none where all are 1.
    #[serde(default)]
    pub diversity_weights: Vec<f64>,
    /// The validation accuracy of the best epoch so far, and which of all it was.
    pub best: Option<(f64, usize)>,
    /// What it reached in what `--monitor` names, the larger the better; none in states of versions that knew accuracy
    /// alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_monitored: Option<f64>,
    /// The same of this stage's best.
    #[serde(alias = "stage-best")]
    pub stage_best: Option<f64>,
    /// Epochs of this stage since its best.
    #[serde(alias = "since-best")]
    pub since_best: usize,
    /// Sums over the steps of the epoch in progress.
    pub sums: Sums,
    /// The diversity terms at the last reported step of this epoch.
    #[serde(default)]
    pub terms: Vec<TermReport>,
    /// The SHA-256 of each teacher's file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<String>,
    /// Seconds spent in training steps of this epoch.
    #[serde(default)]
    pub epoch_seconds: f64,
    /// Seconds spent in training steps, over all stages.
    pub seconds: f64,
    /// Seconds spent in validation, over all stages.
    #[serde(default)]
    pub validation_seconds: f64,
    /// Images trained on, over all stages.
    pub images: u64,
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

/// How a training came to its end.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// All stages are done.
    Finished(State),
    /// The observer stopped it, and was given the newest state to save.
    Stopped(State),
}

/// Trains to the end, or until the observer stops it.
///
/// # Errors
/// [`crate::Error::NotFinite`] where the loss stops being finite, [`crate::Error::Device`], [`crate::Error::Memory`], [`crate::Error::Data`], and what
/// the observer returns.
pub fn train(
    executor: &mut dyn Executor,
    job: &Job<'_>,
    mut teachers: Option<&mut Teachers>,
    mut start: Start,
    observer: &mut dyn Observer,
) -> Result<Ended> {
    let all = stages(job.settings, job.settings.network(job.classes).heads());
    let last = all.len() - 1;
    for (number, stage) in all.iter().enumerate().skip(start.state.stage) {
        let mut run = StageRun::begin(executor, job, teachers.as_deref_mut(), stage, start)?;
        observer.stage(number, stage, &run.state.gammas, &run.session.train_stats())?;
        if run.epochs(number < last, observer)? == Flow::Stop {
            return Ok(Ended::Stopped(run.state));
        }
        start = run.end(number < last)?;
    }
    Ok(Ended::Finished(start.state))
}

/// Whether training goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

/// One stage under way.
struct StageRun<'e, 'j> {
    session: Session<'e>,
    job: &'j Job<'j>,
    targets: LossTargets<'e>,
    stage: &'j Stage,
    state: State,
    best: Option<Tensors>,
    average: Option<Average>,
    /// The averaged network as it was validated last.
    averaged: Option<Tensors>,
}

impl<'e, 'j> StageRun<'e, 'j> {
    fn begin(
        executor: &'e mut dyn Executor,
        job: &'j Job<'j>,
        teachers: Option<&'e mut Teachers>,
        stage: &'j Stage,
        start: Start,
    ) -> Result<Self> {
        let settings = job.settings;
        let Start { mut state, mut tensors, momenta, stage_best } = start;
        let mut spec = settings.session(job.classes);
        spec.network = spec.network.with_branches(stage.branches);
        for (name, tensor) in fresh(&spec.network, settings.seed)? {
            tensors.entry(name).or_insert(tensor);
        }
        let mut targets = LossTargets::new(job, teachers, spec.network.heads());
        if state.epoch == 0 && state.step == 0 {
            state.teachers = targets.teachers();
            state.gammas = gammas(executor, job, &mut targets, &spec, &tensors, &state)?;
            state.diversity_weights = match settings.diversity_weight {
                DiversityWeight::Value(weight) if spec.diversity.weighted => vec![weight; state.gammas.len()],
                _ => Vec::new(),
            };
        }
        let mut session = match &job.pool {
            Some(pool) => Session::with_pool(executor, spec, &tensors, pool, &settings.transform())?,
            None => Session::new(executor, spec, &tensors)?,
        };
        session.set_momenta(&momenta)?;
        session.set_sums(&state.sums)?;
        session.configure(&stage.weights, settings.weight_decay, &state.gammas)?;
        let average = if settings.ema > 0.0 {
            Some(Average::new(settings.ema, &momenta, steps_done(job, &state)?))
        } else {
            None
        };
        Ok(Self { session, job, targets, stage, state, best: stage_best, average, averaged: None })
    }

    fn epochs(&mut self, more_stages: bool, observer: &mut dyn Observer) -> Result<Flow> {
        while self.state.epoch < self.stage.epochs && !self.ended_early() {
            if self.epoch(more_stages, observer)? == Flow::Stop {
                self.save(Save::Last, true, observer)?;
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::GoOn)
    }

    fn ended_early(&self) -> bool {
        let patience = self.job.settings.patience;
        patience > 0 && self.state.since_best >= patience
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

    /// One epoch, or what is left of it: its steps, the validation, the records. Where it stops, the state is that of
    /// the next step, or of the validation where no step is left.
    fn epoch(&mut self, more_stages: bool, observer: &mut dyn Observer) -> Result<Flow> {
        let settings = self.job.settings;
        if self.state.step == 0 {
            self.session.reset_sums()?;
        }
        let mut loader = loader(self.job, &self.state)?;
        let (steps, images) = (loader.len(), loader.images());
        let total = steps * self.stage.epochs;
        let factor = |epoch: usize, step: usize| lr_factor(settings, epoch * steps + step, total, steps);
        if self.state.step == 0 {
            self.find_shares(steps)?;
        }
        let mut clock = Instant::now();
        while let Some(batch) = loader.next() {
            if observer.stops() {
                return Ok(Flow::Stop);
            }
            let mut batch = batch?;
            self.targets.prepare(self.job, &mut batch)?;
            let lr_factor = factor(self.state.epoch, self.state.step);
            self.session.set_lr(|part| self.stage.lr_of(part) * lr_factor)?;
            self.weigh_diversity(steps)?;
            self.session.step(&batch)?;
            if (self.state.step + 1).is_multiple_of(settings.log_every) || self.state.step + 1 == steps {
                let report = self.session.report(self.state.epoch * steps + self.state.step)?;
                let means = self.session.means()?;
                observer.step(&StepRecord { state: &self.state, steps, lr_factor, report: &report, means: &means })?;
                self.state.terms = report.terms;
            }
            self.state.images += batch.count as u64;
            self.state.step += 1;
            let done = self.state.epoch * steps + self.state.step;
            if let Some(average) = self.average.as_mut().filter(|_| Average::is_due(done)) {
                average.update(&self.session.tensors()?);
            }
            loader.recycle(batch);
            let seconds = clock.elapsed().as_secs_f64();
            clock = Instant::now();
            self.state.seconds += seconds;
            self.state.epoch_seconds += seconds;
        }
        drop(loader);
        let means = self.session.means()?;
        let clock = Instant::now();
        let validation =
            if self.average.is_some() { self.validate_average(observer)? } else { self.validate(observer)? };
        let validation_seconds = clock.elapsed().as_secs_f64();
        self.state.validation_seconds += validation_seconds;
        let Some(validation) = validation else { return Ok(Flow::Stop) };
        let accuracy = validation.accuracy(&validation.voted());
        let lr_factor = factor(self.state.epoch, steps.saturating_sub(1));
        let mut terms = std::mem::take(&mut self.state.terms);
        for (term, means) in terms.iter_mut().zip(&means.terms) {
            term.average(means);
        }
        let training_seconds = std::mem::take(&mut self.state.epoch_seconds);
        let monitored = validation.monitored(settings.monitor, votes_of(self.job.validation).as_deref());
        let improved = self.state.stage_best.is_none_or(|best| monitored > best);
        let so_far = self.state.best_monitored.or(self.state.best.map(|(accuracy, _)| accuracy));
        let best = so_far.is_none_or(|best| monitored > best);
        self.state.epoch += 1;
        self.state.step = 0;
        self.state.epochs_done += 1;
        self.state.since_best = if improved { 0 } else { self.state.since_best + 1 };
        if improved {
            self.state.stage_best = Some(monitored);
        }
        if best {
            self.state.best = Some((accuracy, self.state.epochs_done));
            self.state.best_monitored = Some(monitored);
        }
        observer.epoch(&EpochRecord {
            state: &self.state,
            stage: self.stage,
            lr: settings.lr * lr_factor,
            means: &means,
            train_cross_entropy: self.mean_of_heads(&means.cross_entropy),
            val_cross_entropy: self.mean_of_heads(&validation.cross_entropy),
            validation: &validation,
            accuracy,
            terms: &terms,
            seconds: training_seconds + validation_seconds,
            training_seconds,
            images,
        })?;
        if best {
            self.save(Save::Best, false, observer)?;
        }
        if improved && more_stages {
            self.save(Save::StageBest, false, observer)?;
        }
        let ends = !more_stages && (self.state.epoch == self.stage.epochs || self.ended_early());
        self.save(Save::Last, ends, observer)?;
        Ok(Flow::GoOn)
    }

    /// Finds the weights of the diversity terms where they are shares, for the epoch that begins.
    fn find_shares(&mut self, steps: usize) -> Result<()> {
        let settings = self.job.settings;
        let ended = settings.diversity_epochs > 0 && self.state.epoch >= settings.diversity_epochs;
        if let DiversityWeight::Share(share) = settings.diversity_weight
            && !ended
            && steps > 0
        {
            let batches = self.targets.first_batches(self.job, &self.state)?;
            self.state.diversity_weights = self.session.shares(share, &batches)?;
        }
        Ok(())
    }

    /// Writes the weights of the diversity terms for the next step.
    fn weigh_diversity(&mut self, steps: usize) -> Result<()> {
        if !self.session.spec().diversity.weighted {
            return Ok(());
        }
        let factor = diversity_factor(self.job.settings, self.state.epoch * steps + self.state.step, steps);
        let weights: Vec<f64> = self.state.diversity_weights.iter().map(|weight| weight * factor).collect();
        self.session.set_diversity_weights(&weights)
    }

    /// The mean over the heads that learn, by their weights in the loss.
    fn mean_of_heads(&self, values: &[f64]) -> f64 {
        let own = self.session.spec().network.head_weights();
        let weights = own.iter().zip(&self.stage.weights).map(|(own, weight)| own * f64::from(*weight));
        let (sum, total) = weights.zip(values).fold((0.0, 0.0), |(s, t), (w, value)| (s + w * value, t + w));
        sum / total
    }

    /// The network's answers to the validation images; none where the observer stopped it.
    fn validate(&mut self, observer: &mut dyn Observer) -> Result<Option<Predictions>> {
        let network = self.session.spec().network.clone();
        let inputs = Inputs { batch: self.job.settings.batch_size, transform: self.job.settings.transform() };
        evaluate_unless(
            || observer.stops(),
            self.job.validation,
            &network,
            &inputs,
            |images| self.session.answer(images),
        )
    }

    /// The answers of the averaged network, with batch norms estimated anew on the epoch's first batches. The session has
    /// its own weights again afterwards.
    fn validate_average(&mut self, observer: &mut dyn Observer) -> Result<Option<Predictions>> {
        let own = self.session.tensors()?;
        let average = self.average.as_ref().expect("invariant: asked for where there is one");
        self.session.set_tensors(&average.over(&own))?;
        let job = Job { pool: None, ..self.job.clone() };
        for batch in loader(&job, &State { step: 0, ..self.state.clone() })?.take(NORM_BATCHES) {
            if observer.stops() {
                self.session.set_tensors(&own)?;
                return Ok(None);
            }
            self.session.estimate_norms(&batch?.images)?;
        }
        let validation = self.validate(observer)?;
        self.averaged = Some(self.session.tensors()?);
        self.session.set_tensors(&own)?;
        Ok(validation)
    }

    fn save(&mut self, what: Save, ends: bool, observer: &mut dyn Observer) -> Result<()> {
        let tensors = match self.averaged.take_if(|_| what == Save::Best) {
            Some(averaged) => averaged,
            None => self.session.tensors()?,
        };
        self.state.sums = if self.state.step > 0 { self.session.sums()? } else { Sums::default() };
        let mut momenta = if what == Save::Last { Some(self.session.momenta()?) } else { None };
        if let (Some(momenta), Some(average)) = (&mut momenta, &self.average) {
            momenta.extend(average.kept());
        }
        let network = self.session.spec().network.clone();
        let momenta = momenta.as_ref();
        let snapshot = Snapshot { state: &self.state, network: &network, tensors: &tensors, momenta, ends };
        observer.save(what, &snapshot)?;
        if what == Save::StageBest {
            self.best = Some(tensors);
        }
        Ok(())
    }
}

/// Steps of this stage that are done.
fn steps_done(job: &Job<'_>, state: &State) -> Result<usize> {
    Ok(state.epoch * loader(job, state)?.len() + state.step)
}

fn gammas(
    executor: &mut dyn Executor,
    job: &Job<'_>,
    targets: &mut LossTargets<'_>,
    spec: &SessionSpec,
    tensors: &Tensors,
    state: &State,
) -> Result<Vec<f64>> {
    match job.settings.gamma {
        Gamma::Value(gamma) => {
            let terms = spec.network.kinds().iter().filter(|kind| spec.diversity.wants(kind));
            Ok(terms.map(|_| gamma).collect())
        }
        Gamma::Auto => {
            let batches = targets.first_batches(job, state)?;
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
