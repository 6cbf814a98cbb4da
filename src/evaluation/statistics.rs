//! Intervals and tests: how sure a figure is, and whether two differ.

use crate::rng::Rng;

/// The 95 % point of the normal distribution's two tails.
const Z95: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of a share, `hits` of `count`: without images 0 to 1 (Wilson, "Probable inference, the law of
/// succession, and statistical inference", 1927).
#[must_use]
pub fn wilson(hits: usize, count: usize) -> [f64; 2] {
    if count == 0 {
        return [0.0, 1.0];
    }
    let (n, share) = (count as f64, hits as f64 / count as f64);
    let centre = share + Z95 * Z95 / (2.0 * n);
    let half = Z95 * (share * (1.0 - share) / n + Z95 * Z95 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z95 * Z95 / n;
    [((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0)]
}

/// McNemar's exact p, two-sided: of the images that only one of two networks answers rightly, `first` are the first
/// network's and `second` the other's; under the null hypothesis each is either's with probability ½.
#[must_use]
pub fn mcnemar(first: usize, second: usize) -> f64 {
    let (count, least) = (first + second, first.min(second));
    // Logarithms: 2⁻ⁿ is no f64 above 1074.
    let mut term = -(count as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=least {
        tail += term.exp();
        term += ((count - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// A difference of two means with its 95 % interval and its two-sided p.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The mean of the differences.
    pub mean: f64,
    /// From the 2.5th to the 97.5th percentile of the resampled means.
    pub interval: [f64; 2],
    /// Twice the smaller share of resampled means on one side of 0, at most 1 and at least 2 / (resamples + 1).
    pub p: f64,
}

/// The paired bootstrap: differences `[S, N]` of S pairs of trainings on the same N images. Each resample draws S
/// trainings and N images with replacement and takes the mean of what they cross in (Efron & Tibshirani, "An introduction
/// to the bootstrap", 1993, with two factors that are drawn by themselves). The same `resamples` give the same numbers.
#[must_use]
pub fn bootstrap(differences: &[Vec<f64>], resamples: usize) -> Difference {
    let (trainings, images) = (differences.len(), differences.first().map_or(0, Vec::len));
    let mean = differences.iter().flatten().sum::<f64>() / (trainings * images).max(1) as f64;
    let by_image: Vec<f64> = (0..images).flat_map(|image| differences.iter().map(move |one| one[image])).collect();
    let resample = |index: usize| {
        let mut rng = Rng::named("bootstrap", &[index as u64]);
        let mut weights = vec![0.0; trainings];
        (0..trainings).for_each(|_| weights[rng.below(trainings)] += 1.0);
        let mut sum = 0.0;
        for _ in 0..images {
            let image = rng.below(images) * trainings;
            let row = &by_image[image..image + trainings];
            sum += row.iter().zip(&weights).map(|(difference, weight)| difference * weight).sum::<f64>();
        }
        sum / (trainings * images) as f64
    };
    let mut means: Vec<f64> = (0..resamples).map(resample).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
    let side = |is: fn(f64) -> bool| means.iter().filter(|mean| is(**mean)).count() + 1;
    let least = side(|mean| mean <= 0.0).min(side(|mean| mean >= 0.0));
    let p = (2.0 * least as f64 / (resamples + 1) as f64).min(1.0);
    Difference { mean, interval: [at(0.025), at(0.975)], p }
}

/// Holm's adjusted p values, in the order of `ps` (Holm, "A simple sequentially rejective multiple test procedure",
/// 1979).
#[must_use]
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|&a, &b| ps[a].total_cmp(&ps[b]));
    let mut adjusted = vec![0.0; ps.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(ps[index] * (ps.len() - rank) as f64).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// A permutation test of groups: the p of the largest difference between two groups' means of `values`, if the images'
/// groups were drawn by lot. The same `permutations` give the same number.
#[must_use]
pub fn permutation(values: &[f64], groups: &[usize], permutations: usize) -> f64 {
    let count = groups.iter().max().map_or(0, |&most| most + 1);
    let spread = |groups: &[usize]| {
        let mut sums = vec![[0.0_f64; 2]; count];
        for (&value, &group) in values.iter().zip(groups) {
            sums[group][0] += value;
            sums[group][1] += 1.0;
        }
        let means = sums.iter().filter(|sum| sum[1] > 0.0).map(|[sum, images]| sum / images);
        let (least, most) =
            means.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(mean), high.max(mean)));
        most - least
    };
    let observed = spread(groups);
    let mut rng = Rng::named("permutation", &[values.len() as u64]);
    let mut shuffled = groups.to_vec();
    let mut as_large = 1;
    for _ in 0..permutations {
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, rng.below(last + 1));
        }
        as_large += usize::from(spread(&shuffled) >= observed - 1e-12);
    }
    as_large as f64 / (permutations + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} where {expected} is right");
    }

    #[test]
    fn wilsons_interval_is_that_of_his_formula_and_stays_within_0_and_1() {
        // By hand: share 0.8, n 10, z² = 3.8415: (0.8 + 0.19207 ± 1.95996·√(0.016 + 0.0096037)) / 1.38415.
        let [low, high] = wilson(8, 10);
        near(low, 0.490_16, 1e-4);
        near(high, 0.943_32, 1e-4);
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        near(wilson(0, 25)[0], 0.0, 1e-12);
        near(wilson(25, 25)[1], 1.0, 1e-12);
        near(wilson(0, 25)[1], 0.133_19, 1e-4);
    }

    #[test]
    fn mcnemars_p_is_exact() {
        // 2·(1 + 10)/2¹⁰, and 2·(1 + 5)/2⁵ cut at 1 for equal counts.
        near(mcnemar(1, 9), 22.0 / 1024.0, 1e-12);
        near(mcnemar(9, 1), 22.0 / 1024.0, 1e-12);
        near(mcnemar(5, 5), 1.0, 1e-12);
        near(mcnemar(0, 0), 1.0, 1e-12);
        // 2⁻¹⁰⁷⁴ is the smallest f64: counts beyond it are summed by their logarithms.
        near(mcnemar(1000, 1000), 1.0, 1e-9);
        near(mcnemar(950, 1050), 0.026_824_146_240_28, 1e-9);
    }

    #[test]
    fn the_bootstraps_interval_has_the_width_of_theory_and_covers_the_mean() {
        // One training, deviation 1: the standard error is 0.05, so the interval ±0.098.
        let mut rng = Rng::new("sample");
        let sample: Vec<f64> = (0..400).map(|_| 0.3 + rng.normal()).collect();
        let found = bootstrap(std::slice::from_ref(&sample), 4000);
        let mean = sample.iter().sum::<f64>() / 400.0;
        near(found.mean, mean, 1e-12);
        near(found.interval[1] - found.interval[0], 2.0 * 1.96 * 0.05, 0.02);
        assert!(found.p < 0.001, "{found:?}");
        assert_eq!(found, bootstrap(&[sample], 4000));
    }

    #[test]
    fn trainings_that_disagree_widen_the_bootstraps_interval() {
        let constant = |value: f64| vec![value; 50];
        let found = bootstrap(&[constant(0.1), constant(-0.1), constant(0.2), constant(-0.2)], 2000);
        assert!(found.interval[0] < -0.05 && found.interval[1] > 0.05 && found.p > 0.5, "{found:?}");
    }

    #[test]
    fn holm_multiplies_by_the_hypotheses_left_and_never_falls() {
        // 3·0.01, 2·0.03, and 0.04 raised to what stands before it.
        let found = holm(&[0.04, 0.01, 0.03]);
        for (found, expected) in found.iter().zip([0.06, 0.03, 0.06]) {
            near(*found, expected, 1e-12);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    #[test]
    fn groups_that_differ_are_told_from_groups_by_lot() {
        let groups: Vec<usize> = (0..200).map(|i| i % 2).collect();
        let differ: Vec<f64> =
            groups.iter().enumerate().map(|(i, g)| f64::from(u8::from(i % 10 < 5 + 3 * g))).collect();
        let alike: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i / 2 % 3 == 0))).collect();
        assert!(permutation(&differ, &groups, 999) < 0.01);
        assert!(permutation(&alike, &groups, 999) > 0.5);
    }
}
