//! From the branches' mean probabilities to the answer: a temperature, and the training's prior divided out.

use serde::{Deserialize, Serialize};

/// How a network's mean probabilities become its answer.
///
/// With m `[K]` the mean over the branches of the softmax of their logits (of a network whose last head answers, that
/// head's softmax), the temperature T, the prior p and its strength τ, the answer's probabilities are
///
/// `q[k] = m[k]^(1/T) · p[k]^(−τ) / Σ_j m[j]^(1/T) · p[j]^(−τ)`
///
/// and the class that is answered is the largest of them, of equal ones the lowest. T makes them as sure as they are right
/// (Guo et al., "On calibration of modern neural networks", 2017); τ gives back to rare classes what the training set's
/// frequencies took from them (Menon et al., "Long-tail learning via logit adjustment", 2020). T = 1 and τ = 0 leave m as
/// it is.
///
/// A class of prior 0 counts as one of the smallest prior above 0, and a probability below f32's smallest normal number,
/// 1.2·10⁻³⁸, as that number: so q is finite whatever T and τ are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// T, from 10⁻³⁰ to 10³⁰.
    pub temperature: f64,
    /// τ, 0 to 1.
    pub tau: f64,
    /// The share of each class in what the network was trained on `[K]`, summing to 1.
    pub prior: Vec<f64>,
    /// How often the answer was wrong among its surest, on the images that it was fitted to; empty where nobody measured it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
}

/// A point of the risk–coverage curve (Geifman & El-Yaniv, "Selective classification for deep neural networks", 2017).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// The largest probability of the answer, 0 to 1.
    pub confidence: f32,
    /// The share of images with an answer at least as sure, 0 to 1.
    pub coverage: f64,
    /// The share of wrong answers among these, 0 to 1.
    pub risk: f64,
}

/// T lies between these.
const TEMPERATURES: [f64; 2] = [0.05, 20.0];
/// τ is one of 0, 1/STEPS, … 1.
const STEPS: usize = 20;
/// Points of the risk–coverage curve: coverages of about 1/POINTS, … 1.
const POINTS: usize = 40;
/// Of so many images τ may cost [`COST`].
const IMAGES: usize = 1000;
const COST: usize = 3;
/// Halvings of an interval until it has no number within.
const HALVINGS: usize = 60;

impl Calibration {
    /// Without a risk–coverage curve.
    #[must_use]
    pub fn new(temperature: f64, tau: f64, prior: Vec<f64>) -> Self {
        Self { temperature, tau, prior, risks: Vec::new() }
    }

    /// The confidence below which an answer is left open, so that of the others at most the share `risk` was wrong on the
    /// images of the curve: of the point of the largest coverage whose risk is so small; above 1 where there is none.
    /// Nothing without a curve.
    #[must_use]
    pub fn threshold(&self, risk: f64) -> Option<f32> {
        let small = |point: &&Risk| point.risk <= risk;
        let best = self.risks.iter().filter(small).max_by(|a, b| a.coverage.total_cmp(&b.coverage));
        (!self.risks.is_empty()).then(|| best.map_or(f32::INFINITY, |point| point.confidence))
    }

    /// The answer's probabilities `[K]` from the mean probabilities `[K]`.
    #[must_use]
    pub fn answer(&self, mean: &[f32]) -> Vec<f32> {
        let (factor, offsets) = (self.factor(), self.offsets());
        if factor == 1.0 && offsets.iter().all(|offset| *offset == 0.0) {
            return mean.to_vec();
        }
        let scores = mean.iter().zip(offsets).map(|(m, offset)| factor * logarithm(*m) + offset).collect();
        normalised(scores).into_iter().map(|q| q as f32).collect()
    }

    /// 1/T, by which the logarithm of a mean probability is multiplied.
    #[must_use]
    pub fn factor(&self) -> f64 {
        1.0 / self.temperature
    }

    /// What is then added to it `[K]`: −τ · ln of the prior.
    #[must_use]
    pub fn offsets(&self) -> Vec<f64> {
        let smallest = self.prior.iter().copied().filter(|p| *p > 0.0).fold(f64::INFINITY, f64::min);
        // 0 · ln p is −0, which would be written as such.
        let offset = |p: &f64| if self.tau == 0.0 { 0.0 } else { -self.tau * p.max(smallest).ln() };
        self.prior.iter().map(offset).collect()
    }

    /// The calibration that suits the mean probabilities `[N, K]` of images with these labels, for a network that was
    /// trained on the classes in the shares `prior` `[K]`.
    ///
    /// T, between 0.05 and 20, has the largest likelihood of the labels, that is the smallest mean of `−ln q[label]` at
    /// τ = 0; it is 1 where the labels prefer none. τ is then the largest of 0, 0.05, … 1 with which at most 3 of 1,000
    /// images fewer are answered with their labels than at τ = 0. Images whose label is none of the K classes do not
    /// count; without any, T is 1 and τ 0. The risk–coverage curve is that of the fitted answer. The same input gives the
    /// same bits.
    #[must_use]
    pub fn fit(mean: &[f32], labels: &[usize], prior: Vec<f64>) -> Self {
        let classes = prior.len();
        let images: Vec<_> =
            mean.chunks_exact(classes).zip(labels.iter().copied()).filter(|(_, label)| *label < classes).collect();
        let mut fitted = Self::new(temperature(&images), 0.0, prior);
        let hits = |calibration: &Self| {
            images.iter().filter(|(mean, label)| largest(&calibration.answer(mean)) == *label).count()
        };
        let most = hits(&fitted);
        let steps = if images.is_empty() { 0 } else { STEPS };
        let cheap = (1..=steps).rev().map(|step| step as f64 / STEPS as f64).find(|&tau| {
            let lost = most.saturating_sub(hits(&Self { tau, ..fitted.clone() }));
            IMAGES * lost <= COST * images.len()
        });
        fitted.tau = cheap.unwrap_or(0.0);
        fitted.risks = risks(&fitted, &images);
        fitted
    }

    /// What is wrong with it for a network of this many classes: what was expected, and what was found.
    #[must_use]
    pub fn fault(&self, classes: usize) -> Option<[String; 2]> {
        let Self { temperature, tau, prior, risks } = self;
        if !(1e-30..=1e30).contains(temperature) {
            return Some(["a temperature from 1e-30 to 1e30 in its calibration".into(), format!("{temperature:e}")]);
        }
        if !(0.0..=1.0).contains(tau) {
            return Some(["a τ from 0 to 1 in its calibration".into(), tau.to_string()]);
        }
        if prior.len() != classes {
            let expected = format!("a prior of {classes} classes in its calibration");
            return Some([expected, format!("{} values", prior.len())]);
        }
        let share = |value: &f64| (0.0..=1.0).contains(value);
        if !risks.iter().all(|point| share(&point.coverage) && share(&point.risk) && share(&point.confidence.into())) {
            return Some(["shares from 0 to 1 in the curve of its calibration".into(), "others".into()]);
        }
        let sum: f64 = prior.iter().sum();
        if prior.iter().all(|p| (0.0..=1.0).contains(p)) && (sum - 1.0).abs() <= 1e-3 {
            return None;
        }
        Some(["a prior of shares that sum to 1 in its calibration".into(), format!("{prior:?}")])
    }
}

/// ln of a probability, of one below the smallest normal number that number's; of NaN NaN.
fn logarithm(probability: f32) -> f64 {
    f64::from(probability.clamp(f32::MIN_POSITIVE, f32::MAX)).ln()
}

/// Softmax.
fn normalised(scores: Vec<f64>) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.into_iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}

/// The index of the largest value, of equal ones the lowest.
fn largest(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, index| if values[index] > values[best] { index } else { best })
}

/// The risk–coverage curve of the answers to some images with their labels, the smallest coverage first.
fn risks(calibration: &Calibration, images: &[(&[f32], usize)]) -> Vec<Risk> {
    let answered = images.iter().map(|(mean, label)| {
        let answer = calibration.answer(mean);
        let class = largest(&answer);
        (answer[class], class == *label)
    });
    let mut answered: Vec<(f32, bool)> = answered.collect();
    answered.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut curve: Vec<Risk> = Vec::new();
    for point in 1..=POINTS.min(answered.len()) {
        let confidence = answered[(answered.len() * point).div_ceil(POINTS.min(answered.len())) - 1].0;
        // Equally sure answers are kept or left open together.
        let kept = answered.partition_point(|(other, _)| *other >= confidence);
        let wrong = answered[..kept].iter().filter(|(_, right)| !right).count();
        let coverage = kept as f64 / answered.len() as f64;
        if curve.last().is_none_or(|last| last.coverage < coverage) {
            curve.push(Risk { confidence, coverage, risk: wrong as f64 / kept as f64 });
        }
    }
    curve
}

/// T of the largest likelihood. With β = 1/T and l = ln m, the mean of `−ln q[y] = ln Σ_k exp(β·l[k]) − β·l[y]` is
/// convex in β; its slope `Σ_k q[k]·l[k] − l[y]` therefore changes its sign once, where it is sought by halving.
fn temperature(images: &[(&[f32], usize)]) -> f64 {
    let logarithms: Vec<(Vec<f64>, usize)> =
        images.iter().map(|(mean, label)| (mean.iter().map(|m| logarithm(*m)).collect(), *label)).collect();
    let slope = |temperature: f64| -> f64 {
        let of = |(l, label): &(Vec<f64>, usize)| {
            let q = normalised(l.iter().map(|l| l / temperature).collect());
            q.iter().zip(l).map(|(q, l)| q * l).sum::<f64>() - l[*label]
        };
        logarithms.iter().map(of).sum()
    };
    let at_one = slope(1.0);
    if at_one == 0.0 || !at_one.is_finite() {
        return 1.0;
    }
    let [mut low, mut high] = TEMPERATURES.map(f64::ln);
    // A positive slope in β asks for a smaller β, hence a larger T.
    for end in TEMPERATURES {
        if (slope(end) > 0.0) == (end > 1.0) {
            return end;
        }
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if slope(middle.exp()) > 0.0 { low = middle } else { high = middle }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(temperature: f64, tau: f64, prior: &[f64]) -> Calibration {
        Calibration::new(temperature, tau, prior.to_vec())
    }

    fn near(found: &[f32], expected: &[f64]) {
        assert!(found.iter().zip(expected).all(|(f, e)| (f64::from(*f) - e).abs() < 1e-6), "{found:?} {expected:?}");
        assert_eq!(found.len(), expected.len());
    }

    /// Images of two classes, `hits` of `count` with class 0, to which each gives the probability `p`.
    fn images(p: f32, hits: usize, count: usize) -> (Vec<f32>, Vec<usize>) {
        let mean = (0..count).flat_map(|_| [p, 1.0 - p]).collect();
        (mean, (0..count).map(|image| usize::from(image >= hits)).collect())
    }

    #[test]
    fn the_answer_is_the_equation() {
        let mean = [0.7, 0.2, 0.1];
        // Squares, 0.49 0.04 0.01, over 0.54.
        near(&calibration(0.5, 0.0, &[0.5, 0.25, 0.25]).answer(&mean), &[0.907_407_4, 0.074_074_1, 0.018_518_5]);
        // 0.7/0.5, 0.2/0.25, 0.1/0.25 are 1.4, 0.8, 0.4, over 2.6.
        near(&calibration(1.0, 1.0, &[0.5, 0.25, 0.25]).answer(&mean), &[0.538_461_5, 0.307_692_3, 0.153_846_2]);
        // Roots of 0.64 0.04 0.32 over roots of the prior: 0.8/0.8 0.2/0.2 0.565685/0.565685.
        near(&calibration(2.0, 0.5, &[0.64, 0.04, 0.32]).answer(&[0.64, 0.04, 0.32]), &[1.0 / 3.0; 3]);
        assert_eq!(calibration(1.0, 0.0, &[0.5, 0.25, 0.25]).answer(&mean), mean, "bit for bit");
    }

    #[test]
    fn nothing_makes_an_answer_that_is_no_number() {
        for (temperature, tau) in [(0.05, 1.0), (20.0, 1.0), (1.0, 0.5), (1e-30, 1.0), (1e30, 1.0)] {
            for mean in [[0.0, 1.0, 0.0], [0.0; 3], [1e-40, 0.5, 0.5]] {
                let answer = calibration(temperature, tau, &[0.0, 0.9, 0.1]).answer(&mean);
                let sum: f32 = answer.iter().sum();
                assert!((sum - 1.0).abs() < 1e-5 && answer.iter().all(|q| *q >= 0.0), "{answer:?}");
            }
        }
        // A class that was never trained on is as rare as the rarest that was.
        near(&calibration(1.0, 1.0, &[0.0, 0.8, 0.2]).answer(&[0.2, 0.4, 0.4]), &[2.0 / 7.0, 1.0 / 7.0, 4.0 / 7.0]);
        // But what a network has computed wrongly is not hidden.
        assert!(calibration(2.0, 0.0, &[0.5, 0.5]).answer(&[f32::NAN, 0.5])[1].is_nan());
    }

    #[test]
    fn the_temperature_makes_the_answer_as_sure_as_it_is_right() {
        // Nine of ten are right: 0.75^β / (0.75^β + 0.25^β) = 0.9 where 3^β = 9, β = 2, and at 0.81 / 0.19 = 4.263,
        // less than 9, β = ln 9 / ln 4.263.
        for (p, temperature) in [(0.75_f32, 0.5), (0.9, 1.0), (0.81, (0.81_f64 / 0.19).ln() / 9.0_f64.ln())] {
            let (mean, labels) = images(p, 90, 100);
            let fitted = Calibration::fit(&mean, &labels, vec![0.5, 0.5]);
            assert!((fitted.temperature - temperature).abs() < 1e-5, "{} {temperature}", fitted.temperature);
            near(&fitted.answer(&mean[..2]), &[0.9, 0.1]);
        }
    }

    #[test]
    fn a_temperature_that_would_grow_without_end_stops_at_its_bounds() {
        let fit = |p, hits| {
            let (mean, labels) = images(p, hits, 10);
            Calibration::fit(&mean, &labels, vec![0.5, 0.5]).temperature
        };
        assert_eq!((fit(0.7, 10), fit(0.7, 1)), (0.05, 20.0), "always right, and hardly ever");
        assert_eq!(fit(0.5, 3), 1.0, "the labels prefer none");
        assert_eq!(Calibration::fit(&[], &[], vec![0.5, 0.5]), calibration(1.0, 0.0, &[0.5, 0.5]), "no image");
        // A label of no class counts for nothing.
        let with = Calibration::fit(&[0.75, 0.25, 0.75, 0.25, 0.75, 0.25], &[0, 1, 2], vec![0.5, 0.5]);
        assert_eq!(with, Calibration::fit(&[0.75, 0.25, 0.75, 0.25], &[0, 1], vec![0.5, 0.5]));
    }

    /// 1,000 images of which `lost` are answered with their label, class 0, at τ = 0.6 and with class 1 at 0.65. They
    /// are sure by a factor 9^0.625 in odds, the prior is 0.9 to 0.1; all others are sure beyond any τ, and right as
    /// often as makes T = 1.
    fn boundary(lost: usize) -> Calibration {
        let odds = 9.0_f32.powf(0.625);
        let [sure, unsure] = [0.95_f32, odds / (1.0 + odds)];
        let (mut mean, mut labels) = (Vec::new(), Vec::new());
        for image in 0..1000 {
            let p = if image < lost { unsure } else { sure };
            mean.extend([p, 1.0 - p]);
            labels.push(usize::from(image >= 950));
        }
        Calibration::fit(&mean, &labels, vec![0.9, 0.1])
    }

    #[test]
    fn tau_is_the_largest_that_costs_three_images_of_a_thousand() {
        assert_eq!(boundary(0).tau, 1.0);
        // The few unsure images move T by less than what parts two steps of τ.
        let three = boundary(3);
        assert_eq!((three.tau, (three.temperature - 1.0).abs() < 0.01), (1.0, true), "{three:?}");
        let four = boundary(4);
        assert_eq!((four.tau, (four.temperature - 1.0).abs() < 0.01), (0.6, true), "{four:?}");
    }

    #[test]
    fn the_curve_says_how_often_the_surest_answers_were_wrong() {
        // Confidences .9 .8 .8 .7 .6, of which the second and the last are wrong.
        let mean: Vec<f32> = [0.9, 0.8, 0.8, 0.7, 0.6].into_iter().flat_map(|p| [p, 1.0 - p]).collect();
        let labels = [0, 1, 0, 0, 1];
        let plain = calibration(1.0, 0.0, &[0.5, 0.5]);
        let images: Vec<_> = mean.chunks_exact(2).zip(labels).collect();
        let found = risks(&plain, &images);
        let of =
            |confidence, coverage, wrong, kept| Risk { confidence, coverage, risk: f64::from(wrong) / f64::from(kept) };
        assert_eq!(found, [of(0.9, 0.2, 0, 1), of(0.8, 0.6, 1, 3), of(0.7, 0.8, 1, 4), of(0.6, 1.0, 2, 5)]);
        let with = Calibration { risks: found, ..plain.clone() };
        let at = |risk| with.threshold(risk);
        assert_eq!((at(0.0), at(0.25), at(0.3), at(0.4)), (Some(0.9), Some(0.7), Some(0.7), Some(0.6)));
        assert_eq!(plain.threshold(0.5), None);
        let always_wrong = Calibration { risks: vec![of(0.9, 1.0, 1, 1)], ..plain };
        assert_eq!(always_wrong.threshold(0.5), Some(f32::INFINITY));
        // Of many images there are as many points as [`POINTS`].
        let (mean, labels) = images_of(1000);
        let fitted = Calibration::fit(&mean, &labels, vec![0.5, 0.5]);
        assert_eq!((fitted.risks.len(), fitted.risks[POINTS - 1].coverage), (POINTS, 1.0));
    }

    /// Images of two classes with as many confidences.
    fn images_of(count: usize) -> (Vec<f32>, Vec<usize>) {
        let p = |image: usize| 0.5 + 0.5 * (image + 1) as f32 / (count + 1) as f32;
        let mean = (0..count).flat_map(|image| [p(image), 1.0 - p(image)]).collect();
        (mean, (0..count).map(|image| usize::from(image.is_multiple_of(7))).collect())
    }

    #[test]
    fn a_calibration_out_of_range_is_named() {
        let fault = |temperature, tau, prior: &[f64]| calibration(temperature, tau, prior).fault(2);
        assert_eq!(fault(1.5, 0.5, &[0.25, 0.75]), None);
        assert_eq!(fault(1.5, 0.5, &[0.0, 1.0]), None);
        for (wrong, word) in [
            (fault(0.0, 0.5, &[0.5, 0.5]), "temperature"),
            (fault(f64::NAN, 0.5, &[0.5, 0.5]), "temperature"),
            (fault(f64::INFINITY, 0.5, &[0.5, 0.5]), "temperature"),
            (fault(1e-31, 0.5, &[0.5, 0.5]), "temperature"),
            (fault(1.0, 1.5, &[0.5, 0.5]), "τ"),
            (fault(1.0, f64::NAN, &[0.5, 0.5]), "τ"),
            (fault(1.0, 0.5, &[1.0]), "2 classes"),
            (fault(1.0, 0.5, &[0.0, 0.0]), "sum to 1"),
            (fault(1.0, 0.5, &[1.5, -0.5]), "sum to 1"),
            (fault(1.0, 0.5, &[f64::NAN, 0.5]), "sum to 1"),
        ] {
            let [expected, _] = wrong.expect("a fault");
            assert!(expected.contains(word), "{expected}");
        }
    }
}
