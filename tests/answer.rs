//! One answer everywhere: the calibration of a model file, from a training to every program that reads it.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use moue::{
    checkpoint::{ModelMeta, load_model, model_bytes, save_model, write_streamed},
    data::{EXPRESSIONS, Spec, Targets, prior},
    models::{Calibration, EsrSpec, NetworkSpec, Padding, Risk},
    nn::variables::Tensors,
    predict::arg_max,
    train::trainer::fresh,
};
use serde_json::{Value, json};

const DATA: &str = "synthetic:train=52,valid=40,test=8,size=54";

fn network() -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec {
        branches: 3,
        width: 0.0625,
        size: 54,
        classes: 8,
        attention: true,
        padding: Padding::Published,
    })
}

/// A model whose rarest class, disgust, was met once in ten thousand images.
fn model() -> (ModelMeta, Tensors) {
    let mut meta = ModelMeta::new(network().architecture(), EXPRESSIONS.map(str::to_owned).to_vec(), 54);
    let mut prior = vec![0.1; 8];
    (prior[5], prior[0]) = (0.0001, 0.3999);
    meta.answer = Some(Calibration::new(0.8, 0.5, prior));
    (meta, fresh(&network(), 3).expect("a network"))
}

fn moue(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moue")).current_dir(folder).args(args).output().expect("moue starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON that a command ends with.
fn said(folder: &Path, args: &[&str]) -> Value {
    let output = moue(folder, &[args, &["--device", "cpu", "--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON")
}

/// The probabilities of an object in the order of the classes.
fn in_order(named: &Value) -> Vec<f32> {
    EXPRESSIONS.iter().map(|class| named[class].as_f64().expect("a probability") as f32).collect()
}

fn picture(folder: &Path) {
    let pixels = (0..40 * 40 * 3).map(|i| ((i * i / 7 + i) % 251) as u8).collect();
    image::RgbImage::from_raw(40, 40, pixels).expect("a picture").save(folder.join("face.png")).expect("written");
}

#[test]
fn a_model_file_of_an_earlier_version_is_read_and_a_calibration_out_of_range_is_refused() {
    let (mut meta, tensors) = model();
    let path = Path::new("m");
    let mut old = json!(meta);
    assert!(old.as_object_mut().expect("an object").remove("answer").is_some());
    let old: ModelMeta = serde_json::from_value(old).expect("the metadata of an earlier version");
    assert_eq!(old, ModelMeta { answer: None, ..meta.clone() });
    assert!(!json!(old).to_string().contains("answer"), "nothing is said where there is nothing");
    for (temperature, tau, words) in [
        (0.0, 0.5, "expected a temperature from 1e-30 to 1e30 in its calibration, found 0e0"),
        (1.0, -0.1, "expected a τ from 0 to 1 in its calibration, found -0.1"),
    ] {
        meta.answer = Some(Calibration::new(temperature, tau, vec![0.125; 8]));
        let error = model_bytes(path, &meta, &tensors).expect_err("a calibration out of range").to_string();
        assert!(error.contains(words), "{error}");
    }
    meta.answer = Some(Calibration::new(1.0, 0.5, vec![0.2; 5]));
    let error = meta.check(path).expect_err("a prior of other classes").to_string();
    assert!(error.contains("expected a prior of 8 classes in its calibration, found 5 values"), "{error}");
}

#[test]
fn the_class_is_that_of_the_largest_probability_that_is_shown_and_raw_shows_the_mean() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (meta, tensors) = model();
    save_model(&folder.join("m.safetensors"), &meta, &tensors).expect("written");
    picture(folder);
    let calibration = meta.answer.expect("a calibration");
    for raw in [false, true] {
        let more: &[&str] = if raw { &["--raw"] } else { &[] };
        let predicted = said(folder, &[&["predict", "--model", "m.safetensors", "face.png"], more].concat());
        let explained = said(folder, &[&["explain", "--model", "m.safetensors", "face.png"], more].concat());
        assert_eq!(predicted["calibration"].is_null(), raw);
        for answer in [&predicted["images"][0], &explained] {
            let (shown, mean) = (in_order(&answer["probabilities"]), in_order(&answer["mean"]));
            assert_eq!(answer["prediction"], EXPRESSIONS[arg_max(&shown)]);
            let expected = if raw { mean.clone() } else { calibration.answer(&mean) };
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(shown.iter().zip(&expected).all(near), "{shown:?} {expected:?}");
            // The prior decides here: without it the answer is another, and the vote stays.
            assert_eq!(answer["prediction"] == "disgust", !raw, "{answer}");
            assert_ne!(answer["vote"], "disgust");
            let branches = answer["branches"].as_array().expect("branches");
            let of = |branch: &Value| in_order(branch.get("probabilities").unwrap_or(branch));
            let sums = branches
                .iter()
                .map(of)
                .fold(vec![0.0; 8], |sum, branch| sum.iter().zip(branch).map(|(sum, p)| sum + p).collect());
            assert!(sums.iter().zip(&mean).all(|(sum, mean)| (sum / 3.0 - mean).abs() < 1e-6), "{sums:?}");
        }
        let csv = moue(folder, &[&["predict", "--csv", "--model", "m.safetensors", "face.png"], more].concat());
        let csv = String::from_utf8_lossy(&csv.stdout).into_owned();
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.trim().split(',').collect()).collect();
        assert_eq!(lines[0][..3], ["image", "prediction", "neutral"]);
        assert_eq!(lines[0].len(), 2 + 8 * 4);
        assert_eq!(lines[1][1], predicted["images"][0]["prediction"]);
    }
}

#[test]
fn an_answer_that_is_not_sure_enough_is_left_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (mut meta, tensors) = model();
    save_model(&folder.join("plain.safetensors"), &meta, &tensors).expect("written");
    picture(folder);
    let point = |confidence, coverage, risk| Risk { confidence, coverage, risk };
    if let Some(answer) = &mut meta.answer {
        answer.risks = vec![point(0.99, 0.1, 0.02), point(0.0, 0.9, 0.2), point(0.0, 1.0, 0.3)];
    }
    save_model(&folder.join("m.safetensors"), &meta, &tensors).expect("written");
    let predict = ["predict", "--model", "m.safetensors", "face.png"];
    let plain = &said(folder, &predict)["images"][0];
    assert_eq!(plain["prediction"], "disgust");
    for (risk, prediction, least) in
        [("0.01", "unsure", Value::Null), ("0.1", "unsure", json!(0.99_f32)), ("0.25", "disgust", json!(0.0_f32))]
    {
        let json = said(folder, &[&predict[..], &["--abstain", risk]].concat());
        let image = &json["images"][0];
        assert_eq!((&image["prediction"], &json["least_confidence"]), (&json!(prediction), &least), "{risk}");
        assert_eq!(image["probabilities"], plain["probabilities"], "what it rests on is shown all the same");
    }
    let csv = moue(folder, &[&predict[..], &["--abstain", "0.1", "--csv"]].concat());
    let csv = String::from_utf8_lossy(&csv.stdout).into_owned();
    assert!(csv.lines().nth(1).is_some_and(|row| row.starts_with("face.png,unsure,")), "{csv}");
    let eval = ["eval", "--model", "m.safetensors", "--data", DATA, "--split", "valid", "--abstain"];
    let [none, all] = ["0.01", "0.3"].map(|risk| said(folder, &[&eval[..], &[risk]].concat()));
    assert_eq!(none["abstained"], json!({"least_confidence": null, "coverage": 0.0, "risk": null}));
    let (risk, accuracy) = (all["abstained"]["risk"].as_f64(), all["accuracy"].as_f64());
    assert!((risk.expect("a risk") - (1.0 - accuracy.expect("an accuracy"))).abs() < 1e-9, "{all}");

    let two = ["eval", "--model", "m.safetensors", "--model", "plain.safetensors", "--data", DATA, "--abstain", "0.1"];
    let refused = moue(folder, &two);
    assert!(stderr(&refused).contains("--abstain: expected one model, whose own errors were counted, found 2 models"));
    for (model, risk, code, words) in [
        (
            "plain.safetensors",
            "0.1",
            3,
            "expected a model that knows how often its answers are wrong, found a calibration without their curve",
        ),
        (
            "m.safetensors",
            "2",
            2,
            "--abstain: expected the share of wrong answers that is accepted, from 0 to 1, found 2",
        ),
    ] {
        let refused = moue(folder, &["predict", "--model", model, "face.png", "--abstain", risk]);
        assert_eq!(refused.status.code(), Some(code), "{}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
    }
}

#[test]
fn every_export_has_the_calibration() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (meta, tensors) = model();
    save_model(&folder.join("m.safetensors"), &meta, &tensors).expect("written");
    for format in ["f16", "torch", "web", "onnx"] {
        let output = moue(folder, &["export", "m.safetensors", &format!("--{format}"), "--out", format]);
        assert!(output.status.success(), "{}", stderr(&output));
        if format != "onnx" {
            assert_eq!(load_model(&folder.join(format)).expect("a model").meta.answer, meta.answer, "{format}");
        }
    }
    let onnx = fs::read(folder.join("onnx")).expect("the file");
    let has = |words: &str| onnx.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(has("probabilities") && has("answer/minus_tau_ln_prior"), "the graph");
    assert!(has(&json!(meta.answer).to_string()), "the metadata");
    // What is taken from PyTorch again is the same model.
    let import = |out: &str, more: &[&str]| {
        let output = moue(folder, &[&["import", "torch", "--out", out], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        load_model(&folder.join(out)).expect("a model").meta.answer
    };
    assert_eq!(import("again", &[]), meta.answer);
    assert_eq!(import("other", &["--colour", "bgr"]), None, "it was not fitted to such inputs");
}

#[test]
fn moue_calibrate_fits_the_validation_labels_and_changes_no_weight() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (mut meta, tensors) = model();
    meta.answer = None;
    let whole = write_streamed(Path::new("m"), &meta, &tensors).expect("a model");
    fs::write(folder.join("m.safetensors"), &whole).expect("written");
    let calibrate = ["calibrate", "--model", "m.safetensors", "--data", DATA];

    for (split, words) in [
        ("test", "a split that the model is not judged by, found `test`"),
        ("train", "a split that the model was not trained on, found `train`"),
    ] {
        let refused = moue(folder, &[&calibrate[..], &["--split", split]].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
    }
    assert_eq!(fs::read(folder.join("m.safetensors")).expect("the file"), whole, "it was written all the same");

    let json = said(folder, &[&calibrate[..], &["--out", "c.safetensors"]].concat());
    assert_eq!(fs::read(folder.join("m.safetensors")).expect("the file"), whole);
    let calibrated = load_model(&folder.join("c.safetensors")).expect("a model");
    let answer = calibrated.meta.answer.clone().expect("a calibration");
    assert_eq!(json["calibration"], json!(answer));
    let data = DATA.parse::<Spec>().expect("data").load_splits(&["train"]).expect("images");
    let train = &data.split("train").expect("the split").samples;
    assert_eq!(answer.prior, prior(train, 8, Targets::Hard, |_| 1.0));
    let number = |when: &str, key: &str| json[when][key].as_f64().expect("a number");
    assert!(number("after", "accuracy") >= number("before", "accuracy") - 0.003, "{json}");
    let result = calibrated.meta.result.clone().expect("what it reaches");
    assert_eq!((result.split.as_str(), result.images, result.by_branches.len()), ("valid", Some(40), 3));
    assert_eq!((result.accuracy, result.by_branches[2]), (number("after", "accuracy"), result.accuracy));
    // Only what the file says of itself differs: the weights stay as they were, in 16 bits and in their order.
    let written = fs::read(folder.join("c.safetensors")).expect("the file");
    let data_of = |bytes: &[u8]| {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        assert_eq!(length % 8, 0);
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
        let tensors: Vec<_> =
            header.as_object().expect("an object").iter().skip(1).map(|(k, v)| json!([k, v])).collect();
        (tensors, bytes[8 + length..].to_vec())
    };
    assert!(data_of(&written) == data_of(&whole), "a weight has changed");
    assert_eq!(ModelMeta { answer: None, result: None, ..calibrated.meta }, meta);
    // Once more, in place: the same bits, and what is replaced is said.
    fs::write(folder.join("m.safetensors"), &written).expect("written");
    let again = moue(folder, &[&calibrate[..], &["--device", "cpu"]].concat());
    assert!(again.status.success() && stderr(&again).contains("which is replaced"), "{}", stderr(&again));
    assert_eq!(fs::read(folder.join("m.safetensors")).expect("the file"), written);
}

#[test]
fn a_training_ends_with_a_calibrated_model_also_where_it_was_killed_just_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let train =
        ["train", "--data", DATA, "--image-size", "54", "--width", "0.0625", "--batch-size", "16", "--branches"];
    let more = ["2", "--epochs", "2", "--label-smoothing", "0.2", "--threads", "1", "--name", "run"];
    said(folder, &[&train[..], &more].concat());
    let run = folder.join("runs/run");
    let best = run.join("checkpoints/best.safetensors");
    let bytes = fs::read(&best).expect("the model");
    let mut model = load_model(&best).expect("the model");
    let answer = model.meta.answer.clone().expect("a calibration");
    let last = load_model(&run.join("checkpoints/last.safetensors")).expect("the newest state");
    assert_eq!(last.meta.answer, None, "a state goes on being trained");
    // The prior is of the smoothed labels.
    let data = DATA.parse::<Spec>().expect("data").load_splits(&["train"]).expect("images");
    let share = prior(&data.split("train").expect("the split").samples, 8, Targets::Hard, |_| 1.0);
    let near = |(a, b): (&f64, &f64)| (a - (0.8 * b + 0.025)).abs() < 1e-12;
    assert!(answer.prior.iter().zip(&share).all(near), "{answer:?}");
    // It is what `moue calibrate` fits with that prior, and what the run's reports tell of.
    let facts =
        || -> Value { serde_json::from_str(&fs::read_to_string(run.join("run.json")).expect("facts")).expect("JSON") };
    let of_file = ["calibrate", "--model", "runs/run/checkpoints/best.safetensors", "--data", DATA, "--out", "c"];
    let as_trained = ["--batch", "16", "--threads", "1", "--label-smoothing", "0.2"];
    assert_eq!(said(folder, &[&of_file[..], &as_trained].concat())["calibration"], json!(answer));
    let result = model.meta.result.clone().expect("what it reached");
    assert_eq!(facts()["result"]["evaluation"]["accuracy"], result.accuracy);
    assert_eq!(facts()["result"]["vote_accuracy"], facts()["result"]["best_val_accuracy"]);
    let hash = moue::checkpoint::file_hash(&best).expect("a hash");
    assert_eq!(facts()["result"]["model_hash"], hash);
    let card = fs::read_to_string(run.join("MODEL_CARD.md")).expect("the card");
    for words in [&format!("τ = {}", answer.tau), &hash, "are calibrated on the images of the result above"] {
        assert!(card.contains(words), "{words} in {card}");
    }

    // Killed between the last checkpoint and the calibration.
    (model.meta.answer, model.meta.result) = (None, last.meta.result);
    save_model(&best, &model.meta, &model.tensors).expect("written");
    assert_ne!(fs::read(&best).expect("the model"), bytes);
    let mut unfinished = facts();
    unfinished["status"] = "unfinished".into();
    unfinished.as_object_mut().expect("an object").remove("result");
    fs::write(run.join("run.json"), unfinished.to_string()).expect("written");
    let resumed = moue(folder, &["train", "--resume", "runs/run"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(fs::read(&best).expect("the model"), bytes, "another model than the uninterrupted one");
    assert_eq!((facts()["status"].as_str(), &facts()["result"]["model_hash"]), (Some("finished"), &json!(hash)));
}

#[test]
fn nothing_is_fitted_where_the_test_split_chooses() {
    let folder = tempfile::tempdir().expect("a folder");
    let train = ["train", "--data", DATA, "--image-size", "54", "--width", "0.0625", "--batch-size", "16"];
    let more = ["--branches", "2", "--epochs", "1", "--threads", "1", "--name", "run", "--select-on", "test"];
    said(folder.path(), &[&train[..], &more].concat());
    let meta = load_model(&folder.path().join("runs/run/checkpoints/best.safetensors")).expect("the model").meta;
    assert_eq!(meta.answer, None);
    assert_eq!(meta.result.map(|result| result.split), Some("test".into()));
}

/// A folder of pictures without a split `valid`: a training holds one out of `train`.
#[test]
fn a_model_of_data_without_a_validation_split_is_calibrated_on_the_one_that_was_held_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (split, count) in [("train", 20), ("test", 2)] {
        for class in ["anger", "happiness"] {
            let path = folder.join("faces").join(split).join(class);
            fs::create_dir_all(&path).expect("a folder");
            for image in 0..count {
                let pixel =
                    |x: u32, y: u32| image::Luma([((x * 7 + y * 3) * (image + 1) + class.len() as u32 * 40) as u8]);
                image::GrayImage::from_fn(48, 48, pixel).save(path.join(format!("{image}.png"))).expect("written");
            }
        }
    }
    let train = ["train", "--data", "folder:faces", "--image-size", "54", "--width", "0.0625", "--batch-size", "8"];
    let more = ["--branches", "2", "--epochs", "1", "--threads", "1", "--name", "run", "--val-fraction", "0.3"];
    said(folder, &[&train[..], &more].concat());
    let best = "runs/run/checkpoints/best.safetensors";
    let answer = load_model(&folder.join(best)).expect("the model").meta.answer.expect("a calibration");
    let calibrate = ["calibrate", "--model", best, "--data", "folder:faces", "--out", "c", "--batch", "8"];
    let json = said(folder, &[&calibrate[..], &["--threads", "1", "--val-fraction", "0.3"]].concat());
    assert_eq!((&json["images"], &json["calibration"]), (&json!(12), &json!(answer)));
}
