//! `moue bench`: what it measures, predicts and writes.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;

const SMALL: [&str; 12] = [
    "bench",
    "--branches",
    "2",
    "--width",
    "0.0625",
    "--image-size",
    "54",
    "--batch-size",
    "3",
    "--device",
    "cpu",
    "--json",
];

fn moue(folder: &tempfile::TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moue")).current_dir(folder).args(args).output().expect("moue starts")
}

fn small(folder: &tempfile::TempDir, more: &[&str]) -> (String, Value) {
    let output = moue(folder, &[&SMALL[..], more].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let json = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("a last line of JSON");
    (text, json)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"))
}

#[test]
fn a_profile_times_every_op_over_all_steps_and_its_trace_is_well_formed() {
    let folder = folder();
    let (text, json) = small(&folder, &["--steps", "4", "--trace", "trace.json"]);
    let ops = json["profile"]["ops"].as_array().expect("ops");
    assert_eq!(ops.len() as u64, json["dispatches"].as_u64().expect("a number"));
    assert_eq!((json["profile"]["runs"].as_u64(), json["profile"]["clock"].as_str()), (Some(4), Some("wall clock")));
    assert!(text.contains("the median of 4 runs by wall clock") && text.contains("GB/s"), "{text}");
    // The ops fill a step, so their medians together are near it, whatever else the machine does meanwhile.
    let sum: f64 = ops.iter().map(|op| number(op, "median_s")).sum();
    assert!(sum > 0.05 * number(&json, "min_s") && sum < 20.0 * number(&json, "max_s"), "{sum} {json}");
    if cfg!(target_os = "linux") {
        assert!(number(&json, "peak_rss_bytes") > number(&json, "peak_bytes"), "{json}");
    }

    let trace = fs::read_to_string(folder.path().join("trace.json")).expect("a trace");
    let trace: Value = serde_json::from_str(&trace).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let (complete, other): (Vec<_>, Vec<_>) = events.iter().partition(|event| event["ph"] == "X");
    assert!(other.iter().all(|event| event["ph"] == "M" && event["args"]["name"].is_string()), "{other:?}");
    assert!(other.iter().any(|event| event["name"] == "thread_name"), "{other:?}");
    assert_eq!(complete.len(), ops.len());
    let mut end = 0.0;
    for (event, op) in complete.iter().zip(ops) {
        assert_eq!((&event["name"], &event["args"]["flops"]), (&op["op"], &op["flops"]));
        assert_eq!((&event["args"]["bytes"], &event["cat"]), (&op["bytes"], &op["kind"]));
        assert_eq!((event["pid"].as_u64(), event["tid"].as_u64()), (Some(1), Some(1)), "one track");
        let (start, duration) = (number(event, "ts"), number(event, "dur"));
        // Rounding to microseconds apart, no two ops overlap on the track.
        assert!(start >= end - 1e-3 && duration >= 0.0, "{event} begins before {end}");
        end = start + duration;
    }
    assert!(end * 1e-6 > 0.05 * number(&json, "min_s"), "the last event ends at {end} µs");
}

#[test]
fn a_roofline_predicts_without_running_anything() {
    let folder = folder();
    let (text, json) = small(&folder, &["--steps", "0", "--roofline", "100:10"]);
    assert!(json["images_per_s"].is_null() && json["losses"].is_null(), "{json}");
    assert!(text.contains("prediction, not a measurement"), "{text}");
    let profile = &json["profile"];
    let mut sum = 0.0;
    for op in profile["ops"].as_array().expect("ops") {
        let least = (number(op, "flops") / 100e9).max(number(op, "bytes") / 10e9) + 5e-6 * number(op, "commands");
        assert!((number(op, "predicted_s") - least).abs() < 1e-12, "{op}");
        assert!(op["median_s"].is_null(), "{op}");
        sum += least;
    }
    let prediction = &profile["prediction"];
    assert!((number(prediction, "seconds") - sum).abs() < 1e-9, "{prediction}");
    assert!((number(prediction, "images_per_s") - 3.0 / sum).abs() < 1e-6 / sum, "{prediction}");
    let output = moue(&folder, &[&SMALL[..], &["--roofline", "fast"]].concat());
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn inference_shows_the_logits_of_the_first_image() {
    let folder = folder();
    let (_, json) = small(&folder, &["--mode", "infer", "--steps", "1", "--warmup", "0"]);
    let logits = json["logits"].as_array().expect("logits");
    assert!(logits.len() == 2 * 8 && logits.iter().all(|z| z.as_f64().is_some_and(|z| z != 0.0)), "{json}");
}

#[test]
fn the_loader_is_timed_alone() {
    let folder = folder();
    let data = "synthetic:train=40,valid=0,test=0,size=16";
    let args =
        ["bench", "--mode", "load", "--data", data, "--batch-size", "16", "--steps", "2", "--warmup", "0", "--json"];
    let output = moue(&folder, &args);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let json: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON");
    let cases = json["cases"].as_array().expect("cases");
    assert_eq!(cases.iter().map(|case| case["size"].as_u64()).collect::<Vec<_>>(), [Some(64), Some(96)]);
    for case in cases {
        assert_eq!(case["images"], 32, "whole batches");
        assert!((number(case, "images_per_s") * number(case, "median_s") - 32.0).abs() < 1e-6, "{case}");
    }
    let output = moue(&folder, &[&args[..], &["--device", "cpu", "--image-size", "24"]].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let json: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON");
    let case = &json["cases"][0];
    assert_eq!((&case["bytes_per_image"], &case["resident"]["bytes_per_image"]), (&6912.into(), &108.into()));
    assert!(
        number(&case["resident"], "images_per_s") > 0.0 && number(&case["resident"], "records_per_s") > 0.0,
        "{case}"
    );
    assert_eq!(moue(&folder, &[&args[..], &["--threads", "100000"]].concat()).status.code(), Some(2));
    assert_eq!(moue(&folder, &[&args[..], &["--batch-size", "64"]].concat()).status.code(), Some(3));
}
