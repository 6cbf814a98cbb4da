//! How the best model's mean probabilities become its answer.

use crate::{
    Result,
    checkpoint::ModelResult,
    data::{Sample, prior},
    models::{Calibration, Decision},
    predict::{arg_max, mean_of},
    train::{
        evaluate::Predictions,
        metrics::Evaluation,
        settings::{Settings, words::SelectOn},
    },
};

impl Settings {
    /// What a model file calls the split that chose it.
    pub(super) fn chosen_on(&self) -> &'static str {
        if self.select_on == SelectOn::Test { "test" } else { "validation" }
    }

    /// The mean of the targets that the loss sees in a training on these images `[classes]`: as [`prior`], with smoothed
    /// labels.
    pub(super) fn prior(&self, samples: &[Sample], classes: usize) -> Vec<f64> {
        let limit = (self.limit_per_class > 0).then_some(self.limit_per_class);
        let share = self.label_smoothing;
        let smooth = |p| (1.0 - share) * p + share / classes as f64;
        prior(samples, classes, self.targets, limit).into_iter().map(smooth).collect()
    }
}

impl Predictions {
    /// The calibration that suits these images, for a network that was trained on classes in these shares.
    #[must_use]
    pub fn calibrate(&self, prior: Vec<f64>) -> Calibration {
        Calibration::fit(&self.mean_probabilities(), &self.labels, prior)
    }

    /// The class that is answered to each image by the first `branches` branches: by all heads where the last one answers.
    #[must_use]
    pub fn answered(&self, calibration: Option<&Calibration>, branches: usize) -> Vec<usize> {
        let heads = if self.decision == Decision::Last { self.branches } else { branches };
        let class = |image: &[f32]| {
            let mean = mean_of(&image[..heads * self.classes], self.classes, self.decision);
            arg_max(&calibration.map_or_else(|| mean.clone(), |calibration| calibration.answer(&mean)))
        };
        self.probabilities.chunks_exact(self.branches * self.classes).map(class).collect()
    }

    /// What the answer reaches, as a model file says it; `classes` are the names.
    ///
    /// # Errors
    /// As [`Evaluation::from_predictions`].
    pub fn result(&self, split: &str, calibration: Option<&Calibration>, classes: &[String]) -> Result<ModelResult> {
        let accuracy = |branches| self.accuracy(&self.answered(calibration, branches));
        let votes = self.decision == Decision::Vote;
        let all = self.answered(calibration, self.branches);
        let evaluation = Evaluation::from_predictions(&self.labels, &all, classes)?;
        Ok(ModelResult {
            split: split.into(),
            accuracy: evaluation.accuracy,
            balanced_accuracy: Some(evaluation.balanced_accuracy),
            images: Some(self.labels.len() as u64),
            by_branches: (1..=self.branches).filter(|_| votes).map(accuracy).collect(),
        })
    }

    /// The probabilities of the answer `[images, K]`; without a calibration the mean ones.
    #[must_use]
    pub fn answer_probabilities(&self, calibration: Option<&Calibration>) -> Vec<f32> {
        let means = self.mean_probabilities();
        match calibration {
            None => means,
            Some(calibration) => means.chunks_exact(self.classes).flat_map(|mean| calibration.answer(mean)).collect(),
        }
    }
}
