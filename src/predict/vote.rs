//! From logits to a decision: the branches' mean probabilities, the answer, and the vote.

use crate::models::{Calibration, Decision};

/// Softmax of a row of logits.
#[must_use]
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|z| (z - max).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}

/// The class that most branches chose; of classes with equally many votes the one of the lowest index.
///
/// `votes` holds one class index per branch, `classes` is their number; an index past it counts for nothing.
#[must_use]
pub fn majority_vote(votes: impl IntoIterator<Item = usize>, classes: usize) -> usize {
    let mut counts = vec![0_usize; classes];
    for vote in votes {
        if let Some(count) = counts.get_mut(vote) {
            *count += 1;
        }
    }
    let mut winner = 0;
    for (class, count) in counts.iter().enumerate() {
        if *count > counts[winner] {
            winner = class;
        }
    }
    winner
}

/// The index of the largest value; of equal ones the lowest index. A NaN is never the largest.
#[must_use]
pub fn arg_max(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] || values[best].is_nan() {
            best = index;
        }
    }
    best
}

/// What heads say, each and together.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Softmax of each head's logits `[K]`.
    pub heads: Vec<Vec<f32>>,
    /// The mean of the heads' probabilities `[K]`; where the last head answers, that head's.
    pub mean: Vec<f32>,
    /// The answer's probabilities `[K]`: [`Calibration::answer`] to the mean, or the mean itself.
    pub probabilities: Vec<f32>,
    /// The class that is answered: that of the largest of these, ties to the lowest.
    pub class: usize,
    /// The class by majority vote, ties to the lowest; where the last head answers, that head's.
    pub vote: usize,
}

/// The answer of a network to one image from its logits `[B, K]`; without a calibration the mean is the answer.
#[must_use]
pub fn decide(logits: &[f32], classes: usize, decision: Decision, calibration: Option<&Calibration>) -> Decided {
    let heads: Vec<Vec<f32>> = logits.chunks(classes).map(softmax).collect();
    let mean = mean_of(&heads.concat(), classes, decision);
    let vote = match (decision, heads.last()) {
        (Decision::Last, Some(last)) => arg_max(last),
        _ => majority_vote(heads.iter().map(|head| arg_max(head)), classes),
    };
    let probabilities = calibration.map_or_else(|| mean.clone(), |calibration| calibration.answer(&mean));
    Decided { class: arg_max(&probabilities), heads, mean, probabilities, vote }
}

/// The mean `[K]` of the heads' probabilities `[B, K]` of one image; where the last head answers, that head's.
#[must_use]
pub fn mean_of(heads: &[f32], classes: usize, decision: Decision) -> Vec<f32> {
    let count = heads.len() / classes;
    let answering = match decision {
        Decision::Vote => heads,
        Decision::Last => &heads[classes * count.saturating_sub(1)..],
    };
    let mut sum = vec![0.0; classes];
    for head in answering.chunks_exact(classes) {
        sum.iter_mut().zip(head).for_each(|(sum, p)| *sum += p);
    }
    let count = (answering.len() / classes) as f32;
    sum.into_iter().map(|sum: f32| sum / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_the_probabilities_that_are_shown_is_the_answer_and_the_vote_stands_beside_it() {
        // Two heads for class 0, one, surer, for class 1.
        let logits = [1.0, 0.0, 1.0, 0.0, 0.0, 9.0];
        let all = decide(&logits, 2, Decision::Vote, None);
        assert_eq!((all.class, all.vote, all.heads.len()), (1, 0, 3));
        let mean = all.heads.iter().map(|head| head[1]).sum::<f32>() / 3.0;
        assert!((all.mean[1] - mean).abs() < 1e-6 && mean > 0.5);
        assert_eq!(all.probabilities, all.mean);
        let last = decide(&logits, 2, Decision::Last, None);
        assert_eq!((last.class, last.vote, &last.mean), (1, 1, &last.heads[2]));
        // Class 1 was met in training nine times as often as class 0.
        let prior = Calibration::new(1.0, 1.0, vec![0.1, 0.9]);
        let rare = decide(&logits, 2, Decision::Vote, Some(&prior));
        assert_eq!((rare.class, rare.vote, &rare.mean), (0, 0, &all.mean));
        assert_eq!(rare.probabilities, prior.answer(&all.mean));
    }

    #[test]
    fn softmax_survives_large_logits() {
        let probabilities = softmax(&[1000.0, 999.0]);
        assert!((probabilities[0] - 0.731).abs() < 1e-3 && (probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
