//! What a training leaves in its run folder and on the terminal.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use serde_json::json;

use super::{init::normalisation, progress::Progress};
use crate::{
    Error, Result,
    checkpoint::{ColourOrder, DiversityMeta, ModelMeta, ModelResult, save_model},
    exec::Stats,
    models::NetworkSpec,
    train::{
        EpochRecord, RunFolder, RunStart, TrainConfig,
        choices::Colour,
        schedule::Stage,
        session::TermReport,
        trainer::{self, Observer, Save, Snapshot, StepRecord},
    },
};

/// The best network of a stage, from which the next one starts.
pub(super) const STAGE_BEST: &str = "stage.safetensors";

/// The observer of `moue train`.
pub(super) struct Recorder<'a> {
    folder: RunFolder,
    progress: Progress,
    config: &'a TrainConfig,
    begin: &'a RunStart,
    interrupted: Arc<AtomicBool>,
    gammas: BTreeMap<String, f64>,
    best: Option<ModelResult>,
    clock: Instant,
    images: u64,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        folder: RunFolder,
        progress: Progress,
        config: &'a TrainConfig,
        begin: &'a RunStart,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let gammas = BTreeMap::new();
        Self { folder, progress, config, begin, interrupted, gammas, best: None, clock: Instant::now(), images: 0 }
    }

    pub(super) fn into_folder(self) -> RunFolder {
        self.progress.finish();
        self.folder
    }

    fn meta(&self, network: &NetworkSpec) -> ModelMeta {
        let mut meta = ModelMeta::new(network.architecture(), self.begin.classes.clone(), network.size());
        meta.colour = if self.config.colour == Colour::Bgr { ColourOrder::Bgr } else { ColourOrder::Rgb };
        meta.normalisation = normalisation(self.config.normalise);
        meta.data = Some(self.begin.data.clone());
        meta.diversity = (!self.gammas.is_empty()).then(|| DiversityMeta {
            similarity: self.config.similarity.to_string(),
            objective: self.config.objective.to_string(),
            gamma: self.gammas.clone(),
        });
        meta.result.clone_from(&self.best);
        meta
    }
}

impl Observer for Recorder<'_> {
    fn stage(&mut self, number: usize, stage: &Stage, gammas: &[f64], stats: &Stats) -> Result<()> {
        // A stage of one branch has no terms, hence no γ.
        let kinds = self.config.diversified_kinds().into_iter().map(str::to_owned);
        self.gammas = kinds.zip(gammas.iter().copied()).collect();
        self.progress.stage(number, stage.epochs, stage.branches);
        let record = json!({
            "kind": "stage", "stage": number, "branches": stage.branches, "epochs": stage.epochs,
            "gamma": self.gammas, "commands": stats.dispatches, "bytes": stats.bytes,
        });
        self.folder.metric(record.as_object().expect("invariant: an object was written"))
    }

    fn step(&mut self, record: &StepRecord<'_>) -> Result<()> {
        let images = record.state.images - self.images;
        let images_per_s = images as f64 / self.clock.elapsed().as_secs_f64().max(1e-9);
        (self.clock, self.images) = (Instant::now(), record.state.images);
        self.progress.step(record, images_per_s);
        let report = record.report;
        let mut values = vec![("loss", report.total), ("cross_entropy", report.cross_entropy)];
        let names: Vec<_> = report
            .terms
            .iter()
            .flat_map(|term| {
                let kind = &term.kind;
                [
                    (format!("diversity_{kind}"), term.value),
                    (format!("similarity_{kind}"), term.mean_off_diagonal),
                    (format!("gradient_{kind}"), term.gradient_norm),
                ]
            })
            .collect();
        values.extend(names.iter().map(|(name, value)| (name.as_str(), *value)));
        values.push(("lr_factor", record.lr_factor));
        let step = record.state.images / self.config.batch as u64;
        self.folder.step(step, &values)
    }

    fn epoch(&mut self, record: &trainer::EpochRecord<'_>) -> Result<()> {
        self.progress.epoch(record);
        let term = |kind: &str| record.terms.iter().find(|term| term.kind == kind);
        let entry = EpochRecord {
            epoch: record.state.epochs_done,
            stage: record.state.stage,
            step: record.state.images / self.config.batch as u64,
            lr: record.lr,
            train_loss: record.train_loss,
            train_accuracy: record.train_accuracy,
            val_loss: record.validation.loss,
            val_accuracy: record.accuracy,
            branch_accuracy: record.validation.branch_accuracy(),
            similarity_branch: term("branch").map(matrix),
            similarity_spatial: term("spatial").map(matrix),
            similarity_channel: term("channel").map(matrix),
            diversity_branch: term("branch").map(|term| term.value),
            diversity_spatial: term("spatial").map(|term| term.value),
            diversity_channel: term("channel").map(|term| term.value),
            gradient_branch: term("branch").map(|term| term.gradient_norm),
            gradient_spatial: term("spatial").map(|term| term.gradient_norm),
            gradient_channel: term("channel").map(|term| term.gradient_norm),
            seconds: record.seconds,
            images_per_s: record.images as f64 / record.seconds.max(1e-9),
        };
        if record.state.best.is_some_and(|(_, epoch)| epoch == record.state.epochs_done) {
            self.best = Some(ModelResult {
                split: "validation".into(),
                accuracy: record.accuracy,
                balanced_accuracy: None,
                images: Some(record.validation.labels.len() as u64),
                by_branches: Vec::new(),
            });
        }
        (self.clock, self.images) = (Instant::now(), record.state.images);
        self.folder.epoch(&entry)
    }

    fn save(&mut self, what: Save, snapshot: &Snapshot<'_>) -> Result<()> {
        let meta = self.meta(snapshot.network);
        match what {
            Save::Best => self.folder.save_best(&meta, snapshot.tensors),
            Save::StageBest => {
                let path = self.folder.path().join("checkpoints").join(STAGE_BEST);
                save_model(&path, &meta, snapshot.tensors)
            }
            Save::Last => {
                let due = snapshot.state.epochs_done.is_multiple_of(self.config.checkpoint_every);
                if !due && !self.interrupted.load(Ordering::SeqCst) {
                    return Ok(());
                }
                let state = serde_json::to_value(snapshot.state).expect("invariant: the state is plain data");
                let momenta = snapshot.momenta.expect("invariant: the newest state has momenta");
                self.folder.save_last(&meta, snapshot.tensors, momenta, &state)
            }
        }
    }

    fn interrupted(&mut self) -> Option<Error> {
        let stop = self.interrupted.load(Ordering::SeqCst);
        stop.then(|| Error::Interrupted { checkpoint: self.folder.last() })
    }
}

fn matrix(term: &TermReport) -> Vec<Vec<f64>> {
    let side = term.similarity.len().isqrt();
    term.similarity.chunks(side).map(|row| row.iter().map(|s| f64::from(*s)).collect()).collect()
}
