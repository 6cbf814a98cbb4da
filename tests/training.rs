//! The training loop: what it learns, what it saves, how it goes on.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use moue::{
    Error, Result,
    data::{Augment, ColourOrder, Dataset, Spec, Targets},
    diversity::Diversity,
    exec::{Stats, cpu::CpuExecutor},
    models::{EsrSpec, ManetSpec, NetworkSpec},
    nn::variables::Tensors,
    train::{
        evaluate::Inputs,
        schedule::{LrSchedule, Plan, Stage},
        session::SessionSpec,
        trainer::{EpochRecord, Gamma, Observer, Save, Settings, Snapshot, Start, State, StepRecord, train},
    },
};

fn data() -> Dataset {
    let spec: Spec = "synthetic:train=48,valid=16,test=16,size=54".parse().expect("a data set");
    spec.load_splits(&["train", "valid"]).expect("rendered faces")
}

fn settings(plan: Plan) -> Settings {
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
    }
}

/// Keeps what a run folder would.
#[derive(Default)]
struct Memory {
    stop_after: Option<usize>,
    seen: usize,
    stages: Vec<usize>,
    losses: Vec<f64>,
    last: Option<(State, Tensors, Tensors)>,
    stage_best: Option<Tensors>,
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

fn run(settings: &Settings, start: Start, memory: &mut Memory) -> Result<State> {
    let data = data();
    let mut executor = CpuExecutor::<f32>::new(Some(2))?;
    let (training, validation) = (&data.split("train")?.samples, &data.split("valid")?.samples);
    train(&mut executor, settings, training, validation, start, memory)
}

fn resumes_to_the_same_bits(plan: Plan, steps: usize) {
    let settings = settings(plan);
    let mut whole = Memory::default();
    run(&settings, Start::default(), &mut whole).expect("training");
    let mut first = Memory { stop_after: Some(steps), ..Memory::default() };
    let stopped = run(&settings, Start::default(), &mut first).expect_err("interrupted");
    assert_eq!(stopped.exit_code(), 130);
    let (state, tensors, momenta) = first.last.take().expect("an interrupted run has saved");
    // As a run folder keeps it: as text.
    let state = serde_json::from_str(&serde_json::to_string(&state).expect("text")).expect("the same state");
    let mut second = Memory::default();
    let start = Start { state, tensors, momenta, stage_best: first.stage_best.take() };
    run(&settings, start, &mut second).expect("training goes on");
    let ((_, whole, whole_momenta), (_, parts, parts_momenta)) =
        (whole.last.expect("a state"), second.last.expect("a state"));
    assert_eq!(whole, parts, "variables");
    assert_eq!(whole_momenta, parts_momenta, "momenta");
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_in_the_middle_of_an_epoch() {
    resumes_to_the_same_bits(Plan::Joint, 4);
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_in_a_later_stage() {
    resumes_to_the_same_bits(Plan::Progressive, 8);
}

#[test]
fn progressive_training_grows_the_network_a_branch_a_stage() {
    let mut memory = Memory::default();
    let state = run(&settings(Plan::Progressive), Start::default(), &mut memory).expect("training");
    assert_eq!(memory.stages, [1, 2]);
    assert_eq!(state.epochs_done, 3);
    let (_, tensors, _) = memory.last.expect("a state");
    assert!(tensors.contains_key("branches.1.fc.weight") && !tensors.contains_key("branches.2.fc.weight"));
}

#[test]
fn the_loss_falls_on_a_batch_that_is_seen_again_and_again() {
    let mut settings = Settings { epochs: 60, augment: Augment::none(), ..settings(Plan::Joint) };
    settings.session.batch = 48;
    settings.read_every = 1;
    let mut memory = Memory::default();
    run(&settings, Start::default(), &mut memory).expect("training");
    let (first, last) = (memory.losses[0], memory.losses[memory.losses.len() - 1]);
    assert!(last < 0.8 * first, "{first} → {last}");
}

#[test]
fn a_manets_loss_falls_and_counts_the_branches_by_their_weights() {
    let mut settings = Settings { epochs: 30, augment: Augment::none(), ..settings(Plan::Joint) };
    settings.session.network = NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 32, classes: 8 });
    settings.session.batch = 48;
    settings.inputs.size = 32;
    settings.read_every = 1;
    let mut memory = Memory::default();
    run(&settings, Start::default(), &mut memory).expect("training");
    let (first, last) = (memory.losses[0], memory.losses[memory.losses.len() - 1]);
    // Before training each cross-entropy is near ln 8, and the weights sum to 1; three diversity terms are in [0, 1].
    assert!(first < 8f64.ln() + 0.5 && first > 8f64.ln() - 3.5, "{first}");
    assert!(last < first - 0.5, "{first} → {last}");
}

#[test]
fn a_learning_rate_that_explodes_is_stopped_with_the_op_where_it_began() {
    let mut settings = settings(Plan::Joint);
    (settings.lr, settings.lr_schedule) = (1e30, LrSchedule::Constant);
    let error = run(&settings, Start::default(), &mut Memory::default()).expect_err("not finite");
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
}
