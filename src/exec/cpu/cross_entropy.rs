//! Softmax cross-entropy of all branches, in double precision, and its gradient.

use super::{
    Scalar,
    kernel::{Io, Kernel},
};
use crate::ops::cross_entropy::Sizes;

/// The first of the largest values.
fn argmax(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

/// log Σ exp(z).
pub(super) fn log_sum_exp<T: Scalar>(z: &[T]) -> f64 {
    let max = z.iter().map(|z| z.wide()).fold(f64::NEG_INFINITY, f64::max);
    max + z.iter().map(|z| (z.wide() - max).exp()).sum::<f64>().ln()
}

pub(super) struct Forward(pub(super) Sizes);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let Sizes { images: n, branches: b, classes: k, rows } = self.0;
        let (logits, targets, weights) = (io.input(0), io.input(1), io.input(2));
        let ([loss, losses, hits], _) = io.write();
        let mut total = 0.0;
        hits.fill(T::ZERO);
        for branch in 0..b {
            let mut own = 0.0;
            for image in 0..n {
                let (z, t) =
                    (&logits[(image * b + branch) * k..][..k], &targets[(image * rows + branch % rows) * k..][..k]);
                let norm = log_sum_exp(z);
                // A class without weight adds nothing, however unlikely it is.
                own -= t
                    .iter()
                    .zip(z)
                    .filter(|(t, _)| **t != T::ZERO)
                    .map(|(t, z)| t.wide() * (z.wide() - norm))
                    .sum::<f64>();
                if argmax(z.iter().map(|z| z.wide())) == argmax(t.iter().map(|t| t.wide())) {
                    hits[branch] += T::ONE;
                }
            }
            own /= n as f64;
            losses[branch] = T::of(own);
            if weights[branch] != T::ZERO {
                total += weights[branch].wide() * own;
            }
        }
        loss[0] = T::of(total);
        for image in 0..n {
            let votes = |class: usize| {
                let voters = (0..b).filter(|branch| weights[*branch] > T::ZERO);
                let classes =
                    voters.map(|branch| argmax(logits[(image * b + branch) * k..][..k].iter().map(|z| z.wide())));
                classes.filter(|vote| *vote == class).count() as f64
            };
            let targets = &targets[image * rows * k..][..rows * k];
            let sum = |class: usize| targets.iter().skip(class).step_by(k).map(|t| t.wide()).sum::<f64>();
            if argmax((0..k).map(votes)) == argmax((0..k).map(sum)) {
                hits[b] += T::ONE;
            }
        }
    }
}

pub(super) struct Gradient(pub(super) Sizes);

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let Sizes { images: n, branches: b, classes: k, rows } = self.0;
        let (dloss, logits, targets, weights) = (io.input(0), io.input(1), io.input(2), io.input(3));
        let ([dz], _) = io.write();
        for (row, dz) in dz.chunks_exact_mut(k).enumerate() {
            let factor = dloss[0].wide() * weights[row % b].wide() / n as f64;
            let (z, t) = (&logits[row * k..][..k], &targets[(row / b * rows + row % b % rows) * k..][..k]);
            let norm = log_sum_exp(z);
            let mass: f64 = t.iter().map(|t| t.wide()).sum();
            for ((dz, z), t) in dz.iter_mut().zip(z).zip(t) {
                *dz = T::of(factor * ((z.wide() - norm).exp() * mass - t.wide()));
            }
        }
    }
}
