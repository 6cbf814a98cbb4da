//! What the command line says of a data set: its hashes, what is not used, whose classes they are.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn moue(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moue")).current_dir(folder).args(args).output().expect("moue starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One epoch of the smallest network.
fn train(folder: &Path, data: &str, name: &str) -> Output {
    let network = ["--size", "54", "--width", "0.0625", "--branches", "1", "--batch", "8"];
    let rest = ["--epochs", "1", "--device", "cpu", "--threads", "1", "--name", name];
    moue(folder, &[&["train", "--data", data], &network[..], &rest].concat())
}

/// A PNG of one colour.
fn png(path: &Path, tone: u8) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    image::RgbImage::from_pixel(48, 48, image::Rgb([tone, 99, 255 - tone])).save(path).expect("a PNG");
}

#[test]
fn a_run_is_not_resumed_after_images_moved_between_its_splits() {
    let folder = folder();
    let mut rows = vec![];
    for index in 0..40_u8 {
        png(&folder.path().join(format!("faces/{index}.png")), 6 * index);
        let split = if index < 24 { "train" } else { "valid" };
        rows.push(format!("{index}.png,{},{split}\n", ["happiness", "sadness"][usize::from(index % 2)]));
    }
    let csv = folder.path().join("faces/labels.csv");
    let table = |rows: &[String]| fs::write(&csv, format!("path,label,split\n{}", rows.concat())).expect("a table");
    table(&rows);
    let output = train(folder.path(), "folder:faces", "a");
    assert!(output.status.success(), "{}", stderr(&output));
    let resume = || moue(folder.path(), &["train", "--resume", "runs/a"]);

    let text = fs::read_to_string(folder.path().join("runs/a/run.json")).expect("run.json");
    let facts: Value = serde_json::from_str(&text).expect("JSON");
    let check = stdout(&moue(folder.path(), &["data", "check", "folder:faces"]));
    for named in facts["data"]["hash"].as_str().expect("a hash").split(' ') {
        let (split, hash) = named.split_once(':').expect("a split and its hash");
        assert!(check.contains(&format!("sha256 of {split}: {hash}\n")), "{named} is not in: {check}");
    }

    let mut moved = rows.clone();
    for index in 0..9 {
        moved[index] = moved[index].replace("train", "valid");
        moved[index + 24] = moved[index + 24].replace("valid", "train");
    }
    table(&moved);
    let output = resume();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("the data it was trained on"), "{}", stderr(&output));
    rows.reverse();
    table(&rows);
    let output = resume();
    assert!(output.status.success(), "the same rows in another order: {}", stderr(&output));

    let run = folder.path().join("runs/a/run.json");
    let text = fs::read_to_string(&run).expect("run.json");
    let mut facts: Value = serde_json::from_str(&text).expect("JSON");
    facts["data"]["hash"] = "0123456789abcdef".into();
    fs::write(&run, facts.to_string()).expect("written");
    let output = resume();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("begun by an earlier version"), "{}", stderr(&output));
}

/// The last line of stdout.
fn json(output: &Output) -> Value {
    let text = stdout(output);
    serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("no JSON: {text}\n{}", stderr(output)))
}

/// A folder for each class in a split, with images of its own tone.
fn faces(folder: &Path, split: &str, classes: &[&str], each: u8) {
    for (class, name) in (0_u8..).zip(classes) {
        for index in 0..each {
            png(&folder.join(split).join(name).join(format!("{split}{index}.png")), 30 * class + 2 * index);
        }
    }
}

const FER2013: [&str; 7] = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];

#[test]
fn data_of_seven_classes_judge_a_model_of_eight_under_its_names_and_contempt_is_never_right() {
    let folder = folder();
    let output = train(folder.path(), "synthetic:train=16,valid=8,test=8,size=54", "eight");
    assert!(output.status.success(), "{}", stderr(&output));
    faces(&folder.path().join("fer"), "test", &FER2013, 2);
    faces(
        &folder.path().join("named"),
        "test",
        &["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"],
        2,
    );
    let eval = |data: &str| {
        let model = "runs/eight/checkpoints/best.safetensors";
        moue(folder.path(), &["eval", "--model", model, "--data", data, "--device", "cpu", "--json"])
    };
    let (result, named) = (eval("folder:fer"), eval("folder:named"));
    let (said, value) = (stderr(&result), json(&result));
    assert!(said.contains("`angry` as `anger`") && said.contains("no images of `contempt`"), "{said}");
    assert_eq!(
        (&value["classes"]["map"]["happy"], &value["classes"]["map"]["fear"]),
        (&"happiness".into(), &"fear".into())
    );
    assert_eq!(value["classes"]["never_right"], serde_json::json!(["contempt"]));
    let contempt = &value["per_class"][7];
    assert_eq!((&contempt["class"], &contempt["images"]), (&"contempt".into(), &0.into()));
    assert!(contempt["precision"].is_null() || contempt["precision"] == 0.0, "{contempt}");
    assert_eq!((&value["images"], &value["confusion"]), (&14.into(), &json(&named)["confusion"]));
}

#[test]
fn images_of_a_class_that_the_model_lacks_are_wrong_or_left_out_as_the_class_map_says() {
    let folder = folder();
    faces(&folder.path().join("seven"), "train", &FER2013, 4);
    faces(&folder.path().join("eight"), "test", &[&FER2013[..], &["contempt"]].concat(), 3);
    let output = train(folder.path(), "folder:seven", "seven");
    assert!(output.status.success(), "{}", stderr(&output));
    let eval = |more: &[&str]| {
        let model = ["--model", "runs/seven/checkpoints/best.safetensors", "--data", "folder:eight"];
        moue(folder.path(), &[&["eval", "--device", "cpu", "--json"], &model[..], more].concat())
    };
    let wrong = eval(&[]);
    assert!(stderr(&wrong).contains("`--class-map contempt=` leaves them out"), "{}", stderr(&wrong));
    let (wrong, without) = (json(&wrong), json(&eval(&["--class-map", "contempt="])));
    assert_eq!((&wrong["images"], &without["images"], &without["left_out"]), (&24.into(), &21.into(), &3.into()));
    let hits = |value: &Value| (value["accuracy"].as_f64().unwrap() * value["images"].as_f64().unwrap()).round();
    assert_eq!(hits(&wrong), hits(&without));
    assert_eq!((&wrong["per_class"][7]["class"], &wrong["per_class"][7]["recall"]), (&"contempt".into(), &0.0.into()));
    assert_eq!((&wrong["loss"], &wrong["classes"]["always_wrong"][0]), (&without["loss"], &"contempt".into()));
    let merged = json(&eval(&["--class-map", "contempt=disgust"]));
    assert_eq!((&merged["images"], &merged["per_class"][1]["images"]), (&24.into(), &6.into()));
    let unknown = eval(&["--class-map", "calm=neutral"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
}

#[test]
fn a_training_says_what_of_its_data_is_not_used_and_which_class_is_rare() {
    let folder = folder();
    let data = folder.path().join("faces");
    faces(&data, "train", &["a", "b"], 42);
    faces(&data, "train", &["c"], 2);
    faces(&data, ".", &["d"], 3);
    fs::write(data.join("train/a/empty.png"), "").expect("a file");
    let output = train(folder.path(), "folder:faces", "a");
    assert!(output.status.success(), "{}", stderr(&output));
    for part in ["not used: d/ (3 images)", "train/a/empty.png is left out", "only 1 of `c`", "--limit-per-class"] {
        assert!(stderr(&output).contains(part), "`{part}` is not in: {}", stderr(&output));
    }
    let check = moue(folder.path(), &["data", "check", "folder:faces", "--json"]);
    assert_eq!((check.status.code(), &json(&check)["unused"][0]["path"]), (Some(1), &"d/".into()));
}

#[test]
fn a_training_joins_and_leaves_out_classes_as_its_class_map_says_and_is_judged_under_them() {
    let folder = folder();
    faces(&folder.path().join("eight"), "train", &[&FER2013[..], &["contempt"]].concat(), 4);
    let map = "contempt=,angry=anger,happy=happiness,sad=sadness";
    let network = ["--size", "54", "--width", "0.0625", "--branches", "1", "--batch", "8", "--epochs", "1"];
    let train = ["train", "--data", "folder:eight", "--class-map", map, "--device", "cpu", "--name", "a"];
    let output = moue(folder.path(), &[&train[..], &network].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(folder.path().join("runs/a/run.json")).expect("run.json");
    let facts: Value = serde_json::from_str(&text).expect("JSON");
    let seven = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"];
    assert_eq!((&facts["classes"], &facts["data"]["counts"]["train"]), (&serde_json::json!(seven), &21.into()));
    let model = ["--model", "runs/a/checkpoints/best.safetensors", "--split", "train", "--json", "--device", "cpu"];
    let eval =
        moue(folder.path(), &[&["eval", "--data", "folder:eight", "--class-map", "contempt="], &model[..]].concat());
    assert_eq!((&json(&eval)["images"], &json(&eval)["left_out"]), (&28.into(), &4.into()), "{}", stderr(&eval));
}
