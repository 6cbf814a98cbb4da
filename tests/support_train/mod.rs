//! A small training, for the tests of the loop.
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use moue::{
    Error, Result,
    data::{Dataset, Pool, Spec},
    exec::{Executor, Stats},
    nn::variables::Tensors,
    train::{
        Means, Settings,
        schedule::Stage,
        session::{StepReport, TermReport},
        settings::words::{BranchSchedule, Gamma},
        trainer::{Ended, EpochRecord, Job, Observer, Save, Snapshot, Start, State, StepRecord, train},
    },
};

pub(crate) fn data() -> Dataset {
    let spec: Spec = "synthetic:train=48,valid=16,test=16,size=54".parse().expect("a data set");
    spec.load_splits(&["train", "valid"]).expect("rendered faces")
}

pub(crate) fn settings(branch_schedule: BranchSchedule) -> Settings {
    Settings {
        branches: 2,
        width: 0.0625,
        image_size: 54,
        batch_size: 16,
        gamma: Gamma::Auto,
        branch_schedule,
        epochs: 2,
        stage_epochs: 1,
        lr: 0.02,
        seed: 3,
        log_every: 2,
        ..Settings::default()
    }
}

/// What an epoch's record says of its training, without times.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Epoch {
    pub(crate) means: Means,
    pub(crate) train_cross_entropy: f64,
    pub(crate) val_cross_entropy: f64,
    pub(crate) terms: Vec<TermReport>,
    pub(crate) weights: Vec<f32>,
}

/// Keeps what a run folder would.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) stop_after: Option<usize>,
    pub(crate) seen: usize,
    pub(crate) stages: Vec<usize>,
    pub(crate) losses: Vec<f64>,
    pub(crate) reports: Vec<StepReport>,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) last: Option<(State, Tensors, Tensors)>,
    pub(crate) stage_best: Option<Tensors>,
    pub(crate) best: Option<Tensors>,
}

impl Observer for Memory {
    fn stage(&mut self, _: usize, stage: &Stage, _: &[f64], _: &Stats) -> Result<()> {
        self.stages.push(stage.branches);
        Ok(())
    }

    fn step(&mut self, record: &StepRecord<'_>) -> Result<()> {
        self.losses.push(record.report.total);
        self.reports.push(record.report.clone());
        Ok(())
    }

    fn epoch(&mut self, record: &EpochRecord<'_>) -> Result<()> {
        self.epochs.push(Epoch {
            means: record.means.clone(),
            train_cross_entropy: record.train_cross_entropy,
            val_cross_entropy: record.val_cross_entropy,
            terms: record.terms.to_vec(),
            weights: record.stage.weights.clone(),
        });
        Ok(())
    }

    fn save(&mut self, what: Save, snapshot: &Snapshot<'_>) -> Result<()> {
        match what {
            Save::Last => {
                let momenta = snapshot.momenta.expect("the newest state has momenta").clone();
                self.last = Some((snapshot.state.clone(), snapshot.tensors.clone(), momenta));
            }
            Save::StageBest => self.stage_best = Some(snapshot.tensors.clone()),
            Save::Best => self.best = Some(snapshot.tensors.clone()),
        }
        Ok(())
    }

    fn stops(&mut self) -> bool {
        self.seen += 1;
        self.stop_after.is_some_and(|after| self.seen > after)
    }
}

/// Trains on a device, with the images in `pool` where there is one.
pub(crate) fn trained(
    executor: &mut dyn Executor,
    settings: &Settings,
    pool: Option<&Arc<Pool>>,
    start: Start,
    memory: &mut Memory,
) -> Result<Ended> {
    let data = data();
    let (training, validation) = (&data.split("train")?.samples, &data.split("valid")?.samples);
    let job = Job { settings, classes: data.classes.len(), train: training, validation, pool: pool.cloned() };
    train(executor, &job, None, start, memory)
}

/// Whether a training that is stopped when it asks for the time after `looks` times, before a step or a
/// validation batch, and goes on ends in the bits of one that is not, and records the same epochs.
pub(crate) fn resumes_to_the_same_bits(
    executor: &mut dyn Executor,
    settings: &Settings,
    pool: Option<&Arc<Pool>>,
    looks: usize,
) -> std::result::Result<(), String> {
    let text = |error: Error| error.to_string();
    let mut whole = Memory::default();
    trained(executor, settings, pool, Start::default(), &mut whole).map_err(text)?;
    let mut first = Memory { stop_after: Some(looks), ..Memory::default() };
    let stopped = trained(executor, settings, pool, Start::default(), &mut first).map_err(text)?;
    assert!(matches!(stopped, Ended::Stopped(_)));
    let (state, tensors, momenta) = first.last.take().expect("an interrupted run has saved");
    // As a run folder keeps it: as text.
    let state = serde_json::from_str(&serde_json::to_string(&state).expect("text")).expect("the same state");
    let mut second = Memory::default();
    let start = Start { state, tensors, momenta, stage_best: first.stage_best.take() };
    trained(executor, settings, pool, start, &mut second).map_err(text)?;
    first.epochs.append(&mut second.epochs);
    if first.epochs != whole.epochs {
        return Err(format!("epochs {:?}, expected {:?}", first.epochs, whole.epochs));
    }
    let ((_, whole, whole_momenta), (_, parts, parts_momenta)) =
        (whole.last.expect("a state"), second.last.expect("a state"));
    match (whole == parts, whole_momenta == parts_momenta) {
        (true, true) => Ok(()),
        (same, _) => Err(format!("other {}", if same { "momenta" } else { "variables" })),
    }
}

/// Whether the records of epochs are means over all of their steps, however many of these are reported.
pub(crate) fn epochs_are_of_all_steps(
    executor: &mut dyn Executor,
    settings: &Settings,
    pool: Option<&Arc<Pool>>,
) -> std::result::Result<(), String> {
    let mut with = |log_every| {
        let mut memory = Memory::default();
        let settings = Settings { log_every, ..settings.clone() };
        trained(executor, &settings, pool, Start::default(), &mut memory).map_err(|error| error.to_string())?;
        Ok::<_, String>(memory)
    };
    let (all, few) = (with(1)?, with(1000)?);
    let steps = all.reports.len() / all.epochs.len();
    if steps < 2 || few.reports.len() != few.epochs.len() {
        return Err(format!("{steps} steps an epoch, {} reports", few.reports.len()));
    }
    if all.epochs != few.epochs {
        return Err(format!("each step read {:?}, one an epoch {:?}", all.epochs, few.epochs));
    }
    for (epoch, reports) in all.epochs.iter().zip(all.reports.chunks(steps)) {
        let mean = |figure: &dyn Fn(&StepReport) -> f64| reports.iter().map(figure).sum::<f64>() / steps as f64;
        let batch = settings.batch_size as f64;
        let own = settings.network(8).head_weights();
        let weights: Vec<f64> = own.iter().zip(&epoch.weights).map(|(own, w)| own * f64::from(*w)).collect();
        let weighted = |values: &[f64]| weights.iter().zip(values).map(|(w, value)| w * value).sum::<f64>();
        let mut pairs = vec![
            ("loss", epoch.means.total, mean(&|r| r.total)),
            ("cross-entropy", weighted(&epoch.means.cross_entropy), mean(&|r| r.cross_entropy)),
            ("that of a head", epoch.train_cross_entropy, mean(&|r| r.cross_entropy) / weights.iter().sum::<f64>()),
        ];
        for (head, accuracy) in epoch.means.accuracy.iter().enumerate() {
            pairs.push(("accuracy", *accuracy, mean(&|r| f64::from(r.hits[head])) / batch));
        }
        for (i, term) in epoch.terms.iter().enumerate() {
            pairs.push(("D", term.value, mean(&|r| r.terms[i].value)));
            pairs.push(("S", term.mean_off_diagonal, mean(&|r| r.terms[i].mean_off_diagonal)));
        }
        for (what, found, expected) in pairs {
            // A few roundings of each step's figures, and of S.
            if (found - expected).abs() > 4.0 * f64::from(f32::EPSILON) * (1.0 + expected.abs()) {
                return Err(format!("{what}: {found}, but the mean of the steps' figures is {expected}"));
            }
        }
    }
    Ok(())
}
