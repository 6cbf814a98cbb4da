//! `moue train --init`: from a network of eight classes to one of seven.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use moue::{
    checkpoint::{is_base, is_head, load_model},
    data::EXPRESSIONS,
    nn::variables::Tensors,
};
use serde_json::Value;

/// A tiny network, trained without what makes short trainings differ.
const SMALL: [&str; 22] = [
    "--image-size",
    "54",
    "--width",
    "0.125",
    "--branches",
    "2",
    "--batch-size",
    "8",
    "--augment",
    "none",
    "--lr-schedule",
    "constant",
    "--warmup-fraction",
    "0",
    "--weight-decay",
    "0",
    "--spatial-diversity",
    "false",
    "--channel-diversity",
    "false",
    "--device",
    "cpu",
];

fn train(folder: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_moue"))
        .current_dir(folder)
        .args([&["train", "--json"], &SMALL[..], args].concat())
        .output()
        .expect("moue starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A folder of splits with a folder for each class. A class is a colour and the place of a bright square, so that a tiny
/// network learns it within seconds.
fn draw(folder: &Path, classes: &[&str]) {
    for (split, count) in [("train", 16), ("valid", 4)] {
        for (k, class) in EXPRESSIONS.iter().enumerate().filter(|(_, class)| classes.contains(class)) {
            let path = folder.join(split).join(class);
            fs::create_dir_all(&path).expect("a folder");
            for i in 0..count {
                let noise = |x: u32, y: u32| ((x * 31 + y * 17 + i * 101 + x * y * (i + 3)) % 40) as u8;
                let pixel = |x: u32, y: u32| {
                    let (left, top) = (6 + 12 * (k as u32 % 4), 8 + 24 * (k as u32 / 4));
                    let bright = (left..left + 10).contains(&(x + i % 3)) && (top..top + 14).contains(&y);
                    let base = [1, 2, 4].map(|bit| if k & bit > 0 { 150 } else { 40 });
                    image::Rgb(base.map(|value| if bright { 215 } else { value } + noise(x, y)))
                };
                let name = format!("{split}{i}.png");
                image::RgbImage::from_fn(54, 54, pixel).save(path.join(name)).expect("a png");
            }
        }
    }
}

/// What `--init` says of a group, such as `taken`: how many tensors, of which layers.
fn said(output: &Output, group: &str) -> Option<(usize, String)> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("init: {group}")))?.to_owned();
    let (_, counted) = line.split_once(": ")?;
    let (count, layers) = counted.split_once(" tensors ")?;
    Some((count.parse().ok()?, layers.to_owned()))
}

fn result(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON")
}

fn tensors(folder: &Path, run: &str) -> Tensors {
    load_model(&folder.join("runs").join(run).join("checkpoints/best.safetensors")).expect("a model").tensors
}

/// Whether a convolution's weight is the other's, but for what a step with hardly any learning rate does.
fn same(a: &Tensors, b: &Tensors, name: &str) -> bool {
    a[name].1.iter().zip(&b[name].1).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn a_network_of_eight_classes_starts_one_of_seven_with_new_heads_and_all_else_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let seven = &EXPRESSIONS[..7];
    draw(&folder.join("eight"), &EXPRESSIONS);
    draw(&folder.join("seven"), seven);
    let start = train(folder, &["--data", "folder:eight", "--epochs", "16", "--lr", "0.02", "--name", "eight"]);
    let before = tensors(folder, "eight");
    let learned = result(&start)["best_val_accuracy"].as_f64().expect("an accuracy");
    assert!(learned > 0.5, "the network to start from has learned too little to tell: {learned}");
    let init = ["--data", "folder:seven", "--epochs", "1", "--init", "runs/eight/checkpoints/best.safetensors"];

    // As it is started: everything but the heads is the other network's.
    let still = ["--lr", "1e-7"];
    let output = train(folder, &[&init[..], &still, &["--name", "all"]].concat());
    let heads = before.keys().filter(|name| is_head(name)).count();
    assert_eq!(heads, 4, "a weight and a bias of each branch");
    let (taken, layers) = said(&output, "taken").expect("what was taken");
    assert_eq!(taken, before.len() - heads);
    for layer in ["base.conv1 2", "base.cbam4", "branches.*.conv4 4", "branches.*.bn1 8", "branches.*.cbam2"] {
        assert!(layers.contains(layer), "{layer} in {layers}");
    }
    assert!(!layers.contains("fc"), "{layers}");
    let replaced = said(&output, "replaced by fresh ones, since they are for other classes").expect("new heads");
    assert_eq!(replaced, (heads, "(branches.*.fc 4)".to_owned()));
    assert_eq!((said(&output, "left"), said(&output, "not in the files")), (None, None));
    let after = tensors(folder, "all");
    assert_eq!(after["branches.1.fc.weight"].0[0], 7);
    for name in ["base.conv1.weight", "base.conv4.weight", "branches.0.conv1.weight", "branches.1.conv4.weight"] {
        assert!(same(&before, &after, name), "{name}");
    }

    // The base alone: the branches start afresh.
    let output = train(folder, &[&init[..], &still, &["--init-part", "base", "--name", "base"]].concat());
    let base = before.keys().filter(|name| is_base(name)).count();
    let (taken, layers) = said(&output, "taken").expect("what was taken");
    assert!(taken == base && !layers.contains("branches"), "{taken} {layers}");
    let (fresh, layers) = said(&output, "not in the files").expect("what starts afresh");
    assert!(
        fresh == before.len() - base && !layers.contains("base.") && layers.contains("branches.*.fc 4"),
        "{layers}"
    );
    assert_eq!((said(&output, "replaced"), said(&output, "left")), (None, None));
    let after = tensors(folder, "base");
    assert!(same(&before, &after, "base.conv4.weight") && !same(&before, &after, "branches.0.conv1.weight"));

    // And it pays: one epoch on what was learned is beyond one from nothing, and far beyond chance.
    let accuracy = |name: &str, data: &[&str]| {
        let output = train(folder, &[data, &["--lr", "0.02", "--name", name]].concat());
        result(&output)["best_val_accuracy"].as_f64().expect("an accuracy")
    };
    let (tuned, scratch) = (accuracy("tuned", &init), accuracy("scratch", &init[..4]));
    println!("eight classes {learned}; seven after one epoch: {tuned} tuned, {scratch} from nothing");
    assert!(tuned > 2.0 / 7.0 && tuned > scratch, "{tuned} tuned, {scratch} from nothing");
}
