//! How close is close enough: the bars of golden/README.md, by group of tensors.
//!
//! In float64 every key agrees to 1e-8 of the tensor's rms. In float32 outputs, statistics, similarities,
//! diversities and losses of the first step agree to 2e-4·max(|e|, rms); gradients and the parameters after two
//! steps are judged by their distribution, because ReLU and max choose differently when two values nearly tie.
//! The biases of convolutions before a batch norm have no gradient in theory: what is left of it is noise, judged
//! against the gradient of the convolution's weight.

use std::collections::BTreeMap;

use crate::exec::Precision;

/// What became of a file's keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Keys compared.
    pub compared: usize,
    /// Keys in the file.
    pub total: usize,
    /// For each group of keys the largest measure.
    pub worst: BTreeMap<String, f64>,
    /// One sentence for each bar that was passed.
    pub failures: Vec<String>,
}

impl Verdict {
    /// Whether every key was compared and every bar held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.compared == self.total && self.total > 0
    }

    fn measure(&mut self, group: &str, error: f64) {
        let worst = self.worst.entry(group.to_owned()).or_insert(0.0);
        *worst = if error.is_nan() { f64::NAN } else { worst.max(error) };
    }
}

const F64_BAR: f64 = 1e-8;
const OUTPUT_BAR: f64 = 2e-4;
const MEDIAN_BAR: f64 = 5e-3;
const P90_BAR: f64 = 6e-2;
const BIAS_BAR: f64 = 1e-4;
const SECOND_LOSS_BAR: f64 = 3e-3;

/// Collects comparisons and judges them.
pub(super) struct Judge {
    precision: Precision,
    verdict: Verdict,
    distributions: BTreeMap<&'static str, Vec<f64>>,
}

impl Judge {
    pub(super) fn new(precision: Precision, total: usize) -> Self {
        let verdict = Verdict { total, ..Verdict::default() };
        Self { precision, verdict, distributions: BTreeMap::new() }
    }

    /// Compares one key. `weight_norm` is the norm of the convolution's weight gradient where the key is of the
    /// gradient of a bias before a batch norm.
    pub(super) fn compare(&mut self, key: &str, actual: &[f64], expected: &[f64], weight_norm: Option<f64>) {
        self.verdict.compared += 1;
        if actual.len() != expected.len() {
            self.fail(format!("{key}: {} values instead of {}", actual.len(), expected.len()));
            return;
        }
        if actual.iter().any(|value| !value.is_finite()) {
            self.verdict.measure(group_of(key), f64::NAN);
            self.fail(format!("{key}: a value is not finite"));
            return;
        }
        match (weight_norm, self.precision) {
            (Some(weight), precision) => {
                let bar = if precision == Precision::F64 { F64_BAR } else { BIAS_BAR };
                self.bar(key, "grad of a bias before batch norm", norm(actual) / weight, bar);
            }
            (None, Precision::F64) => {
                let error = largest(actual, expected, |_, rms| rms);
                self.bar(key, group_of(key), error, F64_BAR);
            }
            (None, Precision::F32 | Precision::Mixed) => match group_of(key) {
                "train2" => {
                    let error = largest(actual, expected, |e, _| e.abs().max(1.0));
                    self.bar(key, "train2", error, SECOND_LOSS_BAR);
                }
                group @ ("grad.head" | "grad.norm" | "step2") => {
                    let difference: Vec<_> = actual.iter().zip(expected).map(|(a, e)| a - e).collect();
                    let error = if norm(&difference) == 0.0 { 0.0 } else { norm(&difference) / norm(expected) };
                    self.distributions.entry(group).or_default().push(error);
                }
                group => {
                    let error = largest(actual, expected, |e, rms| e.abs().max(rms));
                    self.bar(key, group, error, OUTPUT_BAR);
                }
            },
        }
    }

    fn bar(&mut self, key: &str, group: &str, error: f64, bar: f64) {
        self.verdict.measure(group, error);
        if error.is_nan() || error > bar {
            self.fail(format!("{key}: {error:.2e} is past the bar of {bar:.0e}"));
        }
    }

    pub(super) fn fail(&mut self, sentence: String) {
        self.verdict.failures.push(sentence);
    }

    /// Judges the distributions and returns the verdict.
    pub(super) fn finish(mut self) -> Verdict {
        for (group, mut errors) in std::mem::take(&mut self.distributions) {
            errors.sort_by(f64::total_cmp);
            for (name, share, bar) in [("median", 0.5, MEDIAN_BAR), ("p90", 0.9, P90_BAR)] {
                let index = ((errors.len() - 1) as f64 * share).ceil() as usize;
                self.bar(group, &format!("{group} {name}"), errors[index], bar);
            }
        }
        self.verdict
    }
}

/// The group of a key, as reported.
fn group_of(key: &str) -> &'static str {
    if key.starts_with("grad.") {
        return if key.ends_with(".head") { "grad.head" } else { "grad.norm" };
    }
    match key.split('.').next() {
        Some("eval") => "eval",
        Some("train") => "train",
        Some("train2") => "train2",
        Some("stats") => "stats",
        Some("step2") => "step2",
        _ => "labels",
    }
}

pub(super) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The largest |a − e| in units of `scale(e, rms)`; equal values count as 0 whatever the scale.
fn largest(actual: &[f64], expected: &[f64], scale: impl Fn(f64, f64) -> f64) -> f64 {
    let rms = norm(expected) / (expected.len() as f64).sqrt();
    actual
        .iter()
        .zip(expected)
        .map(|(a, e)| if a == e { 0.0 } else { (a - e).abs() / scale(*e, rms) })
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(precision: Precision, key: &str, actual: &[f64], expected: &[f64], weight: Option<f64>) -> Verdict {
        let mut judge = Judge::new(precision, 1);
        judge.compare(key, actual, expected, weight);
        judge.finish()
    }

    #[test]
    fn every_bar_fails_for_a_value_just_past_it_and_passes_just_below() {
        let e = [1.0, -1.0, 1.0, -1.0];
        let off = |by: f64| [1.0 + by, -1.0, 1.0, -1.0];
        let all = |by: f64| e.map(|v| v * (1.0 + by));
        for (precision, key, below, past) in [
            (Precision::F64, "grad.x.head", off(0.9e-8), off(1.1e-8)),
            (Precision::F32, "eval.logits", off(1.9e-4), off(2.1e-4)),
            (Precision::F32, "train.total", off(1.9e-4), off(2.1e-4)),
            (Precision::F32, "stats.x.running_mean", off(1.9e-4), off(2.1e-4)),
            (Precision::F32, "train2.total", off(2.9e-3), off(3.1e-3)),
            (Precision::F32, "grad.x.head", all(4.9e-3), all(5.1e-3)),
            (Precision::F32, "grad.x.norm", all(4.9e-3), all(5.1e-3)),
            (Precision::F32, "step2.x.head", all(4.9e-3), all(5.1e-3)),
        ] {
            assert!(judge(precision, key, &below, &e, None).passed(), "{key} below");
            assert!(!judge(precision, key, &past, &e, None).passed(), "{key} past");
        }
    }

    #[test]
    fn a_bias_before_batch_norm_is_judged_against_its_weights_gradient() {
        assert!(judge(Precision::F32, "grad.c.bias.norm", &[0.9e-4], &[1e-17], Some(1.0)).passed());
        assert!(!judge(Precision::F32, "grad.c.bias.norm", &[1.1e-4], &[1e-17], Some(1.0)).passed());
        assert!(!judge(Precision::F64, "grad.c.bias.norm", &[0.9e-4], &[1e-17], Some(1.0)).passed());
    }

    #[test]
    fn one_outlier_in_ten_gradients_passes_and_two_do_not() {
        for (outliers, passes) in [(1, true), (3, false)] {
            let mut judge = Judge::new(Precision::F32, 20);
            for i in 0..20 {
                let error = if i < outliers { 0.5 } else { 1e-4 };
                judge.compare("grad.x.head", &[1.0 + error], &[1.0], None);
            }
            assert_eq!(judge.finish().passed(), passes);
        }
    }

    #[test]
    fn nan_a_wrong_length_and_a_key_left_out_fail() {
        assert!(!judge(Precision::F32, "eval.logits", &[f64::NAN], &[1.0], None).passed());
        assert!(!judge(Precision::F32, "grad.x.head", &[f64::INFINITY], &[1.0], None).passed());
        assert!(!judge(Precision::F64, "eval.logits", &[1.0, 1.0], &[1.0], None).passed());
        assert!(!Judge::new(Precision::F64, 1).finish().passed());
    }
}
