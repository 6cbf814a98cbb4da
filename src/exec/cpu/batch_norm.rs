//! Batch normalisation in training and evaluation mode, and its gradient.
//!
//! A task takes one channel through all its passes, so that only the first reads from memory.

use rayon::prelude::*;

use super::{
    Scalar, activation,
    columns::columns,
    kernel::{Io, Kernel},
    sum::{sum, sum_with},
};
use crate::ops::{BatchNorm, BatchNormEval, BatchNormGrad, Function};

/// The plane of image `n` and channel `c`.
fn plane<T>(x: &[T], [_, channels, h, w]: [usize; 4], n: usize, c: usize) -> &[T] {
    let area = h * w;
    &x[(n * channels + c) * area..][..area]
}

/// y = act(x·scale + shift).
fn normalise<T: Scalar>(activation: Option<Function>, y: &mut [T], x: &[T], scale: T, shift: T) {
    let pairs = y.iter_mut().zip(x);
    match activation {
        None => pairs.for_each(|(y, &x)| *y = x * scale + shift),
        Some(Function::Relu) => {
            pairs.for_each(|(y, &x)| *y = activation::apply(Function::Relu, x * scale + shift));
        }
        Some(Function::Sigmoid) => {
            pairs.for_each(|(y, &x)| *y = activation::apply(Function::Sigmoid, x * scale + shift));
        }
    }
}

pub(super) struct Forward {
    pub(super) op: BatchNorm,
    pub(super) dims: [usize; 4],
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let Self { op, dims } = *self;
        let [images, channels, h, w] = dims;
        let count = (images * h * w) as f64;
        let (x, weight, bias) = (io.input(0), io.input(1), io.input(2));
        let ([y, mean, rstd, running_mean, running_variance], _) = io.write();
        columns(y, channels, h * w)
            .zip(mean.par_iter_mut().zip(rstd))
            .zip(running_mean.par_iter_mut().zip(running_variance))
            .enumerate()
            .for_each(|(c, ((mut y, (mean, rstd)), (running_mean, running_variance)))| {
                let planes = || (0..images).map(|n| plane(x, dims, n, c));
                let mu = planes().map(sum).sum::<f64>() / count;
                // Centred on the rounded mean, then corrected for the rounding.
                let centre = T::of(mu);
                let squares: f64 = planes().map(|x| sum_with(x, x, |x, _| (x - centre) * (x - centre))).sum();
                let variance = (squares / count - (mu - centre.wide()).powi(2)).max(0.0);
                let r = 1.0 / (variance + op.eps).sqrt();
                (*mean, *rstd) = (centre, T::of(r));
                let scale = r * weight[c].wide();
                let shift = T::of(bias[c].wide() - mu * scale);
                for n in 0..images {
                    normalise(op.activation, y.row(n), plane(x, dims, n, c), T::of(scale), shift);
                }
                let unbiased = variance * count / (count - 1.0).max(1.0);
                *running_mean = T::of((1.0 - op.momentum) * running_mean.wide() + op.momentum * mu);
                *running_variance = T::of((1.0 - op.momentum) * running_variance.wide() + op.momentum * unbiased);
            });
    }
}

pub(super) struct Evaluation {
    pub(super) op: BatchNormEval,
    pub(super) dims: [usize; 4],
}

impl<T: Scalar> Kernel<T> for Evaluation {
    fn run(&self, io: &mut Io<'_, T>) {
        let [_, channels, h, w] = self.dims;
        let (x, weight, bias, mean, variance) = (io.input(0), io.input(1), io.input(2), io.input(3), io.input(4));
        let ([y], _) = io.write();
        y.par_chunks_mut(h * w).zip(x.par_chunks(h * w)).enumerate().for_each(|(i, (y, x))| {
            let c = i % channels;
            let scale = weight[c].wide() / (variance[c].wide() + self.op.eps).sqrt();
            let shift = bias[c].wide() - mean[c].wide() * scale;
            normalise(self.op.activation, y, x, T::of(scale), T::of(shift));
        });
    }
}

pub(super) struct Gradient {
    pub(super) op: BatchNormGrad,
    pub(super) dims: [usize; 4],
}

impl Gradient {
    /// One channel, with the activation's gradient given as `f(dy, pre-activation)`.
    #[inline(always)]
    fn channel<T: Scalar>(
        &self,
        c: usize,
        io: &Inputs<'_, T>,
        mut dx: super::columns::Column<'_, T>,
        f: impl Fn(T, T) -> T,
    ) -> (T, T) {
        let [images, _, h, w] = self.dims;
        let count = (images * h * w) as f64;
        let (mean, rstd) = (io.mean[c], io.rstd[c].wide());
        let scale = T::of(rstd * io.weight[c].wide());
        let shift = io.bias[c];
        let (mut total, mut along) = (0.0, 0.0);
        for n in 0..images {
            let (dy, x) = (plane(io.dy, self.dims, n, c), plane(io.x, self.dims, n, c));
            total += sum_with(dy, x, |dy, x| f(dy, (x - mean) * scale + shift));
            along += sum_with(dy, x, |dy, x| f(dy, (x - mean) * scale + shift) * (x - mean));
        }
        let mean_grad = T::of(total / count);
        let slope = T::of(along / count * rstd * rstd);
        for n in 0..images {
            let (dy, x) = (plane(io.dy, self.dims, n, c), plane(io.x, self.dims, n, c));
            for ((dx, &dy), &x) in dx.row(n).iter_mut().zip(dy).zip(x) {
                let centred = x - mean;
                *dx = scale * (f(dy, centred * scale + shift) - mean_grad - centred * slope);
            }
        }
        (T::of(along * rstd), T::of(total))
    }
}

struct Inputs<'a, T> {
    dy: &'a [T],
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    mean: &'a [T],
    rstd: &'a [T],
}

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let [_, channels, h, w] = self.dims;
        let inputs = Inputs {
            dy: io.input(0),
            x: io.input(1),
            weight: io.input(2),
            bias: io.input(3),
            mean: io.input(4),
            rstd: io.input(5),
        };
        let ([dx, dweight, dbias], _) = io.write();
        columns(dx, channels, h * w).zip(dweight.par_iter_mut().zip(dbias)).enumerate().for_each(
            |(c, (dx, (dweight, dbias)))| {
                (*dweight, *dbias) = match self.op.activation {
                    None => self.channel(c, &inputs, dx, |dy, _| dy),
                    Some(Function::Relu) => {
                        self.channel(c, &inputs, dx, |dy, z| if z > T::ZERO { dy } else { T::ZERO })
                    }
                    Some(Function::Sigmoid) => self.channel(c, &inputs, dx, |dy, z| {
                        activation::gradient(Function::Sigmoid, dy, activation::apply(Function::Sigmoid, z))
                    }),
                };
            },
        );
    }
}
