//! Keeps what a training says in the run's folder, and hands it on.

use serde_json::json;

use super::{facts::RunStart, folder::RunFolder, state::State};
use crate::{
    Result,
    checkpoint::{ModelMeta, ModelResult},
    exec::Stats,
    models::NetworkSpec,
    train::{
        metrics::EpochRecord,
        schedule::Stage,
        session::TermReport,
        settings::Settings,
        trainer::{self, Observer, Save, Snapshot, StepRecord},
    },
};

/// The observer of a run: it fills the folder, and tells another observer.
pub(super) struct Recorder<'a> {
    folder: &'a mut RunFolder,
    observer: &'a mut dyn Observer,
    settings: &'a Settings,
    begin: &'a RunStart,
    /// What checkpoints keep beside the training's own state, which is here as it was at the last checkpoint.
    state: State,
    gammas: Vec<f64>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        folder: &'a mut RunFolder,
        observer: &'a mut dyn Observer,
        settings: &'a Settings,
        begin: &'a RunStart,
        state: State,
    ) -> Self {
        Self { folder, observer, settings, begin, state, gammas: Vec::new() }
    }

    fn meta(&self, network: &NetworkSpec) -> ModelMeta {
        let mut meta = ModelMeta::new(network.architecture(), self.begin.classes.clone(), network.size());
        meta.colour = self.settings.colour.order();
        meta.normalisation = self.settings.normalise.normalisation().unwrap_or_default();
        meta.data = Some(self.begin.data.clone());
        meta.diversity = self.settings.diversity_meta(&self.gammas);
        meta.result.clone_from(&self.state.result);
        meta
    }
}

impl Observer for Recorder<'_> {
    fn stage(&mut self, number: usize, stage: &Stage, gammas: &[f64], stats: &Stats) -> Result<()> {
        self.gammas = gammas.to_vec();
        self.observer.stage(number, stage, gammas, stats)?;
        if number < self.state.stages_recorded {
            // A resumed run's records have it.
            return Ok(());
        }
        self.state.stages_recorded = number + 1;
        let gamma = self.settings.diversity_meta(gammas).map(|meta| meta.gamma).unwrap_or_default();
        let record = json!({
            "kind": "stage", "stage": number + 1, "branches": stage.branches, "epochs": stage.epochs,
            "gamma": gamma, "commands": stats.dispatches, "bytes": stats.bytes,
        });
        self.folder.metric(record.as_object().expect("invariant: an object was written"))
    }

    fn step(&mut self, record: &StepRecord<'_>) -> Result<()> {
        self.observer.step(record)?;
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
        let weights: Vec<_> = weights(self.settings, &report.terms)
            .map(|(kind, weight)| (format!("diversity_weight_{kind}"), weight))
            .collect();
        values.extend(weights.iter().map(|(name, value)| (name.as_str(), *value)));
        values.push(("lr_factor", record.lr_factor));
        let step = record.state.images / self.settings.batch_size as u64;
        self.folder.step(step, &values)
    }

    fn epoch(&mut self, record: &trainer::EpochRecord<'_>) -> Result<()> {
        self.observer.epoch(record)?;
        let term = |kind: &str| record.terms.iter().find(|term| term.kind == kind);
        let entry = EpochRecord {
            epoch: record.state.epochs_done,
            stage: record.state.stage + 1,
            step: record.state.images / self.settings.batch_size as u64,
            lr: record.lr,
            train_loss: record.means.total,
            train_cross_entropy: record.train_cross_entropy,
            val_cross_entropy: record.val_cross_entropy,
            train_branch_cross_entropy: record.means.cross_entropy.clone(),
            val_branch_cross_entropy: record.validation.cross_entropy.clone(),
            train_accuracy: record.means.answer_accuracy(),
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
            diversity_weight: weights(self.settings, record.terms).collect(),
            seconds: record.seconds,
            training_seconds: record.training_seconds,
            images_per_s: record.images as f64 / record.training_seconds.max(1e-9),
        };
        if record.state.best.is_some_and(|(_, epoch)| epoch == record.state.epochs_done) {
            self.state.result = Some(ModelResult {
                split: self.settings.chosen_on().into(),
                accuracy: record.accuracy,
                balanced_accuracy: None,
                images: Some(record.validation.labels.len() as u64),
                by_branches: Vec::new(),
            });
        }
        self.folder.epoch(&entry)
    }

    fn save(&mut self, what: Save, snapshot: &Snapshot<'_>) -> Result<()> {
        self.observer.save(what, snapshot)?;
        let meta = self.meta(snapshot.network);
        match what {
            Save::Best => self.folder.save_best(&meta, snapshot.tensors),
            Save::StageBest => self.folder.save_stage_best(snapshot.state.stage, &meta, snapshot.tensors),
            Save::Last => {
                let due = snapshot.state.epochs_done.is_multiple_of(self.settings.checkpoint_every);
                if !due && !snapshot.ends {
                    return Ok(());
                }
                let momenta = snapshot.momenta.expect("invariant: the newest state has momenta");
                self.state.training = snapshot.state.clone();
                self.folder.save_last(&meta, snapshot.tensors, momenta, &mut self.state)
            }
        }
    }

    fn stops(&mut self) -> bool {
        self.observer.stops()
    }
}

/// λ of each term, where the settings give them weights.
fn weights<'t>(settings: &Settings, terms: &'t [TermReport]) -> impl Iterator<Item = (String, f64)> + use<'t> {
    let weighted = settings.diversity().weighted;
    terms.iter().filter(move |_| weighted).map(|term| (term.kind.clone(), term.weight))
}

fn matrix(term: &TermReport) -> Vec<Vec<f64>> {
    let side = term.similarity.len().isqrt();
    term.similarity.chunks(side).map(|row| row.iter().map(|s| f64::from(*s)).collect()).collect()
}
