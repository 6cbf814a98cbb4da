//! Who watches a training: what it is told, and how it stops it.

use super::{
    evaluate::Predictions,
    schedule::Stage,
    session::{StepReport, TermReport},
    sums::Means,
    trainer::State,
};
use crate::{Result, exec::Stats, models::NetworkSpec, nn::variables::Tensors};

/// What a step says while training runs.
pub struct StepRecord<'a> {
    /// Where training stands, before the step is counted.
    pub state: &'a State,
    /// Steps of an epoch.
    pub steps: usize,
    /// The schedule's factor of the learning rates.
    pub lr_factor: f64,
    /// The numbers.
    pub report: &'a StepReport,
    /// Means over the epoch's steps so far.
    pub means: &'a Means,
}

/// What an epoch says when it ends.
pub struct EpochRecord<'a> {
    /// Where training stands, the epoch counted.
    pub state: &'a State,
    /// The stage's settings.
    pub stage: &'a Stage,
    /// The learning rate of what learns anew, at the last step.
    pub lr: f64,
    /// Means over the epoch's steps: the loss, and of augmented training images cross-entropies and accuracies.
    pub means: &'a Means,
    /// The cross-entropy of a head that learns, the mean by their weights in the loss, on augmented training images.
    pub train_cross_entropy: f64,
    /// The same on the split that chooses the best epoch.
    pub val_cross_entropy: f64,
    /// The validation split's predictions.
    pub validation: &'a Predictions,
    /// The validation accuracy of the answers.
    pub accuracy: f64,
    /// The diversity terms: S and D are means over the epoch's steps, the norm of the gradient is the last step's.
    pub terms: &'a [TermReport],
    /// Seconds of this epoch, validation included.
    pub seconds: f64,
    /// Seconds of its training steps.
    pub training_seconds: f64,
    /// Images of this epoch.
    pub images: usize,
}

/// What is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    /// The newest state, to resume from.
    Last,
    /// The best network so far.
    Best,
    /// The best network of this stage, from which the next one starts.
    StageBest,
}

/// A network at some point of training.
pub struct Snapshot<'a> {
    /// Where training stands.
    pub state: &'a State,
    /// The network, with the branches it has now.
    pub network: &'a NetworkSpec,
    /// All variables.
    pub tensors: &'a Tensors,
    /// All momenta; only for [`Save::Last`].
    pub momenta: Option<&'a Tensors>,
    /// Whether training ends or stops here.
    pub ends: bool,
}

/// Takes what training sees: a run folder, a progress bar, a test. What it does not care for it leaves out.
pub trait Observer {
    /// A stage begins or, in a resumed training, goes on: its number from 0, its settings, γ of each term, and the cost
    /// of its step.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn stage(&mut self, _number: usize, _stage: &Stage, _gammas: &[f64], _stats: &Stats) -> Result<()> {
        Ok(())
    }

    /// A step was read.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn step(&mut self, _record: &StepRecord<'_>) -> Result<()> {
        Ok(())
    }

    /// An epoch ended.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn epoch(&mut self, _record: &EpochRecord<'_>) -> Result<()> {
        Ok(())
    }

    /// A network is to be saved.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn save(&mut self, _what: Save, _snapshot: &Snapshot<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether training is to stop now; asked before every training step and every validation batch.
    fn stops(&mut self) -> bool {
        false
    }
}
