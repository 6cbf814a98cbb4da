//! The training loop: what it learns, what it saves, how it goes on.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

mod support_train;

use moue::{
    Error, Result,
    data::Batch,
    diversity::Diversity,
    exec::cpu::CpuExecutor,
    graph::Graph,
    models::{EsrSpec, NetworkSpec, Padding},
    nn::{Mode, variables},
    train::{
        Settings,
        schedule::LrSchedule,
        session::{Session, SessionSpec},
        settings::words::{BranchSchedule, ModelKind},
        trainer::{Ended, Start, State},
    },
};

use support_train::{Memory, settings, trained};

fn run(settings: &Settings, memory: &mut Memory) -> Result<State> {
    match trained(&mut CpuExecutor::<f32>::new(Some(2))?, settings, None, Start::default(), memory)? {
        Ended::Finished(state) => Ok(state),
        Ended::Stopped(state) => panic!("stopped at {state:?}"),
    }
}

fn resumes_to_the_same_bits(schedule: BranchSchedule, looks: usize) {
    let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
    support_train::resumes_to_the_same_bits(&mut executor, &settings(schedule), None, looks).expect("the same bits");
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_in_the_middle_of_an_epoch() {
    resumes_to_the_same_bits(BranchSchedule::Joint, 4);
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_at_every_step_and_validation_of_every_stage() {
    // An epoch has three steps and one batch of validation images.
    for schedule in [BranchSchedule::Joint, BranchSchedule::Progressive, BranchSchedule::FineTune] {
        let epochs = if schedule == BranchSchedule::Joint { 2 } else { 3 };
        (0..4 * epochs).for_each(|looks| resumes_to_the_same_bits(schedule, looks));
    }
}

/// 16 steps an epoch: the weights are averaged once in each.
fn averaging() -> Settings {
    Settings { ema: 0.9, batch_size: 3, ..settings(BranchSchedule::Joint) }
}

#[test]
fn a_resumed_run_with_averaged_weights_equals_an_uninterrupted_one() {
    let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
    // In the steps, in the estimates of batch norm after them, in the validation, in the second epoch.
    for looks in [5, 16, 20, 34, 45, 70] {
        support_train::resumes_to_the_same_bits(&mut executor, &averaging(), None, looks).expect("the same bits");
    }
}

#[test]
fn the_best_network_has_the_averaged_weights_and_training_goes_on_with_its_own() {
    let mut memory = Memory::default();
    run(&Settings { epochs: 1, ..averaging() }, &mut memory).expect("training");
    let (best, (_, last, momenta)) = (memory.best.expect("a best network"), memory.last.expect("a state"));
    let mut norms = 0;
    for (name, (_, values)) in &best {
        match momenta.get(&format!("{name}.average")) {
            Some((_, average)) => assert_eq!(values, average, "{name}"),
            None => {
                assert!(name.contains(".running_"), "{name} has no average");
                norms += usize::from(*values != last[name].1);
            }
        }
    }
    assert!(norms > 0, "the averaged network has batch-norm statistics of its own");

    // The same steps without an average end with the same weights.
    let mut plain = Memory::default();
    run(&Settings { epochs: 1, ema: 0.0, ..averaging() }, &mut plain).expect("training");
    assert_eq!(plain.last.expect("a state").1, last);
    assert_eq!(plain.losses, memory.losses);
}

#[test]
fn an_epochs_record_is_of_all_steps_however_many_are_reported() {
    let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
    let manet = Settings { model: ModelKind::Manet, image_size: 32, epochs: 1, ..settings(BranchSchedule::Joint) };
    for settings in [settings(BranchSchedule::Joint), settings(BranchSchedule::FineTune), manet] {
        support_train::epochs_are_of_all_steps(&mut executor, &settings, None).expect("means over all steps");
    }
}

#[test]
fn progressive_training_grows_the_network_a_branch_a_stage() {
    let mut memory = Memory::default();
    let state = run(&settings(BranchSchedule::Progressive), &mut memory).expect("training");
    assert_eq!(memory.stages, [1, 2]);
    assert_eq!(state.epochs_done, 3);
    let (_, tensors, _) = memory.last.expect("a state");
    assert!(tensors.contains_key("branches.1.fc.weight") && !tensors.contains_key("branches.2.fc.weight"));
}

#[test]
fn the_loss_falls_on_a_batch_that_is_seen_again_and_again() {
    let mut settings = Settings { epochs: 60, augment: "none".into(), ..settings(BranchSchedule::Joint) };
    settings.batch_size = 48;
    settings.log_every = 1;
    let mut memory = Memory::default();
    run(&settings, &mut memory).expect("training");
    let (first, last) = (memory.losses[0], memory.losses[memory.losses.len() - 1]);
    assert!(last < 0.8 * first, "{first} → {last}");
}

#[test]
fn a_manets_loss_falls_and_counts_the_branches_by_their_weights() {
    let mut settings = Settings { epochs: 30, augment: "none".into(), ..settings(BranchSchedule::Joint) };
    (settings.model, settings.image_size) = (ModelKind::Manet, 32);
    settings.batch_size = 48;
    settings.log_every = 1;
    let mut memory = Memory::default();
    run(&settings, &mut memory).expect("training");
    let (first, last) = (memory.losses[0], memory.losses[memory.losses.len() - 1]);
    // Before training each cross-entropy is near ln 8, and the weights sum to 1; three diversity terms are in [0, 1].
    assert!(first < 8f64.ln() + 0.5 && first > 8f64.ln() - 3.5, "{first}");
    assert!(last < first - 0.5, "{first} → {last}");
}

/// Without γ the diversity loss would be gone, without a learning rate nothing would learn.
#[test]
fn a_step_before_its_settings_are_written_is_refused_with_their_names() {
    let network = NetworkSpec::Esr(EsrSpec {
        branches: 2,
        width: 0.0625,
        size: 54,
        classes: 8,
        attention: true,
        padding: Padding::Published,
    });
    let spec = SessionSpec { network, batch: 16, diversity: Diversity::PAPER, momentum: 0.9, nesterov: true };
    let mut graph = Graph::new();
    let images = graph.input("images", [16, 3, 54, 54]);
    spec.network.build(&mut graph, images, Mode::Train).expect("a network");
    let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
    let mut session = Session::new(&mut executor, spec, &variables::initial(&graph, 1)).expect("a session");
    let batch = Batch { images: vec![0.5; 16 * 3 * 54 * 54], targets: vec![0.125; 16 * 8], ..Batch::default() };
    let missing = |result: Result<()>| result.expect_err("nothing is configured").to_string();
    let error = missing(session.step(&batch));
    assert!(["lr", "decay", "head_weights", "gamma"].iter().all(|name| error.contains(name)), "{error}");
    session.set_lr(|_| 0.1).expect("a rate");
    // One γ of two.
    session.configure(&[1.0; 2], 0.0, &[1.0]).expect("settings");
    let error = missing(session.step(&batch));
    assert!(error.contains("gamma") && !error.contains("lr") && !error.contains("decay"), "{error}");
    session.configure(&[1.0; 2], 0.0, &[1.0; 2]).expect("settings");
    session.step(&batch).expect("a step");
}

#[test]
fn a_learning_rate_that_explodes_is_stopped_with_the_op_where_it_began() {
    let mut settings = settings(BranchSchedule::Joint);
    (settings.lr, settings.lr_schedule) = (1e30, LrSchedule::Constant);
    let error = run(&settings, &mut Memory::default()).expect_err("not finite");
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
}
