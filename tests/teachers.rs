//! Targets of their own for the branches: answers of teachers, and samples of an image's votes.
#![cfg(all(unix, feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use moue::{
    Error,
    checkpoint::{ModelMeta, load_model, save_model},
    data::{EXPRESSIONS, Targets},
    exec::{DeviceChoice, Precision, open::open},
    models::{EsrSpec, NetworkSpec, Padding},
    predict::{mean_of, softmax},
    train::{
        Settings,
        run::{Run, TrainingSet},
        session::Evaluator,
        settings::words::BranchSchedule,
        teachers::Teachers,
        trainer::{Observer, fresh},
    },
};

fn network(size: usize, classes: usize) -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec {
        branches: 3,
        width: 0.0625,
        size,
        classes,
        attention: true,
        padding: Padding::Published,
    })
}

/// A model of untrained weights, at a path in a folder.
fn teacher(folder: &Path, name: &str, seed: u64, size: usize, classes: &[&str]) -> PathBuf {
    let network = network(size, classes.len());
    let names = classes.iter().map(|class| (*class).to_owned()).collect();
    let meta = ModelMeta::new(network.architecture(), names, size);
    let path = folder.join(name);
    save_model(&path, &meta, &fresh(&network, seed).expect("weights")).expect("written");
    path
}

fn settings(folder: &Path, teacher: Vec<PathBuf>) -> Settings {
    Settings {
        data: "synthetic:train=48,valid=16,test=16,size=54".into(),
        branches: 2,
        width: 0.0625,
        image_size: 54,
        batch_size: 16,
        epochs: 2,
        device: DeviceChoice::Cpu,
        threads: 1,
        seed: 3,
        out: folder.join("runs"),
        teacher,
        ..Settings::default()
    }
}

fn classes() -> Vec<String> {
    EXPRESSIONS.map(str::to_owned).to_vec()
}

#[test]
fn each_branch_learns_from_its_teachers_mean_answer_mixed_with_the_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = [1, 2].map(|seed| teacher(folder.path(), &format!("{seed}.safetensors"), seed, 54, &EXPRESSIONS));
    let images: Vec<f32> = (0..16 * 3 * 54 * 54).map(|i| (i as f32 * 0.37).sin().abs()).collect();
    let mut labels = vec![0.0; 16 * 8];
    (0..16).for_each(|image| labels[image * 8 + image % 8] = 1.0);
    // The mean answers, by the evaluator.
    let answers = paths.clone().map(|path| {
        let model = load_model(&path).expect("a model");
        let mut device = open(&DeviceChoice::Cpu, Precision::F32, Some(1)).expect("the processor");
        let network = model.network().expect("a network");
        let mut evaluator =
            Evaluator::new(device.executor.as_mut(), &network, 16, &model.tensors).expect("an evaluator");
        let logits = evaluator.answer(&images).expect("answers").logits;
        let mean = |image: &[f32]| {
            let heads: Vec<f32> = image.chunks(8).flat_map(softmax).collect();
            mean_of(&heads, 8, network.decision())
        };
        logits.chunks(3 * 8).map(mean).collect::<Vec<_>>()
    });
    for (share, temperature) in [(0.25, 1.0), (1.0, 2.0), (0.0, 1.0)] {
        let settings = Settings {
            teacher_share: share,
            teacher_temperature: temperature,
            ..settings(folder.path(), paths.to_vec())
        };
        let mut teachers = Teachers::load(&settings, &classes()).expect("teachers");
        let targets = teachers.targets(&images, &labels, 16, 3).expect("targets");
        assert_eq!(targets.len(), 16 * 3 * 8);
        for (row, target) in targets.chunks(8).enumerate() {
            let (image, head) = (row / 3, row % 3);
            let taught = &answers[head % 2][image];
            let powers: Vec<f64> = taught.iter().map(|p| f64::from(*p).powf(1.0 / temperature)).collect();
            let sum: f64 = powers.iter().sum();
            for (class, found) in target.iter().enumerate() {
                let expected = (1.0 - share) * f64::from(labels[image * 8 + class]) + share * powers[class] / sum;
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected} of {row} at {class}");
            }
        }
        // Targets that are each branch's own stay so.
        let own: Vec<f32> = (0..16 * 3 * 8).map(|i| (i % 7) as f32 / 7.0).collect();
        let mixed = teachers.targets(&images, &own, 16, 3).expect("targets");
        let rest = |i: usize| mixed[i] - (1.0 - share as f32) * own[i];
        let taught = |i: usize| targets[i] - (1.0 - share as f32) * labels[i / 24 * 8 + i % 8];
        assert!((0..mixed.len()).all(|i| (rest(i) - taught(i)).abs() < 1e-6));
    }
}

struct Quiet;

impl Observer for Quiet {}

/// Stops after it was asked so many times.
struct StopsAfter(usize);

impl Observer for StopsAfter {
    fn stops(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}

#[test]
fn a_taught_run_goes_on_to_the_same_bits_and_only_with_its_teachers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = teacher(folder.path(), "t.safetensors", 1, 54, &EXPRESSIONS);
    let run =
        |name: &str, teacher: Vec<PathBuf>| Settings { name: Some(name.into()), ..settings(folder.path(), teacher) };
    let begin = |settings: &Settings| {
        let set = TrainingSet::load(settings).expect("data");
        Run::start(settings, set, settings.open_device().expect("the processor")).expect("a run")
    };
    let [whole, untaught] = [("whole", vec![path.clone()]), ("untaught", Vec::new())].map(|(name, teachers)| {
        let trained = begin(&run(name, teachers)).train(&mut Quiet).expect("a training");
        load_model(&trained.folder.join("checkpoints/last.safetensors")).expect("a model").tensors
    });
    assert_ne!(whole, untaught, "the teacher changes nothing");
    let progressive = |settings: Settings| Settings {
        branch_schedule: BranchSchedule::Progressive,
        epochs: 1,
        stage_epochs: 1,
        ..settings
    };
    let trained = begin(&progressive(run("grown", vec![path.clone()]))).train(&mut Quiet).expect("a training");
    let grown = load_model(&trained.folder.join("checkpoints/last.safetensors")).expect("a model").tensors;
    for (looks, is_progressive) in [(2, false), (4, false), (6, false), (3, true), (6, true)] {
        let name = format!("stopped-{looks}-{is_progressive}");
        let settings = run(&name, vec![path.clone()]);
        let (settings, whole) = if is_progressive { (progressive(settings), &grown) } else { (settings, &whole) };
        let stopped = begin(&settings).train(&mut StopsAfter(looks));
        assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
        let stopped = folder.path().join("runs").join(&name);
        // Another teacher in its place.
        let bytes = fs::read(&path).expect("the teacher");
        teacher(folder.path(), "t.safetensors", 2, 54, &EXPRESSIONS);
        let refused = Run::resume(&stopped).map(|_| ()).expect_err("another teacher").to_string();
        assert!(refused.contains("t.safetensors: expected the teacher that the run began with"), "{refused}");
        fs::write(&path, bytes).expect("put back");
        let trained = Run::resume(&stopped).expect("a run").train(&mut Quiet).expect("a training");
        let model = load_model(&trained.folder.join("checkpoints/last.safetensors")).expect("a model");
        assert!(model.tensors == *whole, "after {looks} looks");
    }
}

#[test]
fn a_teacher_of_other_classes_or_images_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let seven = &EXPRESSIONS[..7];
    for (name, size, classes, expected) in [
        ("seven", 54, seven, "expected a teacher of the classes neutral, happiness"),
        ("large", 62, &EXPRESSIONS[..], "expected a teacher of images of 54 pixels, found 62 pixels"),
    ] {
        let path = teacher(folder.path(), name, 1, size, classes);
        let settings = settings(folder.path(), vec![path]);
        let error = Teachers::load(&settings, &self::classes()).map(|_| ()).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
}

#[test]
fn settings_that_give_branches_their_own_targets_say_what_they_cannot_be_joined_with() {
    let path = || vec![PathBuf::from("t.safetensors")];
    let of = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(Path::new("."), Vec::new());
        change(&mut settings);
        settings.check().expect_err("settings that do not go together").to_string()
    };
    for (error, words) in [
        (of(&|s| s.resample_votes = true), "resample-votes: expected `false` with `--targets hard`"),
        (
            of(&|s| (s.resample_votes, s.targets, s.answer_diversity) = (true, Targets::Soft, 0.5)),
            "answer-diversity: expected 0",
        ),
        (of(&|s| (s.teacher, s.answer_diversity) = (path(), 0.5)), "answer-diversity: expected 0"),
        (of(&|s| (s.teacher, s.teacher_share) = (path(), 1.5)), "teacher-share: expected"),
        (of(&|s| s.teacher_temperature = 0.0), "teacher-temperature: expected 0.01 to 100"),
    ] {
        assert!(error.contains(words), "{error}");
    }
}
