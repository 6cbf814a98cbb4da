//! A small model and a run of it, for the tests of checkpoints and run folders.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod events;

use std::collections::BTreeMap;
use std::path::Path;

use moue::checkpoint::{DiversityMeta, ModelMeta, TrainingData};
use moue::nn::variables::Tensors;
use moue::train::run::RunStart;
use moue::train::{EpochRecord, Settings};
use serde_json::Value;

/// The eight classes.
pub(crate) fn classes() -> Vec<String> {
    ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"].map(str::to_owned).to_vec()
}

/// The default training, its runs in `out`.
pub(crate) fn config_in(out: &Path) -> Settings {
    Settings { out: out.into(), ..Settings::default() }
}

/// The metadata of the default training's model.
pub(crate) fn meta() -> ModelMeta {
    let mut meta = ModelMeta::new(Settings::default().architecture(), classes(), 64);
    meta.normalisation.mean = [0.485, 0.456, 0.406];
    meta.data = Some(data());
    meta.diversity = Some(DiversityMeta {
        layer: 4,
        centred: false,
        logdet_epsilon: None,
        weight: None,
        similarity: "paper".into(),
        objective: "det".into(),
        gamma: BTreeMap::from([("channel".into(), 10.0), ("spatial".into(), 10.0)]),
    });
    meta
}

/// A tiny data set.
pub(crate) fn data() -> TrainingData {
    let counts = BTreeMap::from([("train".into(), 512), ("validation".into(), 64)]);
    TrainingData { source: "synthetic".into(), hash: "abc123".into(), counts }
}

/// Facts of a run on it.
pub(crate) fn start() -> RunStart {
    RunStart {
        device: "CPU (2 threads): no GPU was found".into(),
        adapter: Value::Null,
        images: "each batch comes from the host".into(),
        data: data(),
        classes: classes(),
        parameters: 123_456,
        command: vec!["moue".into(), "train".into()],
        init: Value::Null,
    }
}

/// Two tensors, one of them no matrix.
pub(crate) fn tensors(scale: f32) -> Tensors {
    Tensors::from([
        ("base.bn1.running_mean".into(), (vec![3], vec![0.0, scale, -1.5e-30])),
        ("branches.0.conv1.weight".into(), (vec![2, 1, 1, 2], vec![scale, 0.1, f32::MIN_POSITIVE, -7.0])),
    ])
}

/// A plausible epoch, a function of its number.
pub(crate) fn record(epoch: usize, branches: usize) -> EpochRecord {
    let fall = (-0.35 * epoch as f64).exp();
    let wave = |k: usize| 0.02 * ((epoch * 7 + k * 3) as f64).sin();
    let matrix = |level: f64| {
        let value = |l: usize, k: usize| {
            if l == k { 1.0 } else { (level + wave(l + k) + 0.03 * (l * k % 3) as f64).clamp(0.0, 1.0) }
        };
        (0..branches).map(|l| (0..branches).map(|k| value(l, k)).collect()).collect()
    };
    EpochRecord {
        epoch,
        stage: 1 + (epoch - 1) / 6,
        step: 10 * epoch as u64,
        lr: 0.08 * fall,
        train_loss: 8.3 * fall + 0.4,
        train_cross_entropy: 2.1 * fall + 0.1,
        val_cross_entropy: 2.0 * fall + 0.2 + wave(0),
        train_branch_cross_entropy: (0..branches).map(|b| 2.1 * fall + 0.1 + wave(b)).collect(),
        val_branch_cross_entropy: (0..branches).map(|b| 2.0 * fall + 0.2 + wave(b + 1)).collect(),
        train_accuracy: 0.97 - 0.85 * fall,
        val_accuracy: 0.925 - 0.8 * fall + wave(1) * 0.5,
        branch_accuracy: (0..branches).map(|b| 0.87 - 0.8 * fall + wave(b)).collect(),
        similarity_branch: None,
        similarity_spatial: (branches > 1).then(|| matrix(0.9 * fall + 0.05)),
        similarity_channel: (branches > 1).then(|| matrix(0.55 * fall + 0.2)),
        diversity_branch: None,
        diversity_spatial: Some(1.0 - fall),
        diversity_channel: Some(0.7 - 0.7 * fall),
        gradient_branch: None,
        gradient_spatial: Some(0.01 * fall),
        gradient_channel: Some(3e-9),
        diversity_weight: [("channel".into(), 0.5)].into(),
        seconds: 9.25,
        training_seconds: 8.5,
        images_per_s: 512.5,
    }
}
