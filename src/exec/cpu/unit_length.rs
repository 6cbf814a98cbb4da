//! Maps at unit length and the gradient, in double precision.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{Io, Kernel},
    sum::sum_with,
};
use crate::{ops::UnitLength, shape::Shape};

pub(super) struct Forward {
    features: usize,
    eps: f64,
}

impl Forward {
    pub(super) fn new(op: UnitLength, maps: &Shape) -> Self {
        let [_, features] = op.sizes(maps).expect("invariant: the contract checked the sizes");
        Self { features, eps: op.eps }
    }
}

/// √(‖x‖² + ε).
fn length<T: Scalar>(x: &[T], eps: f64) -> f64 {
    (sum_with(x, x, |a, b| a * b) + eps).sqrt()
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let x = io.input(0);
        let ([y], _) = io.write();
        y.par_chunks_mut(self.features).zip(x.par_chunks(self.features)).for_each(|(y, x)| {
            let length = length(x, self.eps);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = T::of(x.wide() / length));
        });
    }
}

pub(super) struct Gradient(pub(super) Forward);

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let Forward { features, eps } = self.0;
        let (dy, x) = (io.input(0), io.input(1));
        let ([dx], _) = io.write();
        dx.par_chunks_mut(features).zip(dy.par_chunks(features)).zip(x.par_chunks(features)).for_each(
            |((dx, dy), x)| {
                let length = length(x, eps);
                let along = sum_with(x, dy, |a, b| a * b) / length.powi(3);
                for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
                    *dx = T::of(dy.wide() / length - x.wide() * along);
                }
            },
        );
    }
}
