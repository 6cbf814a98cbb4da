//! From logits to a decision: probabilities, and the vote of the branches.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_survives_large_logits() {
        let probabilities = softmax(&[1000.0, 999.0]);
        assert!((probabilities[0] - 0.731).abs() < 1e-3 && (probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
