//! Softmax cross-entropy of the branches' mixture, in double precision, and its gradient.

use super::{
    Scalar,
    cross_entropy::log_sum_exp,
    kernel::{Io, Kernel},
};
use crate::ops::cross_entropy::Sizes;

/// Of one image: the logarithms of each branch's answer, and of their mixture.
struct Mixture {
    /// `log p`, branch-major; those of branches without weight are not filled.
    answers: Vec<f64>,
    /// `log q`.
    mixed: Vec<f64>,
}

impl Mixture {
    fn new(b: usize, k: usize) -> Self {
        Self { answers: vec![0.0; b * k], mixed: vec![0.0; k] }
    }

    /// Of an image's logits; `total` is the sum of the weights.
    fn fill<T: Scalar>(&mut self, logits: &[T], weights: &[T], total: f64) {
        let k = self.mixed.len();
        for ((answer, z), _) in
            self.answers.chunks_mut(k).zip(logits.chunks(k)).zip(weights).filter(|(_, w)| takes_part(**w))
        {
            let norm = log_sum_exp(z);
            answer.iter_mut().zip(z).for_each(|(answer, z)| *answer = z.wide() - norm);
        }
        for (class, mixed) in self.mixed.iter_mut().enumerate() {
            let answers = weights.iter().enumerate().filter(|(_, w)| takes_part(**w));
            let answers = answers.map(|(branch, w)| (w.wide(), self.answers[branch * k + class]));
            let top = answers.clone().map(|(_, answer)| answer).fold(f64::NEG_INFINITY, f64::max);
            *mixed = top + answers.map(|(w, answer)| w * (answer - top).exp()).sum::<f64>().ln() - total.ln();
        }
    }
}

fn takes_part<T: Scalar>(weight: T) -> bool {
    weight > T::ZERO
}

fn sum_of<T: Scalar>(weights: &[T]) -> f64 {
    weights.iter().filter(|w| takes_part(**w)).map(|w| w.wide()).sum()
}

pub(super) struct Forward(pub(super) Sizes);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let Sizes { images: n, branches: b, classes: k, .. } = self.0;
        let (logits, targets, weights) = (io.input(0), io.input(1), io.input(2));
        let ([loss], _) = io.write();
        let total = sum_of(weights);
        if total == 0.0 {
            loss[0] = T::ZERO;
            return;
        }
        let mut mixture = Mixture::new(b, k);
        let mut sum = 0.0;
        for (z, t) in logits.chunks(b * k).zip(targets.chunks(k)) {
            mixture.fill(z, weights, total);
            // A class without weight adds nothing, however unlikely it is.
            let shares = t.iter().zip(&mixture.mixed).filter(|(t, _)| **t != T::ZERO);
            sum -= shares.map(|(t, mixed)| t.wide() * mixed).sum::<f64>();
        }
        loss[0] = T::of(total * sum / n as f64);
    }
}

pub(super) struct Gradient(pub(super) Sizes);

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let Sizes { images: n, branches: b, classes: k, .. } = self.0;
        let (dloss, logits, targets, weights) = (io.input(0)[0].wide(), io.input(1), io.input(2), io.input(3));
        let ([dz], _) = io.write();
        let total = sum_of(weights);
        let mut mixture = Mixture::new(b, k);
        for ((dz, z), t) in dz.chunks_mut(b * k).zip(logits.chunks(b * k)).zip(targets.chunks(k)) {
            mixture.fill(z, weights, total);
            for ((dz, answer), &weight) in dz.chunks_mut(k).zip(mixture.answers.chunks(k)).zip(weights) {
                if !takes_part(weight) {
                    dz.fill(T::ZERO);
                    continue;
                }
                let factor = dloss * weight.wide() / n as f64;
                let part = |class: usize| match t[class].wide() {
                    0.0 => 0.0,
                    share => share * (answer[class] - mixture.mixed[class]).exp(),
                };
                let all: f64 = (0..k).map(part).sum();
                for (class, dz) in dz.iter_mut().enumerate() {
                    *dz = T::of(factor * (answer[class].exp() * all - part(class)));
                }
            }
        }
    }
}
