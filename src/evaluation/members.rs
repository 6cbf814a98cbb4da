//! How alike the mistakes of an ensemble's members are.

use serde::{Deserialize, Serialize};

/// The members of an ensemble beside each other, over N images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// Each member's share of right answers.
    pub accuracy: Vec<f64>,
    /// The share of images that some member answers rightly.
    pub oracle: f64,
    /// The mean over pairs of the correlation between the members' errors (Pearson's, of 0 and 1): 1 where they err on
    /// the same images, 0 where they err independently; none without a pair whose members both have errors and hits.
    pub error_correlation: Option<f64>,
    /// The mean over pairs of Yule's Q (Kuncheva & Whitaker, "Measures of diversity in classifier ensembles", 2003):
    /// (n₁₁n₀₀ − n₀₁n₁₀) / (n₁₁n₀₀ + n₀₁n₁₀) of the images both, one or none of the two answer rightly; none without a
    /// pair whose denominator is not 0.
    pub q_statistic: Option<f64>,
}

impl Members {
    /// From each member's answers, image by image `[N, B]`, and the labels `[N]`.
    #[must_use]
    pub fn of(answers: &[u8], labels: &[usize]) -> Self {
        let images = labels.len();
        let count = answers.len().checked_div(images).unwrap_or(0);
        let right: Vec<Vec<bool>> = (0..count)
            .map(|b| {
                labels.iter().enumerate().map(|(n, &label)| usize::from(answers[n * count + b]) == label).collect()
            })
            .collect();
        let share = |hits: usize| hits as f64 / images.max(1) as f64;
        let accuracy = right.iter().map(|member| share(member.iter().filter(|right| **right).count())).collect();
        let oracle = share((0..images).filter(|&n| right.iter().any(|member| member[n])).count());
        let (mut correlations, mut qs) = (Vec::new(), Vec::new());
        for (index, one) in right.iter().enumerate() {
            for other in &right[..index] {
                let mut counts = [[0.0_f64; 2]; 2];
                one.iter().zip(other).for_each(|(&a, &b)| counts[usize::from(a)][usize::from(b)] += 1.0);
                let [[none, second], [first, both]] = counts;
                let (alike, apart) = (both * none, first * second);
                let margins = (both + first) * (both + second) * (none + first) * (none + second);
                if margins > 0.0 {
                    correlations.push((alike - apart) / margins.sqrt());
                }
                if alike + apart > 0.0 {
                    qs.push((alike - apart) / (alike + apart));
                }
            }
        }
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        Self { accuracy, oracle, error_correlation: mean(correlations), q_statistic: mean(qs) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_err_together_correlate_and_those_that_take_turns_do_not() {
        let labels = [0, 0, 0, 0];
        // The same errors: 1 everywhere.
        let same = Members::of(&[0, 0, 0, 0, 1, 1, 1, 1], &labels);
        assert_eq!((same.error_correlation, same.q_statistic, same.oracle), (Some(1.0), Some(1.0), 0.5));
        // Errors that exclude each other: −1.
        let apart = Members::of(&[0, 1, 0, 1, 1, 0, 1, 0], &labels);
        assert_eq!((apart.error_correlation, apart.q_statistic, apart.oracle), (Some(-1.0), Some(-1.0), 1.0));
        // Independent ones: 0.
        let independent = Members::of(&[0, 0, 0, 1, 1, 0, 1, 1], &labels);
        assert_eq!((independent.error_correlation, independent.q_statistic), (Some(0.0), Some(0.0)));
        assert_eq!((independent.accuracy, independent.oracle), (vec![0.5, 0.5], 0.75));
    }

    #[test]
    fn a_member_without_errors_correlates_with_nobody() {
        let perfect = Members::of(&[0, 0, 0, 1], &[0, 0]);
        assert_eq!((perfect.error_correlation, perfect.q_statistic), (None, None));
        assert_eq!(Members::of(&[], &[]).accuracy, Vec::<f64>::new());
    }
}
