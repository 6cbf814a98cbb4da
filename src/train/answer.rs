//! How the best model's mean probabilities become its answer.

use crate::{
    Result,
    checkpoint::ModelResult,
    data::{Sample, prior},
    evaluation::Evaluation,
    models::{Calibration, Decision},
    predict::{arg_max, mean_of},
    train::{
        evaluate::Predictions,
        settings::{
            Settings,
            words::{Balance, SelectOn},
        },
    },
};

impl Settings {
    /// What a model file calls the split that chose it.
    pub(crate) fn chosen_on(&self) -> &'static str {
        if self.select_on == SelectOn::Test { "test" } else { "validation" }
    }

    /// The mean of the targets that the loss sees in a training on these images `[classes]`, each by its weight there: as
    /// [`prior`], with the images that a limit or a balance draws, smoothed labels, and the weights of the classes. Teachers
    /// count as if they answered each class as often as the labels name it.
    #[must_use]
    pub fn prior(&self, samples: &[Sample], classes: usize) -> Vec<f64> {
        let drawn = |count: usize| match (self.balance, self.limit_per_class) {
            (Balance::Sampling, _) => 1.0 / count as f64,
            (_, 0) => 1.0,
            (_, limit) => (limit as f64 / count as f64).min(1.0),
        };
        let mut shares = prior(samples, classes, self.targets, drawn);
        let spread = self.label_smoothing;
        shares.iter_mut().for_each(|share| *share = (1.0 - spread) * *share + spread / classes as f64);
        let weights = self.class_weights(samples, classes);
        if !weights.is_empty() {
            shares.iter_mut().zip(weights).for_each(|(share, weight)| *share *= weight);
            let sum: f64 = shares.iter().sum();
            shares.iter_mut().for_each(|share| *share /= sum);
        }
        shares
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Image;

    #[test]
    fn the_prior_is_of_what_a_training_draws_and_how_it_weighs() {
        let image = Image { width: 1, height: 1, channels: 1, pixels: vec![0] };
        let of = |label| Sample {
            id: String::new(),
            image: image.clone().into(),
            label,
            votes: None,
            valence: None,
            arousal: None,
        };
        let samples = [0, 0, 0, 0, 0, 0, 1, 1].map(of);
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.prior(&samples, 2)
        };
        let near = |found: Vec<f64>, expected: [f64; 2]| {
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-12), "{found:?}, not {expected:?}");
        };
        near(with(|_| {}), [0.75, 0.25]);
        near(with(|settings| settings.limit_per_class = 3), [0.6, 0.4]);
        near(with(|settings| settings.label_smoothing = 0.5), [0.625, 0.375]);
        near(with(|settings| settings.balance = Balance::Sampling), [0.5, 0.5]);
        near(with(|settings| settings.balance = Balance::Weights), [0.5, 0.5]);
        near(with(|settings| (settings.balance, settings.limit_per_class) = (Balance::Weights, 3)), [0.5, 0.5]);
    }
}
