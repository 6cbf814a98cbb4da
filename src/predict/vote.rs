//! From logits to a decision: probabilities, and the vote of the branches.

use crate::models::Decision;

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
    pub probabilities: Vec<f32>,
    /// The class by majority vote, ties to the lowest; where the last head answers, that head's.
    pub class: usize,
}

/// The answer of a network to one image from its logits `[B, K]`.
#[must_use]
pub fn decide(logits: &[f32], classes: usize, decision: Decision) -> Decided {
    let heads: Vec<Vec<f32>> = logits.chunks(classes).map(softmax).collect();
    if let (Decision::Last, Some(last)) = (decision, heads.last()) {
        return Decided { probabilities: last.clone(), class: arg_max(last), heads };
    }
    let mean = |class: usize| heads.iter().map(|head| head[class]).sum::<f32>() / heads.len() as f32;
    let probabilities = (0..classes).map(mean).collect();
    let class = majority_vote(heads.iter().map(|head| arg_max(head)), classes);
    Decided { heads, probabilities, class }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heads_vote_or_the_last_one_answers() {
        // Two heads for class 0, one, surer, for class 1.
        let logits = [1.0, 0.0, 1.0, 0.0, 0.0, 9.0];
        let voted = decide(&logits, 2, Decision::Vote);
        assert_eq!((voted.class, voted.heads.len()), (0, 3));
        let mean = voted.heads.iter().map(|head| head[1]).sum::<f32>() / 3.0;
        assert!((voted.probabilities[1] - mean).abs() < 1e-6 && mean > 0.5);
        let last = decide(&logits, 2, Decision::Last);
        assert_eq!((last.class, &last.probabilities), (1, &last.heads[2]));
    }

    #[test]
    fn softmax_survives_large_logits() {
        let probabilities = softmax(&[1000.0, 999.0]);
        assert!((probabilities[0] - 0.731).abs() < 1e-3 && (probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
