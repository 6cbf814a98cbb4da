//! The training loop: what it learns, what it saves, how it goes on.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

mod support_train;

use std::sync::Arc;

use moue::{
    Error, Result,
    data::{Batch, Pool, Targets},
    diversity::Diversity,
    exec::{Executor, cpu::CpuExecutor},
    graph::Graph,
    models::{EsrSpec, NetworkSpec, Padding},
    nn::{Mode, variables},
    train::{
        Settings,
        schedule::LrSchedule,
        session::{Session, SessionSpec, StepReport},
        settings::words::{BranchSchedule, DiversityMaps, DiversityWeight, ModelKind},
        trainer::{Ended, Job, Start, State, train},
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

#[test]
fn a_resumed_run_finds_the_same_weights_of_diversity() {
    let weighed = |diversity_weight, schedule| Settings {
        diversity_weight,
        diversity_warmup: 1.5,
        diversity_epochs: 2,
        epochs: 3,
        ..settings(schedule)
    };
    let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
    let mut check = |settings: &Settings, looks| {
        support_train::resumes_to_the_same_bits(&mut executor, settings, None, looks).expect("the same bits");
    };
    let share = DiversityWeight::Share(0.5);
    (0..12).for_each(|looks| check(&weighed(share, BranchSchedule::Joint), looks));
    [2, 5, 14].into_iter().for_each(|looks| check(&weighed(share, BranchSchedule::Progressive), looks));
    [1, 6].into_iter().for_each(|looks| check(&weighed(DiversityWeight::Value(0.5), BranchSchedule::Joint), looks));
}

#[test]
fn diversity_weighs_what_its_settings_say() {
    let reports = |settings: &Settings| {
        let mut memory = Memory::default();
        run(settings, &mut memory).expect("training");
        memory.reports
    };
    let once = Settings { epochs: 3, log_every: 1, ..settings(BranchSchedule::Joint) };
    let plain = reports(&once);
    assert!(plain.iter().flat_map(|report| &report.terms).all(|term| term.weight == 1.0 && term.gradient_norm > 0.0));
    // Three steps an epoch: rising over one and a half, over after two.
    let factors = [0.0, 1.0 / 4.5, 2.0 / 4.5, 3.0 / 4.5, 4.0 / 4.5, 1.0, 0.0, 0.0, 0.0];
    let settings = Settings {
        diversity_weight: DiversityWeight::Value(0.25),
        diversity_warmup: 1.5,
        diversity_epochs: 2,
        ..once.clone()
    };
    for (report, factor) in reports(&settings).iter().zip(factors) {
        let weight = 0.25 * factor;
        let sum: f64 = report.terms.iter().map(|term| weight * term.value).sum();
        assert!((report.total - (report.cross_entropy - sum)).abs() < 4e-6, "{report:?}");
        for term in &report.terms {
            assert!((term.weight - weight).abs() < 1e-12, "{term:?}");
            assert_eq!(term.gradient_norm > 0.0, weight > 0.0, "{term:?}");
        }
    }
    // The first step has the same maps: its gradient is as much smaller as the weight.
    let light = reports(&Settings { diversity_weight: DiversityWeight::Value(0.125), ..once.clone() });
    for (light, plain) in light[0].terms.iter().zip(&plain[0].terms) {
        assert!((light.gradient_norm / plain.gradient_norm - 0.125).abs() < 1e-6, "{light:?} {plain:?}");
    }
    // A share is found anew each epoch, and keeps its weight within one.
    let shares = reports(&Settings { diversity_weight: DiversityWeight::Share(0.5), ..once });
    for term in [0, 1] {
        let weights: Vec<f64> = shares.iter().map(|report| report.terms[term].weight).collect();
        assert!(weights.chunks(3).all(|epoch| epoch.iter().all(|weight| *weight == epoch[0])), "{weights:?}");
        assert!(weights[0] != weights[3] && weights[3] != weights[6], "{weights:?}");
    }
}

#[test]
fn an_earlier_layer_of_the_branches_is_compared_where_the_settings_say_so() {
    let of = |diversity_layer| Settings { diversity_layer, ..settings(BranchSchedule::Joint) };
    let first = |settings: Settings| {
        let mut memory = Memory::default();
        run(&Settings { log_every: 1, ..settings }, &mut memory).expect("training");
        memory.reports[0].clone()
    };
    let reports = [1, 2, 3, 4].map(|layer| first(of(layer)));
    for (i, report) in reports.iter().enumerate() {
        // γ is found from the maps of the layer: the median similarity is that of the last layer, 1/e.
        let similarity = report.terms[0].mean_off_diagonal;
        assert!(similarity > 0.2 && similarity < 0.6, "layer {}: {similarity}", i + 1);
        assert!(report.terms.iter().all(|term| term.gradient_norm > 0.0), "{report:?}");
        let same = |other: &StepReport| other.terms[0].similarity == report.terms[0].similarity;
        assert_eq!(reports.iter().filter(|other| same(other)).count(), 1, "layer {}", i + 1);
        assert_eq!(report.cross_entropy, reports[0].cross_entropy, "the answers are the same");
    }
    let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
    let share = Settings { diversity_weight: DiversityWeight::Share(0.5), ..of(1) };
    support_train::resumes_to_the_same_bits(&mut executor, &share, None, 5).expect("the same bits");
}

#[test]
fn centred_maps_are_compared_where_the_settings_say_so() {
    let first = |diversity_maps| {
        let mut memory = Memory::default();
        // In the first layer, whose maps have 8×8 values; of one value a centred map would be its sign.
        let settings = Settings { diversity_maps, diversity_layer: 1, log_every: 1, ..settings(BranchSchedule::Joint) };
        run(&settings, &mut memory).expect("training");
        memory.reports[0].clone()
    };
    let [raw, centred] = [DiversityMaps::Raw, DiversityMaps::Centred].map(first);
    assert_eq!(raw.cross_entropy, centred.cross_entropy, "the answers are the same");
    for (raw, centred) in raw.terms.iter().zip(&centred.terms) {
        // γ is found from the centred maps: the median similarity is again 1/e.
        assert!((0.2..0.6).contains(&centred.mean_off_diagonal), "{centred:?}");
        assert!(raw.similarity != centred.similarity && centred.gradient_norm > 0.0, "{centred:?}");
    }
}

/// The first step's losses are of the same answers, whatever share of them is judged together.
#[test]
fn diversity_of_answers_takes_a_share_of_the_loss_to_the_mean_answer() {
    let first = |settings: Settings| {
        let mut memory = Memory { stop_after: Some(1), ..Memory::default() };
        let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
        trained(&mut executor, &settings, None, Start::default(), &mut memory).expect("training");
        memory.reports[0].clone()
    };
    let manet = Settings { model: ModelKind::Manet, image_size: 32, ..settings(BranchSchedule::Joint) };
    for settings in [settings(BranchSchedule::Joint), settings(BranchSchedule::FineTune), manet] {
        let of = |answer_diversity| first(Settings { answer_diversity, log_every: 1, ..settings.clone() });
        let [none, half, all] = [0.0, 0.5, 1.0].map(of);
        let [apart, half_way, together] = [&none, &half, &all].map(|report| report.cross_entropy);
        assert!((half_way - (apart + together) / 2.0).abs() < 1e-5, "{apart} {half_way} {together}");
        // No mixture's is above the mean of its parts'; of one branch alone they are the same.
        let alone = settings.branch_schedule == BranchSchedule::FineTune;
        assert!(if alone { (together - apart).abs() < 1e-5 } else { together < apart }, "{apart} {together}");
        assert_eq!((&none.terms[0].similarity, none.hits), (&half.terms[0].similarity, half.hits));
    }
}

#[test]
fn branches_learn_from_samples_of_the_votes_in_every_schedule_and_network() {
    let mut data = support_train::data();
    for sample in &mut data.splits.get_mut("train").expect("the split").samples {
        let mut votes = vec![0.0; 8];
        (votes[sample.label], votes[(sample.label + 1) % 8]) = (0.6, 0.4);
        sample.votes = Some(votes);
    }
    let (train_split, validation) = (data.split("train").expect("images"), data.split("valid").expect("images"));
    let losses = |settings: &Settings, pool| {
        let (images, validation) = (&train_split.samples, &validation.samples);
        let job = Job { settings, classes: 8, train: images, validation, pool };
        let mut memory = Memory::default();
        let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
        train(&mut executor, &job, None, Start::default(), &mut memory).expect("training");
        memory.losses
    };
    let manet = Settings { model: ModelKind::Manet, image_size: 32, ..settings(BranchSchedule::Joint) };
    let [joint, progressive, fine_tune] =
        [BranchSchedule::Joint, BranchSchedule::Progressive, BranchSchedule::FineTune].map(settings);
    for settings in [joint, progressive, fine_tune, manet] {
        let settings = Settings { log_every: 1, targets: Targets::Soft, ..settings };
        let resampled = Settings { resample_votes: true, ..settings.clone() };
        let pool = || Some(Arc::new(Pool::new(&train_split.samples, 1 << 24).expect("a pool")));
        let [plain, own] = [&settings, &resampled].map(|settings| losses(settings, None));
        assert!(plain.len() == own.len() && own.iter().all(|loss| loss.is_finite()), "{own:?}");
        assert!(plain[0] != own[0] && (plain[0] - own[0]).abs() < 0.5, "{} {}", plain[0], own[0]);
        let on_device = losses(&resampled, pool());
        assert!((on_device[0] - own[0]).abs() < 1e-4, "{} {}", on_device[0], own[0]);
    }
}

#[test]
fn a_share_is_of_the_cross_entropys_gradient_in_the_same_maps() {
    let network = NetworkSpec::Esr(EsrSpec {
        branches: 2,
        width: 0.0625,
        size: 54,
        classes: 8,
        attention: true,
        padding: Padding::Published,
    });
    let diversity = Diversity { weighted: true, ..Diversity::PAPER };
    let spec =
        SessionSpec { network, batch: 16, diversity, momentum: 0.9, nesterov: true, shares: true, own_targets: false };
    let mut graph = Graph::new();
    let images = graph.input("images", [16, 3, 54, 54]);
    let built = spec.network.build(&mut graph, images, Mode::Train).expect("a network");
    let tensors = variables::initial(&graph, 1);
    let pixels = (0..16 * 3 * 54 * 54).map(|i| (i as f32 * 0.37).sin().abs()).collect();
    let targets = (0..16 * 8).map(|i| if i % 8 == i / 8 % 3 { 1.0 } else { 0.0 }).collect();
    let batch = Batch { images: pixels, targets, ..Batch::default() };
    let head_weights = [1.0, 0.5];
    // The cross-entropy's gradient in the channel vectors, by a program of its own.
    let [targets, weights] = [graph.input("targets", [16, 8]), graph.input("weights", [2])];
    let [loss, ..] = graph.cross_entropy(built.logits, targets, weights).expect("a loss");
    let gradient = graph.gradients(loss, &[built.maps[1].map]).expect("a gradient")[0];
    graph.output(gradient);
    let mut executor = CpuExecutor::<f32>::new(Some(2)).expect("threads");
    let program = executor.compile(&graph).expect("a program");
    variables::write(&mut executor, &graph, &tensors).expect("variables");
    for (id, values) in [(images, &batch.images), (targets, &batch.targets), (weights, &head_weights.to_vec())] {
        executor.write(program, id, values).expect("an input");
    }
    executor.run(program).expect("a run");
    let squares = |values: Vec<f32>| values.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let expected = squares(executor.read(program, gradient).expect("a gradient")).sqrt();

    let mut session = Session::new(&mut executor, spec, &tensors).expect("a session");
    session.set_lr(|_| 0.0).expect("a rate");
    session.configure(&head_weights, 0.0, &[1.0; 2]).expect("settings");
    let weights = session.shares(0.25, std::slice::from_ref(&batch)).expect("weights");
    assert_eq!(session.tensors().expect("variables"), tensors, "finding shares changes no variable");
    assert_eq!(weights.len(), 2);
    session.set_diversity_weights(&weights).expect("weights");
    session.step(&batch).expect("a step");
    let terms = session.report(0).expect("a report").terms;
    assert!((terms[1].gradient_norm / expected - 0.25).abs() < 1e-4, "{terms:?}, cross-entropy {expected}");
    // Over two batches the norm is of both gradients together, and a share twice as large has twice the weight.
    let twice = session.shares(0.5, &[batch.clone(), batch]).expect("weights");
    for (twice, once) in twice.iter().zip(&weights) {
        assert!((twice / once - 2.0).abs() < 1e-6, "{twice} {once}");
    }
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
    let spec = SessionSpec {
        network,
        batch: 16,
        diversity: Diversity::PAPER,
        momentum: 0.9,
        nesterov: true,
        shares: false,
        own_targets: false,
    };
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
