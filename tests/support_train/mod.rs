//! A small training, for the tests of the loop.
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use moue::{
    Error, Result,
    data::{Dataset, Pool, Spec},
    exec::{Executor, Stats},
    nn::variables::Tensors,
    train::{
        Settings,
        schedule::Stage,
        settings::words::{BranchSchedule, Gamma},
        trainer::{Ended, Job, Observer, Save, Snapshot, Start, State, StepRecord, train},
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

/// Keeps what a run folder would.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) stop_after: Option<usize>,
    pub(crate) seen: usize,
    pub(crate) stages: Vec<usize>,
    pub(crate) losses: Vec<f64>,
    pub(crate) last: Option<(State, Tensors, Tensors)>,
    pub(crate) stage_best: Option<Tensors>,
}

impl Observer for Memory {
    fn stage(&mut self, _: usize, stage: &Stage, _: &[f64], _: &Stats) -> Result<()> {
        self.stages.push(stage.branches);
        Ok(())
    }

    fn step(&mut self, record: &StepRecord<'_>) -> Result<()> {
        self.losses.push(record.report.total);
        Ok(())
    }

    fn save(&mut self, what: Save, snapshot: &Snapshot<'_>) -> Result<()> {
        match what {
            Save::Last => {
                let momenta = snapshot.momenta.expect("the newest state has momenta").clone();
                self.last = Some((snapshot.state.clone(), snapshot.tensors.clone(), momenta));
            }
            Save::StageBest => self.stage_best = Some(snapshot.tensors.clone()),
            Save::Best => {}
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
    train(executor, &job, start, memory)
}

/// Whether a training that is stopped when it asks for the time after `looks` times, before a step or a
/// validation batch, and goes on ends in the bits of one that is not.
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
    let ((_, whole, whole_momenta), (_, parts, parts_momenta)) =
        (whole.last.expect("a state"), second.last.expect("a state"));
    match (whole == parts, whole_momenta == parts_momenta) {
        (true, true) => Ok(()),
        (same, _) => Err(format!("other {}", if same { "momenta" } else { "variables" })),
    }
}
