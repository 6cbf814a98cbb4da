//! Answers over a whole split: the network's, votes, mean probabilities, each head.

use super::{session::Answers, settings::words::Monitor};
use crate::{
    Result,
    data::{Loader, LoaderOptions, Sample, Transform},
    evaluation::{Answered, MapSums},
    models::{Decision, NetworkSpec},
    predict::{arg_max, majority_vote, softmax},
};

/// The annotators' distributions over the classes `[N, K]`, where every image has one.
#[must_use]
pub fn votes_of(samples: &[Sample]) -> Option<Vec<f32>> {
    let votes = samples.iter().map(|sample| sample.votes.as_deref()).collect::<Option<Vec<_>>>()?;
    (!votes.is_empty()).then(|| votes.concat())
}

/// The inputs of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// Images of a batch.
    pub batch: usize,
    /// How an image becomes an input.
    pub transform: Transform,
}

/// The probabilities of every head for every image, with the labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// The number of classes K.
    pub classes: usize,
    /// The number of heads B: an ESR's branches.
    pub branches: usize,
    /// How the heads become one answer.
    pub decision: Decision,
    /// The true class of each image.
    pub labels: Vec<usize>,
    /// Softmax of each head's logits [images, B, K].
    pub probabilities: Vec<f32>,
    /// Mean over images of the weighted sum over heads of the cross-entropies.
    pub loss: f64,
    /// Each head's cross-entropy, the mean over images, unweighted `[B]`.
    pub cross_entropy: Vec<f64>,
    /// What diversity compares, over all images.
    pub maps: Vec<MapSums>,
}

impl Predictions {
    /// The class each branch gives an image the largest probability for.
    fn branch_classes(&self, image: usize) -> impl Iterator<Item = usize> {
        let stride = self.branches * self.classes;
        self.probabilities[image * stride..(image + 1) * stride].chunks(self.classes).map(arg_max)
    }

    /// The class of each image by majority vote, ties to the lowest class; of a network whose last head answers, that head's.
    #[must_use]
    pub fn voted(&self) -> Vec<usize> {
        match self.decision {
            Decision::Vote => self.vote(self.branches),
            Decision::Last => (0..self.labels.len()).filter_map(|image| self.branch_classes(image).last()).collect(),
        }
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

    /// What an epoch is chosen by, the larger the better; `votes` `[N, K]` are the annotators', where the data have some.
    #[must_use]
    pub fn monitored(&self, monitor: Monitor, votes: Option<&[f32]>) -> f64 {
        let mean = self.mean_probabilities();
        let answered = Answered { classes: self.classes, probabilities: &mean, labels: &self.labels, votes };
        match monitor {
            Monitor::Accuracy => self.accuracy(&self.voted()),
            Monitor::Balanced => answered.figures().balanced_accuracy,
            Monitor::SoftCrossEntropy => {
                -answered.soft_cross_entropies().iter().sum::<f64>() / self.labels.len().max(1) as f64
            }
        }
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

    /// The probabilities `[N, K]` that the answers rest on: the mean over the heads that vote, or the last head's.
    #[must_use]
    pub fn mean_probabilities(&self) -> Vec<f32> {
        (0..self.labels.len()).flat_map(|image| self.answering(image)).collect()
    }

    /// The class that each head that votes gives each image, or the last head alone.
    #[must_use]
    pub fn members(&self) -> Vec<Vec<u8>> {
        let skipped = if self.decision == Decision::Last { self.branches - 1 } else { 0 };
        (0..self.labels.len())
            .map(|image| self.branch_classes(image).skip(skipped).map(|class| class as u8).collect())
            .collect()
    }

    /// The probabilities `[K]` that an image's answer rests on: the mean over the heads that vote, or the last head's.
    fn answering(&self, image: usize) -> Vec<f32> {
        let stride = self.branches * self.classes;
        let heads = self.probabilities[image * stride..(image + 1) * stride].chunks(self.classes);
        let mut heads = heads.skip(if self.decision == Decision::Last { self.branches - 1 } else { 0 });
        let mut sum = heads.next().expect("invariant: a network has a head").to_vec();
        let mut count = 1.0;
        for head in heads {
            sum.iter_mut().zip(head).for_each(|(sum, p)| *sum += p);
            count += 1.0;
        }
        sum.iter_mut().for_each(|sum| *sum /= count);
        sum
    }
}

/// Runs a network over samples, in order.
///
/// # Errors
/// [`crate::Error::Device`] where the device fails, [`crate::Error::Data`] where there are no samples.
pub fn evaluate(
    samples: &[Sample],
    network: &NetworkSpec,
    inputs: &Inputs,
    mut answer: impl FnMut(&[f32]) -> Result<Answers>,
) -> Result<Predictions> {
    let Transform { size, normalise, order } = inputs.transform;
    let options = LoaderOptions { batch: inputs.batch, size, normalise, order, ..LoaderOptions::default() };
    let (classes, branches, weights) = (network.classes(), network.heads(), network.head_weights());
    let mut loader = Loader::new(samples, classes, options)?;
    let mut predictions = Predictions { classes, branches, decision: network.decision(), ..Predictions::default() };
    let mut sums = vec![0.0; branches];
    while let Some(batch) = loader.next() {
        let batch = batch?;
        let answers = answer(&batch.images)?;
        for (image, &label) in answers.logits.chunks(branches * classes).zip(&batch.labels) {
            for (logits, sum) in image.chunks(classes).zip(&mut sums) {
                let probabilities = softmax(logits);
                *sum -= f64::from(probabilities[label].max(f32::MIN_POSITIVE)).ln();
                predictions.probabilities.extend(probabilities);
            }
        }
        if predictions.maps.is_empty() {
            predictions.maps = answers.maps.iter().map(|maps| MapSums::new(maps.kind, maps.learners)).collect();
        }
        for (sums, maps) in predictions.maps.iter_mut().zip(&answers.maps) {
            // A last batch that is not full has images after the last.
            let image = maps.values.len() / inputs.batch;
            sums.add(&maps.values[..batch.labels.len() * image], batch.labels.len());
        }
        predictions.labels.extend(&batch.labels);
        loader.recycle(batch);
    }
    let images = predictions.labels.len().max(1) as f64;
    predictions.cross_entropy = sums.into_iter().map(|sum| sum / images).collect();
    predictions.loss = weights.iter().zip(&predictions.cross_entropy).map(|(weight, own)| weight * own).sum();
    Ok(predictions)
}

/// The same, unless `stops` says so before a batch: then none.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_unless(
    mut stops: impl FnMut() -> bool,
    samples: &[Sample],
    network: &NetworkSpec,
    inputs: &Inputs,
    mut answer: impl FnMut(&[f32]) -> Result<Answers>,
) -> Result<Option<Predictions>> {
    let mut stopped = false;
    let predictions = evaluate(samples, network, inputs, |images| {
        stopped = stops();
        // Ends the pass; nobody sees this error.
        if stopped { Err(crate::Error::Interrupted { checkpoint: Default::default() }) } else { answer(images) }
    });
    if stopped { Ok(None) } else { predictions.map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions() -> Predictions {
        // Two images, three branches, three classes.
        let one = |class: usize| (0..3).map(move |k| if k == class { 0.5 } else { 0.25 });
        let probabilities = [2, 2, 0, 1, 2, 0].into_iter().flat_map(one).collect();
        let decision = Decision::Vote;
        Predictions { classes: 3, branches: 3, decision, labels: vec![2, 1], probabilities, ..Predictions::default() }
    }

    #[test]
    fn the_majority_wins_and_a_tie_goes_to_the_lowest_class() {
        assert_eq!(predictions().vote(3), [2, 0]);
        assert_eq!(predictions().vote(1), [2, 1]);
        assert_eq!(predictions().accuracy(&predictions().vote(3)), 0.5);
    }

    #[test]
    fn a_network_answers_by_vote_or_by_its_last_head() {
        assert_eq!(predictions().voted(), [2, 0]);
        assert_eq!(Predictions { decision: Decision::Last, ..predictions() }.voted(), [0, 0]);
    }

    #[test]
    fn an_epoch_is_chosen_by_what_is_monitored() {
        // The mean answers 2 and 0; the labels are 2 and 1.
        let found = |monitor, votes: Option<&[f32]>| predictions().monitored(monitor, votes);
        assert_eq!((found(Monitor::Accuracy, None), found(Monitor::Balanced, None)), (0.5, 0.5));
        // Two branches of three for class 2, then one of each class.
        let [first, third] = [(0.25 + 0.5 + 0.5) / 3.0_f64, 1.0 / 3.0];
        let expected = (first.ln() + third.ln()) / 2.0;
        assert!((found(Monitor::SoftCrossEntropy, None) - expected).abs() < 1e-6);
        let votes = [0.0, 0.0, 1.0, 0.0, 0.5, 0.5];
        assert!((found(Monitor::SoftCrossEntropy, Some(&votes)) - expected).abs() < 1e-6);
        let votes = [1.0, 0.0, 0.0, 0.0, 0.5, 0.5];
        assert!(found(Monitor::SoftCrossEntropy, Some(&votes)) < expected - 0.1);
    }

    #[test]
    fn each_branch_is_counted_alone() {
        assert_eq!(predictions().branch_accuracy(), [1.0, 0.5, 0.0]);
    }
}
