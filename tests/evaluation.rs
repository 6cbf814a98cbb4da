//! `moue eval` with its files of predictions, subsets and groups, and `moue compare`.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use moue::{
    checkpoint::{DiversityMeta, ModelMeta, load_model, save_model},
    evaluation::{About, Answered, Arm, Kept, SplitOf, compare},
    models::{Calibration, EsrSpec, NetworkSpec, Padding},
    rng::Rng,
    train::trainer::fresh,
};
use serde_json::Value;

const DATA: &str = "synthetic:train=8,valid=24,test=24,size=54";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn moue(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moue")).current_dir(folder).args(args).output().expect("moue starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The last line of stdout.
fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {text} {}", stderr(output)))
}

/// An ESR of two branches with the weights of its start.
fn model(folder: &Path, name: &str, seed: u64, classes: &[&str]) {
    let count = classes.len();
    let network = NetworkSpec::Esr(EsrSpec {
        branches: 2,
        width: 0.0625,
        size: 54,
        classes: count,
        attention: true,
        padding: Padding::Published,
    });
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    let mut tensors = fresh(&network, seed).expect("a network");
    // As after a training: with the variances of the start each layer makes what it sees several times smaller.
    for (_, (_, values)) in tensors.iter_mut().filter(|(name, _)| name.contains("running_var")) {
        values.fill(0.02);
    }
    save_model(&folder.join(name), &ModelMeta::new(network.architecture(), classes, 54), &tensors).expect("a model");
}

fn eval(folder: &Path, more: &[&str]) -> Output {
    moue(folder, &[&["eval", "--data", DATA, "--device", "cpu", "--threads", "1", "--json"], more].concat())
}

#[test]
fn what_eval_keeps_is_what_it_says_and_compare_reads_it_back() {
    let folder = folder();
    let folder = folder.path();
    model(folder, "a.safetensors", 1, &moue::data::EXPRESSIONS);
    model(folder, "b.safetensors", 2, &moue::data::EXPRESSIONS);
    let both = ["--split", "valid,test"];
    let said = eval(
        folder,
        &[&["--model", "a.safetensors", "--predictions", "a.predictions.safetensors"], &both[..]].concat(),
    );
    let said = json(&said);
    eval(folder, &[&["--model", "b.safetensors", "--predictions", "b.predictions.safetensors"], &both[..]].concat());
    let kept = Kept::read(&folder.join("a.predictions.safetensors")).expect("predictions");
    assert_eq!((kept.images(), kept.branches(), kept.about.ids.len()), (48, 2, 48));
    let figures = kept.answered().figures();
    assert_eq!(said["accuracy"], figures.accuracy);
    assert!((said["figures"]["nll"].as_f64().expect("a figure") - figures.nll).abs() < 1e-12);
    assert_eq!(said["images"], 48);

    // Two models answer by the mean of their probabilities.
    let two = ["--model", "a.safetensors", "--model", "b.safetensors", "--predictions", "ab.predictions.safetensors"];
    assert_eq!(
        json(&eval(folder, &[&two[..], &both].concat()))["members"]["accuracy"].as_array().map(Vec::len),
        Some(4)
    );
    let other = Kept::read(&folder.join("b.predictions.safetensors")).expect("predictions");
    let mean = Kept::read(&folder.join("ab.predictions.safetensors")).expect("predictions");
    for (index, value) in mean.mean.iter().enumerate() {
        assert!((value - (kept.mean[index] + other.mean[index]) / 2.0).abs() < 1e-6);
    }

    // A compact file has the same answers.
    let small = ["--model", "a.safetensors", "--predictions", "small.safetensors", "--compact"];
    eval(folder, &[&small[..], &both].concat());
    let compact = Kept::read(&folder.join("small.safetensors")).expect("predictions");
    assert_eq!((&compact.members, &compact.labels), (&kept.members, &kept.labels));
    assert!(compact.mean.iter().zip(&kept.mean).all(|(compact, mean)| (compact - mean).abs() < 1e-3));
    assert!(compact.about.ids.is_empty() && compact.about.splits == kept.about.splits);

    let compared = moue(folder, &["compare", "a.predictions.safetensors", "b.predictions.safetensors", "--json"]);
    let compared = json(&compared);
    let versus = &compared["arms"][1]["versus"];
    let expected = other.answered().figures().nll - figures.nll;
    assert!((versus["soft_cross_entropy"]["mean"].as_f64().expect("a mean") - expected).abs() < 1e-9, "{compared}");
    let [low, high] = [0, 1].map(|i| versus["soft_cross_entropy"]["interval"][i].as_f64().expect("an end"));
    assert!(low < expected && expected < high);

    // A calibrated model's answers say so, and are not set beside mean probabilities without a word.
    let mut calibrated = load_model(&folder.join("a.safetensors")).expect("a model");
    calibrated.meta.answer = Some(Calibration::new(2.0, 0.5, vec![0.125; 8]));
    save_model(&folder.join("c.safetensors"), &calibrated.meta, &calibrated.tensors).expect("written");
    for (name, raw) in [("c", &[][..]), ("raw", &["--raw"])] {
        let file = format!("{name}.predictions.safetensors");
        let said =
            json(&eval(folder, &[&["--model", "c.safetensors", "--predictions", &file], &both[..], raw].concat()));
        assert_eq!(said["raw"], !raw.is_empty());
        let other = Kept::read(&folder.join(&file)).expect("predictions");
        assert_eq!((other.about.calibrated, other.mean == kept.mean), (raw.is_empty(), !raw.is_empty()));
        let compared = moue(folder, &["compare", "a.predictions.safetensors", &file]);
        assert!(compared.status.success(), "{}", stderr(&compared));
        assert_eq!(stderr(&compared).contains("their difference is also one of calibration"), raw.is_empty());
    }
}

#[test]
fn the_maps_that_are_judged_are_those_of_the_layer_that_was_diversified() {
    let folder = folder();
    let folder = folder.path();
    model(folder, "last.safetensors", 1, &moue::data::EXPRESSIONS);
    let mut early = load_model(&folder.join("last.safetensors")).expect("a model");
    early.meta.diversity = Some(DiversityMeta {
        similarity: "paper".into(),
        objective: "det".into(),
        gamma: [("spatial".to_owned(), 10.0)].into(),
        layer: 2,
        centred: false,
        logdet_epsilon: None,
        weight: None,
    });
    save_model(&folder.join("early.safetensors"), &early.meta, &early.tensors).expect("written");
    let [last, early] = ["last", "early"].map(|name| json(&eval(folder, &["--model", &format!("{name}.safetensors")])));
    assert_eq!(last["accuracy"], early["accuracy"], "the answers are the same");
    for kind in [0, 1] {
        let [last, early] = [&last, &early].map(|said| said["maps"][kind]["distance"].as_f64().expect("a distance"));
        assert!(last > 0.0 && early > 0.0 && last != early, "{last} {early}");
    }
}

#[test]
fn steadiness_counts_the_answers_that_change_with_the_picture() {
    let folder = folder();
    let folder = folder.path();
    model(folder, "a.safetensors", 1, &moue::data::EXPRESSIONS);
    let said = json(&eval(folder, &["--model", "a.safetensors", "--steadiness"]));
    let all = said["steadiness"].as_array().expect("a list");
    assert_eq!((all.len(), &all[0]["change"]), (11, &Value::from("mirrored")));
    let number = |row: &Value, key: &str| row[key].as_f64().expect("a share");
    assert!(all.iter().all(|row| (0.0..=1.0).contains(&number(row, "changed"))));
    // Accuracies differ by at most as much as answers do.
    let accuracy = number(&said, "accuracy");
    assert!(
        all.iter().all(|row| (number(row, "accuracy") - accuracy).abs() <= number(row, "changed") + 1e-9),
        "{said}"
    );
    assert_eq!(json(&eval(folder, &["--model", "a.safetensors"]))["steadiness"], Value::Array(vec![]));
}

#[test]
fn images_that_were_trained_on_are_left_out_where_asked_for() {
    let folder = folder();
    let folder = folder.path();
    model(folder, "a.safetensors", 1, &["anger", "happiness"]);
    for (split, numbers) in [("train", [1, 2, 3]), ("test", [3, 4, 5])] {
        for (class, factor) in [("anger", 7), ("happiness", 11)] {
            let path = folder.join("faces").join(split).join(class);
            fs::create_dir_all(&path).expect("a folder");
            for number in numbers {
                let pixel = |x: u32, y: u32| image::Luma([((x * factor + y * 3) * number) as u8]);
                image::GrayImage::from_fn(48, 48, pixel).save(path.join(format!("{number}.png"))).expect("written");
            }
        }
    }
    let eval = |more: &[&str]| {
        let args = ["eval", "--model", "a.safetensors", "--data", "folder:faces", "--device", "cpu", "--json"];
        moue(folder, &[&args, more].concat())
    };
    let [all, rest] = [&[][..], &["--without-copies"]].map(|more| json(&eval(more)));
    assert_eq!((&all["images"], &all["copies"]), (&6.into(), &0.into()));
    assert_eq!((&rest["images"], &rest["copies"]), (&4.into(), &2.into()));
    let refused = eval(&["--without-copies", "--split", "train"]);
    assert!(stderr(&refused).contains("splits other than `train`"), "{}", stderr(&refused));
}

#[test]
fn a_subset_and_groups_are_judged_by_themselves() {
    let folder = folder();
    let folder = folder.path();
    model(folder, "a.safetensors", 1, &moue::data::EXPRESSIONS);
    eval(folder, &["--model", "a.safetensors", "--predictions", "a.safetensors.predictions"]);
    let kept = Kept::read(&folder.join("a.safetensors.predictions")).expect("predictions");
    let ids = &kept.about.ids;
    fs::write(folder.join("list"), format!("{}\n{}\n{}\n", ids[3], ids[7], ids[20])).expect("a list");
    let said = json(&eval(folder, &["--model", "a.safetensors", "--subset", "list"]));
    let right: Vec<bool> = kept.answered().answers().iter().zip(&kept.labels).map(|(a, b)| a == b).collect();
    let hits = [3, 7, 20].iter().filter(|&&image| right[image]).count();
    assert_eq!((&said["images"], &said["accuracy"]), (&3.into(), &(hits as f64 / 3.0).into()));

    // Two lists of as many images are not the same images.
    for (list, first) in [("list", 3), ("other", 2)] {
        fs::write(folder.join(list), format!("{}\n{}\n{}\n", ids[first], ids[7], ids[20])).expect("a list");
        let file = format!("{list}.predictions");
        eval(folder, &["--model", "a.safetensors", "--subset", list, "--predictions", &file, "--compact"]);
    }
    let (one, other) = ("list.predictions", "other.predictions");
    let [about, others] = [one, other].map(|file| Kept::read(&folder.join(file)).expect("predictions").about);
    assert!(about.splits[0].images == 3 && about.splits != others.splits, "{about:?}");
    assert!(!moue(folder, &["compare", one, other]).status.success());

    let rows: String = ids.iter().enumerate().map(|(i, id)| format!("{},{id},x\n", ["young", "old"][i % 2])).collect();
    fs::write(folder.join("groups.csv"), format!("age,id,all\n{rows}")).expect("a table");
    let said = json(&eval(folder, &["--model", "a.safetensors", "--groups", "groups.csv"]));
    let old = &said["groups"][0]["groups"][0];
    let hits = right.iter().enumerate().filter(|(i, right)| i % 2 == 1 && **right).count();
    assert_eq!(
        (&old["group"], &old["images"], &old["accuracy"]),
        (&"old".into(), &12.into(), &(hits as f64 / 12.0).into())
    );
    assert_eq!((&said["groups"][1]["column"], &said["groups"][1]["p"]), (&"all".into(), &1.0.into()));
}

#[test]
fn bad_input_gets_one_sentence_with_what_was_expected_and_found() {
    let folder = folder();
    let folder = folder.path();
    model(folder, "a.safetensors", 1, &moue::data::EXPRESSIONS);
    model(folder, "seven.safetensors", 1, &moue::data::EXPRESSIONS[..7]);
    let a = ["--model", "a.safetensors"];
    fs::write(folder.join("unknown"), "test/99999\n").expect("a list");
    fs::write(folder.join("none.csv"), "id\ntest/00000\n").expect("a table");
    fs::write(folder.join("short.csv"), "id,age\ntest/00000,1\n").expect("a table");
    eval(folder, &[&a[..], &["--predictions", "test.safetensors"]].concat());
    eval(folder, &[&a[..], &["--predictions", "valid.safetensors", "--split", "valid"]].concat());
    let wrong_eval = |more: &[&str]| eval(folder, &[&a[..], more].concat());
    for (output, parts) in [
        (wrong_eval(&["--subset", "unknown"]), ["unknown", "found `test/99999`"]),
        (wrong_eval(&["--groups", "none.csv"]), ["none.csv", "a column `id` and at least one of groups"]),
        (wrong_eval(&["--groups", "short.csv"]), ["short.csv", "a row for each image"]),
        (wrong_eval(&["--split", "test,valid,test"]), ["split", "each split once, found `test` twice"]),
        (wrong_eval(&["--model", "seven.safetensors"]), ["seven.safetensors", "the classes of a.safetensors"]),
        (
            moue(folder, &["compare", "test.safetensors", "valid.safetensors"]),
            ["valid.safetensors", "24 images of test"],
        ),
        (moue(folder, &["compare", "test.safetensors", "a.safetensors"]), ["a.safetensors", "such as a model"]),
        (
            moue(folder, &["compare", "test.safetensors", "nothing.safetensors"]),
            ["nothing.safetensors", "check the path"],
        ),
    ] {
        let said = stderr(&output);
        let last = said.lines().last().unwrap_or_default();
        assert!(!output.status.success() && parts.iter().all(|part| last.contains(part)), "{parts:?}: {said}");
    }
}

/// 300 images of four classes with votes; a network that knows them by halves.
fn drawn(seed: u64) -> Kept {
    let mut rng = Rng::named("drawn", &[seed]);
    let mut truth = Rng::new("truth");
    let (mut mean, mut labels, mut votes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..300 {
        let label = truth.below(4);
        let shares: Vec<f64> = (0..4).map(|k| truth.uniform() + f64::from(u8::from(k == label))).collect();
        let row: Vec<f64> =
            (0..4).map(|k| (2.0 * rng.normal() + 2.0 * f64::from(u8::from(k == label))).exp()).collect();
        votes.extend(shares.iter().map(|v| (v / shares.iter().sum::<f64>()) as f32));
        mean.extend(row.iter().map(|p| (p / row.iter().sum::<f64>()) as f32));
        labels.push(label);
    }
    let members = mean.chunks(4).map(|row| moue::predict::arg_max(row) as u8).collect();
    let split = SplitOf { name: "test".into(), images: 300, hash: "drawn".into() };
    let classes = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let about = About::new(classes, "drawn".into(), vec![split], Vec::new(), Vec::new());
    Kept { about, mean, members, labels, votes: Some(votes) }
}

#[test]
fn folders_of_trainings_are_paired_by_their_paths() {
    let folder = folder();
    let folder = folder.path();
    for (arm, seeds) in [("first", [1, 2]), ("second", [3, 4])] {
        for (name, seed) in ["seed-1", "seed-2"].into_iter().zip(seeds) {
            let path = folder.join(arm).join(name);
            fs::create_dir_all(&path).expect("a folder");
            drawn(seed).write(&path.join("predictions.safetensors"), true).expect("written");
        }
    }
    drawn(1).write(&folder.join("truth.safetensors"), false).expect("written");
    let run = || moue(folder, &["compare", "first", "second", "--truth", "truth.safetensors", "--json"]);
    let found = json(&run());
    let mean = |seeds: [u64; 2]| {
        seeds.iter().map(|&s| drawn(s).answered().figures().votes.expect("votes").soft_cross_entropy).sum::<f64>() / 2.0
    };
    let expected = mean([3, 4]) - mean([1, 2]);
    let versus = &found["arms"][1]["versus"];
    assert!((versus["soft_cross_entropy"]["mean"].as_f64().expect("a mean") - expected).abs() < 2e-3, "{found}");
    assert!(versus["mcnemar"].is_null() && found["arms"][0]["trainings"] == 2, "{found}");
    fs::rename(folder.join("second/seed-2"), folder.join("second/seed-3")).expect("renamed");
    assert!(stderr(&run()).contains("compare the same seeds on both sides"), "{}", stderr(&run()));
}

const PYTHON: &str = "
import json, sys, numpy
from safetensors.numpy import load_file
from scipy.stats import binomtest
from sklearn import metrics
one, other = (load_file(name) for name in sys.argv[1:3])
p, y, v = one['mean'].astype(numpy.float64), one['labels'].astype(int), one['votes'].astype(numpy.float64)
answer, q = p.argmax(1), other['mean'].argmax(1)
n = numpy.arange(len(y))
unit = p / p.sum(1, keepdims=True)
order = numpy.argsort(p.max(1), kind='stable')
bins = numpy.array_split(order, 15)
right = answer == y
first, second = int((right & (q != y)).sum()), int((~right & (q == y)).sum())
print(json.dumps({
    'accuracy': metrics.accuracy_score(y, answer),
    'balanced_accuracy': metrics.balanced_accuracy_score(y, answer),
    'macro_f1': metrics.f1_score(y, answer, average='macro'),
    'top2': metrics.top_k_accuracy_score(y, p, k=2),
    'nll': metrics.log_loss(y, unit),
    'brier': float(numpy.mean(((p - numpy.eye(p.shape[1])[y]) ** 2).sum(1))),
    'calibration_error': float(sum(abs(right[b].mean() - p.max(1)[b].mean()) * len(b) for b in bins) / len(y)),
    'error_auroc': metrics.roc_auc_score(right, p.max(1)),
    'soft': float(-(v * numpy.log(p)).sum(1).mean()),
    'average_precision': [metrics.average_precision_score(y == k, p[:, k]) for k in range(p.shape[1])],
    'mcnemar': binomtest(first, first + second, 0.5).pvalue,
}))
";

#[test]
#[ignore = "needs scikit-learn and scipy: set MOUE_TEST_SKLEARN to a Python that has them"]
fn figures_and_tests_are_those_of_scikit_learn_and_scipy() {
    let folder = folder();
    let folder = folder.path();
    let (one, other) = (drawn(1), drawn(2));
    one.write(&folder.join("one.safetensors"), false).expect("written");
    other.write(&folder.join("other.safetensors"), false).expect("written");
    let python = std::env::var_os("MOUE_TEST_SKLEARN").expect("MOUE_TEST_SKLEARN");
    let output = Command::new(python)
        .args(["-B", "-c", PYTHON, "one.safetensors", "other.safetensors"])
        .current_dir(folder)
        .output()
        .expect("Python starts");
    let expected = json(&output);
    let near = |name: &str, found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap_or_else(|| panic!("{name}: {}", stderr(&output)));
        assert!((found - expected).abs() < 1e-6, "{name}: {found} where Python has {expected}");
    };
    let answered: Answered<'_> = one.answered();
    let figures = answered.figures();
    for (name, found) in [
        ("accuracy", figures.accuracy),
        ("balanced_accuracy", figures.balanced_accuracy),
        ("macro_f1", figures.macro_f1),
        ("top2", figures.top2),
        ("nll", figures.nll),
        ("brier", figures.brier),
        ("calibration_error", figures.calibration_error),
        ("error_auroc", figures.error_auroc.expect("right and wrong answers")),
        ("soft", figures.votes.expect("votes").soft_cross_entropy),
    ] {
        near(name, found, &expected[name]);
    }
    for class in 0..4 {
        let scores: Vec<f64> = one.mean.chunks(4).map(|row| f64::from(row[class])).collect();
        let positives: Vec<bool> = one.labels.iter().map(|&label| label == class).collect();
        let found = moue::evaluation::average_precision(&scores, &positives).expect("positives");
        near("average precision", found, &expected["average_precision"][class]);
    }
    let arm = |name: &str, kept: Kept| Arm { name: name.into(), trainings: vec![kept] };
    let compared = compare(vec![arm("one", one), arm("other", other)], None, 0.005, 100).expect("comparable");
    let (.., p) = compared[1].versus.as_ref().and_then(|versus| versus.mcnemar).expect("a training each");
    near("mcnemar", p, &expected["mcnemar"]);
}
