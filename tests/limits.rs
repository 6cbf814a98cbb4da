//! What the program does where the machine refuses: output that nobody takes, pictures, memory, threads, signals, disks.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

#[path = "limits/memory.rs"]
mod memory;
#[path = "limits/output.rs"]
mod output;
#[path = "limits/pictures.rs"]
mod pictures;
#[path = "limits/signals.rs"]
mod signals;
#[path = "limits/start.rs"]
mod start;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use moue::{
    checkpoint::{ModelMeta, save_model},
    models::{EsrSpec, NetworkSpec, Padding},
    train::trainer::fresh,
};

/// `moue ARGS` in a folder.
fn moue(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moue"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

/// A training of seconds.
const TRAIN: [&str; 13] = [
    "train",
    "--data",
    "synthetic:train=48,valid=16,test=16,size=54",
    "--image-size=54",
    "--width=0.0625",
    "--branches=2",
    "--batch-size=16",
    "--epochs=2",
    "--device=cpu",
    "--log-every=1",
    "--checkpoint-every=1",
    "--name=run",
    "--json",
];

/// How the run of [`TRAIN`] stands.
fn status(folder: &Path) -> String {
    let facts = std::fs::read(folder.join("runs/run/run.json")).expect("run.json");
    let facts: serde_json::Value = serde_json::from_slice(&facts).expect("JSON");
    facts["status"].as_str().expect("a status").to_owned()
}

/// The temporary files under a folder.
fn partial(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(partial(&path));
        } else if path.extension().is_some_and(|extension| extension == "partial") {
            found.push(path);
        }
    }
    found
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ends with this code and, on stderr, one sentence that has these words: no panic, no trace.
#[track_caller]
fn ends(output: &Output, code: i32, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{:?}: {text}", output.status);
    let sentences: Vec<&str> = text.lines().filter(|line| line.starts_with("moue: ")).collect();
    assert_eq!(sentences.len(), usize::from(code != 0), "{text}");
    for ugly in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!text.contains(ugly), "`{ugly}` in: {text}");
    }
    for word in words {
        assert!(sentences[0].contains(word), "`{word}` is not in: {text}");
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Writes `model.safetensors`, an ESR of 2 small branches that has learnt nothing, and `face.png` beside it.
fn model(folder: &Path) {
    let network = NetworkSpec::Esr(EsrSpec {
        branches: 2,
        width: 0.0625,
        size: 54,
        classes: 8,
        attention: true,
        padding: Padding::Published,
    });
    let classes = moue::data::EXPRESSIONS.map(str::to_owned).to_vec();
    let meta = ModelMeta::new(network.architecture(), classes, 54);
    save_model(&folder.join("model.safetensors"), &meta, &fresh(&network, 3).expect("a network")).expect("a model");
    image::RgbImage::from_pixel(60, 50, image::Rgb([200, 150, 120])).save(folder.join("face.png")).expect("a png");
}
