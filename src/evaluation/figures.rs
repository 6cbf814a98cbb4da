//! What the probabilities of a split are worth: beside the labels, beside the annotators' votes, and as confidence.

use serde::{Deserialize, Serialize};

use super::statistics::wilson;
use crate::predict::arg_max;

/// Bins of a calibration error.
const BINS: usize = 15;
/// Probabilities below this count as it in a logarithm.
const LEAST: f64 = f64::EPSILON;

/// The answers of a network, or of an ensemble of networks, to N images of K classes.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The number of classes K.
    pub classes: usize,
    /// The probabilities `[N, K]` that the answers rest on.
    pub probabilities: &'a [f32],
    /// The true class of each image.
    pub labels: &'a [usize],
    /// The annotators' distribution over the classes `[N, K]`, where the data have one for every image.
    pub votes: Option<&'a [f32]>,
}

/// The figures of [`Answered`]; shares are 0 to 1, logarithms natural.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Images.
    pub images: usize,
    /// The share whose largest probability is the label's.
    pub accuracy: f64,
    /// Its 95 % interval (Wilson).
    pub accuracy_interval: [f64; 2],
    /// The mean of the recalls of the classes that occur.
    pub balanced_accuracy: f64,
    /// The mean of F1 over the classes that occur or are answered; 0 for a class that is never right.
    pub macro_f1: f64,
    /// The share whose label has one of the two largest probabilities.
    pub top2: f64,
    /// The mean of −ln p(label).
    pub nll: f64,
    /// The mean over images of Σ_k (p_k − [k is the label])².
    pub brier: f64,
    /// Expected calibration error: over 15 bins of equally many images by confidence, the share of images in a bin times
    /// |accuracy − mean confidence|.
    pub calibration_error: f64,
    /// The probability that a right answer has a larger confidence than a wrong one; none without both.
    pub error_auroc: Option<f64>,
    /// The area under the curve of risk against coverage: the mean over k of the share of errors among the k most
    /// confident answers.
    pub risk_area: f64,
    /// Beside the votes, where there are some.
    pub votes: Option<VoteFigures>,
}

/// Beside the annotators' distributions v.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VoteFigures {
    /// The mean of −Σ_k v_k ln p_k.
    pub soft_cross_entropy: f64,
    /// The mean of Σ_k v_k ln(v_k / p_k).
    pub kl: f64,
    /// The share of answers that are among the classes that got votes.
    pub chosen: f64,
}

/// A bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Images in it.
    pub images: usize,
    /// Their mean confidence: that of the answer.
    pub confidence: f64,
    /// The share that is right.
    pub accuracy: f64,
}

fn ln(p: f32) -> f64 {
    f64::from(p).max(LEAST).ln()
}

impl<'a> Answered<'a> {
    fn rows(self) -> impl Iterator<Item = (&'a [f32], usize)> {
        self.probabilities.chunks(self.classes).zip(self.labels.iter().copied())
    }

    /// The class of each image with the largest probability, of equal ones the lowest.
    #[must_use]
    pub fn answers(self) -> Vec<usize> {
        self.probabilities.chunks(self.classes).map(arg_max).collect()
    }

    /// The confidence of each answer, and whether it is right.
    fn confidences(self) -> Vec<(f64, bool)> {
        let of = |(row, label): (&[f32], usize)| {
            let class = arg_max(row);
            (f64::from(row[class]), class == label)
        };
        self.rows().map(of).collect()
    }

    /// Each image's −Σ_k v_k ln p_k; of the labels where there are no votes.
    #[must_use]
    pub fn soft_cross_entropies(self) -> Vec<f64> {
        match self.votes {
            Some(votes) => {
                let of = |(row, votes): (&[f32], &[f32])| -> f64 {
                    row.iter().zip(votes).filter(|(_, v)| **v > 0.0).map(|(&p, &v)| -f64::from(v) * ln(p)).sum()
                };
                self.probabilities.chunks(self.classes).zip(votes.chunks(self.classes)).map(of).collect()
            }
            None => self.rows().map(|(row, label)| -ln(row[label])).collect(),
        }
    }

    /// 15 bins of equally many images, from the least confident; fewer where there are fewer images.
    #[must_use]
    pub fn reliability(self) -> Vec<Reliability> {
        let mut all = self.confidences();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bins = BINS.min(all.len());
        // The first bins have one image more, as in numpy's array_split.
        let (least, more) = all.len().checked_div(bins).map_or((0, 0), |least| (least, all.len() % bins));
        let mut rest = &all[..];
        let mut found = Vec::new();
        for bin in 0..bins {
            let (own, others) = rest.split_at(least + usize::from(bin < more));
            rest = others;
            let images = own.len();
            let mean = |of: fn(&(f64, bool)) -> f64| own.iter().map(of).sum::<f64>() / images as f64;
            found.push(Reliability {
                images,
                confidence: mean(|(confidence, _)| *confidence),
                accuracy: mean(|(_, right)| f64::from(u8::from(*right))),
            });
        }
        found
    }

    /// The share of errors among the k most confident answers, for k = 1 to N; of equal confidences in the images' order.
    #[must_use]
    pub fn risks(self) -> Vec<f64> {
        let mut all = self.confidences();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut errors = 0;
        let risk = |(index, (_, right)): (usize, (f64, bool))| {
            errors += usize::from(!right);
            errors as f64 / (index + 1) as f64
        };
        all.into_iter().enumerate().map(risk).collect()
    }

    /// All figures.
    #[must_use]
    pub fn figures(self) -> Figures {
        let (images, classes) = (self.labels.len(), self.classes);
        let over = |sum: f64| sum / images.max(1) as f64;
        let mean = |of: fn(&[f32], usize) -> f64| over(self.rows().map(|(row, label)| of(row, label)).sum());
        let mut confusion = vec![vec![0_usize; classes]; classes];
        self.answers().into_iter().zip(self.labels).for_each(|(answer, &label)| confusion[label][answer] += 1);
        let hits: usize = (0..classes).map(|k| confusion[k][k]).sum();
        let (mut recalls, mut f1) = (Vec::new(), Vec::new());
        for k in 0..classes {
            let (own, called): (usize, usize) = (confusion[k].iter().sum(), confusion.iter().map(|row| row[k]).sum());
            if own > 0 {
                recalls.push(confusion[k][k] as f64 / own as f64);
            }
            if own + called > 0 {
                f1.push(2.0 * confusion[k][k] as f64 / (own + called) as f64);
            }
        }
        let average = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let gap: f64 = self.reliability().iter().map(|b| b.images as f64 * (b.accuracy - b.confidence).abs()).sum();
        let confidences = self.confidences();
        let right: Vec<bool> = confidences.iter().map(|(_, right)| *right).collect();
        let scores: Vec<f64> = confidences.iter().map(|(confidence, _)| *confidence).collect();
        Figures {
            images,
            accuracy: over(hits as f64),
            accuracy_interval: wilson(hits, images),
            balanced_accuracy: average(&recalls),
            macro_f1: average(&f1),
            top2: mean(|row, label| {
                let better = |k: usize| row[k] > row[label] || (row[k] == row[label] && k < label);
                f64::from(u8::from((0..row.len()).filter(|&k| better(k)).count() < 2))
            }),
            nll: mean(|row, label| -ln(row[label])),
            brier: mean(|row, label| {
                let gap = |(k, &p): (usize, &f32)| (f64::from(p) - f64::from(u8::from(k == label))).powi(2);
                row.iter().enumerate().map(gap).sum()
            }),
            calibration_error: over(gap),
            error_auroc: auroc(&scores, &right),
            risk_area: over(self.risks().into_iter().sum()),
            votes: self.votes.map(|votes| {
                let soft = over(self.soft_cross_entropies().into_iter().sum());
                let entropy: f64 = votes.iter().filter(|v| **v > 0.0).map(|&v| -f64::from(v) * f64::from(v).ln()).sum();
                let answers = self.answers();
                let chosen = answers.into_iter().zip(votes.chunks(classes)).filter(|(class, v)| v[*class] > 0.0);
                VoteFigures { soft_cross_entropy: soft, kl: soft - over(entropy), chosen: over(chosen.count() as f64) }
            }),
        }
    }
}

/// The area under the receiver operating characteristic: the probability that a positive has a larger score than a
/// negative, where equal ones count half (Mann & Whitney); none without both.
#[must_use]
pub fn auroc(scores: &[f64], positives: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut wins) = (0.0, 0.0);
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let own = equal.iter().filter(|&&index| positives[index]).count() as f64;
        let others = equal.len() as f64 - own;
        wins += own * (below + others / 2.0);
        below += others;
    }
    let all = positives.iter().filter(|positive| **positive).count() as f64;
    (all > 0.0 && below > 0.0).then(|| wins / (all * below))
}

/// Average precision: Σ over the thresholds of (R_t − R_{t−1})·P_t, from the largest score down; none without positives.
#[must_use]
pub fn average_precision(scores: &[f64], positives: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let all = positives.iter().filter(|positive| **positive).count();
    let (mut hits, mut seen, mut sum) = (0, 0, 0.0);
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let own = equal.iter().filter(|&&index| positives[index]).count();
        (hits, seen) = (hits + own, seen + equal.len());
        sum += own as f64 * hits as f64 / seen as f64;
    }
    (all > 0).then(|| sum / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBABILITIES: [f32; 18] =
        [0.7, 0.2, 0.1, 0.3, 0.4, 0.3, 0.2, 0.5, 0.3, 0.1, 0.3, 0.6, 0.6, 0.3, 0.1, 0.2, 0.2, 0.6];
    const LABELS: [usize; 6] = [0, 1, 2, 2, 1, 0];
    const VOTES: [f32; 18] =
        [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.4, 0.6, 0.0, 0.0, 1.0, 0.25, 0.75, 0.0, 0.6, 0.0, 0.4];

    fn answered() -> Answered<'static> {
        Answered { classes: 3, probabilities: &PROBABILITIES, labels: &LABELS, votes: Some(&VOTES) }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-7, "{found} where {expected} is right");
    }

    /// Right values by scikit-learn 1.9 and numpy, on the same numbers in float64.
    #[test]
    fn the_figures_of_six_images_are_scikit_learns() {
        let figures = answered().figures();
        for (found, expected) in [
            (figures.accuracy, 0.5),
            (figures.balanced_accuracy, 0.5),
            (figures.macro_f1, 0.5),
            (figures.nll, 0.966_862_448_1),
            // Of equal probabilities the lower class counts; scikit-learn has 5/6, since it takes the higher.
            (figures.top2, 1.0),
            (figures.brier, 0.603_333_337_7),
            (figures.error_auroc.expect("right and wrong answers"), 0.555_555_555_6),
            (figures.risk_area, 0.322_222_222_2),
            // A bin an image.
            (figures.calibration_error, 0.500_000_005),
        ] {
            near(found, expected);
        }
        let votes = figures.votes.expect("votes");
        near(votes.soft_cross_entropy, 0.854_658_959_7);
        near(votes.kl, 0.421_074_683_2);
        near(votes.chosen, 1.0);
    }

    #[test]
    fn average_precision_is_scikit_learns_also_where_scores_are_equal() {
        let of = |class: usize| {
            let scores: Vec<f64> = PROBABILITIES.chunks(3).map(|row| f64::from(row[class])).collect();
            average_precision(&scores, &LABELS.map(|label| label == class)).expect("positives")
        };
        near(of(0), 0.7);
        near(of(2), 0.5);
        assert_eq!(average_precision(&[0.1], &[false]), None);
    }

    #[test]
    fn a_probability_of_0_gives_a_finite_loss_and_one_class_no_auroc() {
        let answered = Answered { classes: 2, probabilities: &[1.0, 0.0], labels: &[1], votes: None };
        let figures = answered.figures();
        assert!(figures.nll.is_finite() && figures.error_auroc.is_none() && figures.votes.is_none(), "{figures:?}");
    }

    #[test]
    fn bins_have_equally_many_images_and_the_first_ones_the_rest() {
        let probabilities: Vec<f32> = (0..32).flat_map(|i| [0.5 + i as f32 / 100.0, 0.5 - i as f32 / 100.0]).collect();
        let labels = vec![0; 32];
        let answered = Answered { classes: 2, probabilities: &probabilities, labels: &labels, votes: None };
        let bins = answered.reliability();
        let images: Vec<_> = bins.iter().map(|bin| bin.images).collect();
        assert_eq!(images, [3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
        near(bins[0].confidence, 0.51);
        assert!(bins.iter().all(|bin| bin.accuracy == 1.0));
        assert_eq!(answered.risks(), vec![0.0; 32]);
    }
}
