//! A small training, for the tests of the loop.
#![allow(dead_code, reason = "each test file uses a part")]

use moue::{
    Error, Result,
    data::{Augment, ColourOrder, Dataset, Spec, Targets},
    diversity::Diversity,
    exec::{Executor, Stats},
    models::{EsrSpec, NetworkSpec},
    nn::variables::Tensors,
    train::{
        evaluate::Inputs,
        schedule::{LrSchedule, Plan, Stage},
        session::SessionSpec,
        trainer::{EpochRecord, Gamma, Observer, Save, Settings, Snapshot, Start, State, StepRecord, train},
    },
};

pub(crate) fn data() -> Dataset {
    let spec: Spec = "synthetic:train=48,valid=16,test=16,size=54".parse().expect("a data set");
    spec.load_splits(&["train", "valid"]).expect("rendered faces")
}

pub(crate) fn settings(plan: Plan) -> Settings {
    let network = NetworkSpec::Esr(EsrSpec { branches: 2, width: 0.0625, size: 54, classes: 8, attention: true });
    Settings {
        session: SessionSpec { network, batch: 16, diversity: Diversity::PAPER, momentum: 0.9, nesterov: true },
        gamma: Gamma::Auto,
        plan,
        epochs: 2,
        stage_epochs: 1,
        lr: 0.02,
        lr_old: 0.01,
        weight_decay: 1e-4,
        lr_schedule: LrSchedule::OneCycle,
        warmup: 0.25,
        augment: Augment::light(),
        inputs: Inputs { batch: 16, size: 54, normalise: None, order: ColourOrder::Rgb },
        targets: Targets::Hard,
        mixup: 0.0,
        limit_per_class: None,
        early_stop: None,
        seed: 3,
        read_every: 2,
        pool: None,
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

    fn epoch(&mut self, _: &EpochRecord<'_>) -> Result<()> {
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

    fn interrupted(&mut self) -> Option<Error> {
        self.seen += 1;
        let stop = self.stop_after.is_some_and(|after| self.seen > after);
        stop.then(|| Error::Interrupted { checkpoint: "last.safetensors".into() })
    }
}

/// Trains on a device.
pub(crate) fn trained(
    executor: &mut dyn Executor,
    settings: &Settings,
    start: Start,
    memory: &mut Memory,
) -> Result<State> {
    let data = data();
    let (training, validation) = (&data.split("train")?.samples, &data.split("valid")?.samples);
    train(executor, settings, training, validation, start, memory)
}

/// Whether a training that is interrupted after `steps` steps and goes on ends in the bits of one that is not.
pub(crate) fn resumes_to_the_same_bits(
    executor: &mut dyn Executor,
    settings: &Settings,
    steps: usize,
) -> std::result::Result<(), String> {
    let text = |error: Error| error.to_string();
    let mut whole = Memory::default();
    trained(executor, settings, Start::default(), &mut whole).map_err(text)?;
    let mut first = Memory { stop_after: Some(steps), ..Memory::default() };
    let stopped = trained(executor, settings, Start::default(), &mut first).expect_err("interrupted");
    assert_eq!(stopped.exit_code(), 130);
    let (state, tensors, momenta) = first.last.take().expect("an interrupted run has saved");
    // As a run folder keeps it: as text.
    let state = serde_json::from_str(&serde_json::to_string(&state).expect("text")).expect("the same state");
    let mut second = Memory::default();
    let start = Start { state, tensors, momenta, stage_best: first.stage_best.take() };
    trained(executor, settings, start, &mut second).map_err(text)?;
    let ((_, whole, whole_momenta), (_, parts, parts_momenta)) =
        (whole.last.expect("a state"), second.last.expect("a state"));
    match (whole == parts, whole_momenta == parts_momenta) {
        (true, true) => Ok(()),
        (same, _) => Err(format!("other {}", if same { "momenta" } else { "variables" })),
    }
}
