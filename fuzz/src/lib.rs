//! What each fuzz target does with its bytes: they are read as a file from outside, which must end in values or in one
//! error, never in a panic, an overflow of the stack or a waste of memory.
//!
//! `cargo xtask fuzz` runs the targets with libFuzzer; `tests/fuzz_smoke.rs` replays and mutates their corpus.

use std::{fs, path::Path};

use moue::{
    Result,
    checkpoint::{Family, Model, Want, Weights, fit, gather},
    data::Spec,
    train::Given,
};

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// The targets by their names, which are also those of their corpus' folders.
pub const TARGETS: [Target; 4] =
    [("pytorch", pytorch), ("safetensors", safetensors), ("labels", labels), ("config", config)];

/// An error is a good end if it is one sentence.
fn good<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error| assert!(!error.to_string().contains('\n'), "more than a line: {error}")).ok()
}

/// Checkpoints of `torch.save`, and what is made of their tensors.
pub fn pytorch(data: &[u8]) {
    weights(data);
}

/// Safetensors and the metadata in them, as a model of moue and as weights of others.
pub fn safetensors(data: &[u8]) {
    good(Model::from_bytes(Path::new("fuzz.safetensors"), data));
    weights(data);
}

fn weights(data: &[u8]) {
    // The names of the authors' files have a meaning of their own.
    for name in ["fuzz.pt", "Net-Branch_2.pt"] {
        let Some(weights) = good(Weights::from_bytes(Path::new(name), data)) else { continue };
        let elements: usize = weights.tensors.values().map(|(_, values)| values.len()).sum();
        assert!(elements <= data.len(), "{elements} elements from {} bytes", data.len());
        let Some(network) = good(gather(vec![weights])) else { continue };
        good(Family::of(&network));
        good(fit(&network, network.tensors.clone(), Want::Start, true));
    }
}

/// The label files of all data sets, in a folder without images.
pub fn labels(data: &[u8]) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder for the labels");
    }
    const FILES: [(&str, &[&str]); 6] = [
        ("folder", &["labels.csv"]),
        ("folder", &["classes.txt", "labels.csv"]),
        ("ferplus", &["FER2013Train/label.csv", "FER2013Valid/label.csv", "FER2013Test/label.csv"]),
        ("fer2013", &["fer2013.csv"]),
        ("rafdb", &["EmoLabel/list_patition_label.txt"]),
        ("affectnet", &["training.csv", "validation.csv"]),
    ];
    FOLDER.with(|folder| {
        for (number, (kind, files)) in FILES.iter().enumerate() {
            let root = folder.path().join(number.to_string());
            for file in *files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, data).expect("a file");
            }
            if let Some(spec) = good(format!("{kind}:{}", root.display()).parse::<Spec>()) {
                good(spec.load_splits(&["train", "valid", "test"]));
            }
        }
    });
}

/// Configuration files, and the small languages within their settings.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(options) = good(Given::parse(Path::new("fuzz.toml"), &text)) else { return };
    let Some(config) = good(moue::train::Settings::resolve(&options, &Given::default())) else { return };
    good(config.to_toml());
    good(config.data.parse::<Spec>());
    good(config.augment.parse::<moue::data::Augment>());
}
