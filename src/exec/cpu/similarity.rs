//! Pooled RBF similarity between the learners' maps and its gradient, in double precision.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{Io, Kernel},
    sum::sum_with,
};
use crate::{
    ops::{Similarity, similarity::MAX_LEARNERS},
    shape::Shape,
};

pub(super) struct Forward {
    op: Similarity,
    images: usize,
    features: usize,
}

impl Forward {
    pub(super) fn new(op: Similarity, maps: &Shape) -> Self {
        let [images, features] = op.sizes(maps).expect("invariant: the contract checked the sizes");
        Self { op, images, features }
    }
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let (l, f) = (self.op.learners, self.features);
        let (maps, gamma) = (io.input(0), io.input(1)[0].wide());
        let ([s, kernel], _) = io.write();
        let diagonal = if self.op.zero_diagonal { T::ZERO } else { T::ONE };
        kernel.par_chunks_mut(l * l).zip(maps.par_chunks(l * f)).for_each(|(kernel, maps)| {
            for i in 0..l {
                kernel[i * l + i] = diagonal;
                for j in 0..i {
                    let squares = sum_with(&maps[i * f..][..f], &maps[j * f..][..f], |a, b| (a - b) * (a - b));
                    let value = T::of((-gamma * squares).exp());
                    (kernel[i * l + j], kernel[j * l + i]) = (value, value);
                }
            }
        });
        for (i, s) in s.iter_mut().enumerate() {
            let total: f64 = (0..self.images).map(|n| kernel[n * l * l + i].wide()).sum();
            *s = T::of(total / self.images as f64);
        }
    }
}

pub(super) struct Gradient {
    pub(super) forward: Forward,
    pub(super) scale: f64,
}

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let Forward { op, images, features: f } = self.forward;
        let l = op.learners;
        let (ds, maps, gamma, kernel) = (io.input(0), io.input(1), io.input(2)[0].wide(), io.input(3));
        let ([dmaps], _) = io.write();
        dmaps.par_chunks_mut(f).enumerate().for_each(|(row, dmaps)| {
            let (image, i) = (row / l, row % l);
            let maps = &maps[image * l * f..][..l * f];
            let mut factors = [0.0; MAX_LEARNERS];
            for (k, factor) in factors[..l].iter_mut().enumerate().filter(|(k, _)| *k != i) {
                let weight = self.scale * (ds[i * l + k].wide() + ds[k * l + i].wide());
                *factor = -2.0 * gamma / images as f64 * weight * kernel[(image * l + i) * l + k].wide();
            }
            for (at, dmap) in dmaps.iter_mut().enumerate() {
                let own = maps[i * f + at].wide();
                let total: f64 = (0..l).map(|k| factors[k] * (own - maps[k * f + at].wide())).sum();
                *dmap = T::of(total);
            }
        });
    }
}
