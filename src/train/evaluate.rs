//! Answers over a whole split: votes, mean probabilities, each branch.

use super::session::Answers;
use crate::{
    Result,
    data::{ColourOrder, Loader, LoaderOptions, Normalise, Sample},
    predict::{arg_max, majority_vote, softmax},
};

/// How images become inputs of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// Images of a batch.
    pub batch: usize,
    /// Side of the images, in pixels.
    pub size: usize,
    /// Normalisation; none leaves pixels in [0, 1].
    pub normalise: Option<Normalise>,
    /// The order of the colour planes.
    pub order: ColourOrder,
}

/// The probabilities of every branch for every image, with the labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// The number of classes K.
    pub classes: usize,
    /// The number of branches B.
    pub branches: usize,
    /// The true class of each image.
    pub labels: Vec<usize>,
    /// Softmax of each branch's logits [images, B, K].
    pub probabilities: Vec<f32>,
    /// Mean over images of the sum over branches of the cross-entropies.
    pub loss: f64,
}

impl Predictions {
    /// The class each branch gives an image the largest probability for.
    fn branch_classes(&self, image: usize) -> impl Iterator<Item = usize> {
        let stride = self.branches * self.classes;
        self.probabilities[image * stride..(image + 1) * stride].chunks(self.classes).map(arg_max)
    }

    /// The class of each image by majority vote of the first `branches` branches; ties go to the lowest class.
    #[must_use]
    pub fn vote(&self, branches: usize) -> Vec<usize> {
        let vote = |image| majority_vote(self.branch_classes(image).take(branches), self.classes);
        (0..self.labels.len()).map(vote).collect()
    }

    /// The class of each image by the mean of the first `branches` branches' probabilities.
    #[must_use]
    pub fn mean(&self, branches: usize) -> Vec<usize> {
        let stride = self.branches * self.classes;
        let mean = |image: &[f32]| {
            let mut sum = vec![0.0; self.classes];
            for branch in image.chunks(self.classes).take(branches) {
                sum.iter_mut().zip(branch).for_each(|(s, p)| *s += p);
            }
            arg_max(&sum)
        };
        self.probabilities.chunks(stride).map(mean).collect()
    }

    /// The share of images that a branch classifies correctly.
    #[must_use]
    pub fn branch_accuracy(&self) -> Vec<f64> {
        let mut hits = vec![0usize; self.branches];
        for (image, &label) in self.labels.iter().enumerate() {
            for (branch, class) in self.branch_classes(image).enumerate() {
                hits[branch] += usize::from(class == label);
            }
        }
        hits.into_iter().map(|hits| hits as f64 / self.labels.len().max(1) as f64).collect()
    }

    /// The share of images that are given their label.
    #[must_use]
    pub fn accuracy(&self, classes: &[usize]) -> f64 {
        let hits = classes.iter().zip(&self.labels).filter(|(a, b)| a == b).count();
        hits as f64 / self.labels.len().max(1) as f64
    }
}

/// Runs a network over samples, in order.
///
/// # Errors
/// [`crate::Error::Device`] where the device fails, [`crate::Error::Data`] where there are no samples.
pub fn evaluate(
    samples: &[Sample],
    classes: usize,
    inputs: &Inputs,
    mut answer: impl FnMut(&[f32]) -> Result<Answers>,
) -> Result<Predictions> {
    let options = LoaderOptions {
        batch: inputs.batch,
        size: inputs.size,
        normalise: inputs.normalise,
        order: inputs.order,
        ..LoaderOptions::default()
    };
    let mut loader = Loader::new(samples, classes, options)?;
    let mut predictions = Predictions { classes, ..Predictions::default() };
    while let Some(batch) = loader.next() {
        let batch = batch?;
        let answers = answer(&batch.images)?;
        let stride = answers.logits.len() / inputs.batch;
        predictions.branches = stride / classes;
        for (image, &label) in answers.logits.chunks(stride).zip(&batch.labels) {
            for logits in image.chunks(classes) {
                let probabilities = softmax(logits);
                predictions.loss -= f64::from(probabilities[label].max(f32::MIN_POSITIVE)).ln();
                predictions.probabilities.extend(probabilities);
            }
        }
        predictions.labels.extend(&batch.labels);
        loader.recycle(batch);
    }
    predictions.loss /= predictions.labels.len().max(1) as f64;
    Ok(predictions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions() -> Predictions {
        // Two images, three branches, three classes.
        let one = |class: usize| (0..3).map(move |k| if k == class { 0.5 } else { 0.25 });
        let probabilities = [2, 2, 0, 1, 2, 0].into_iter().flat_map(one).collect();
        Predictions { classes: 3, branches: 3, labels: vec![2, 1], probabilities, loss: 0.0 }
    }

    #[test]
    fn the_majority_wins_and_a_tie_goes_to_the_lowest_class() {
        assert_eq!(predictions().vote(3), [2, 0]);
        assert_eq!(predictions().vote(1), [2, 1]);
        assert_eq!(predictions().accuracy(&predictions().vote(3)), 0.5);
    }

    #[test]
    fn each_branch_is_counted_alone() {
        assert_eq!(predictions().branch_accuracy(), [1.0, 0.5, 0.0]);
    }
}
