//! Sums of tensors with fixed weights, and an activation of the sum.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar, activation,
    kernel::{BLOCK, Io, Kernel},
};
use crate::ops::{Function, WeightedSum};

pub(super) struct Forward(pub(super) WeightedSum);

impl Forward {
    /// Block by block, so that a block of y stays in the first-level cache.
    fn sum<T: Scalar>(&self, io: &mut Io<'_, T>, activation: impl Fn(T) -> T + Sync) {
        let weights = &self.0.weights;
        let (first, others) = (io.input(0), (1..weights.len()).map(|i| io.input(i)).collect::<Vec<_>>());
        let ([y], _) = io.write();
        y.par_chunks_mut(BLOCK).enumerate().for_each(|(block, y)| {
            let weight = T::of(weights[0]);
            for (y, &x) in y.iter_mut().zip(&first[block * BLOCK..]) {
                *y = weight * x;
            }
            for (x, &weight) in others.iter().zip(&weights[1..]) {
                let weight = T::of(weight);
                for (y, &x) in y.iter_mut().zip(&x[block * BLOCK..]) {
                    *y += weight * x;
                }
            }
            for y in y {
                *y = activation(*y);
            }
        });
    }
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        match self.0.activation {
            None => self.sum(io, |y| y),
            Some(Function::Relu) => self.sum(io, |y| activation::apply(Function::Relu, y)),
            Some(Function::Sigmoid) => self.sum(io, |y| activation::apply(Function::Sigmoid, y)),
        }
    }
}
