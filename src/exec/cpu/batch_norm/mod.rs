//! Batch normalisation in training and evaluation mode with what follows it, and its gradient.
//!
//! A task takes one channel through all its passes, so that only the first reads from memory, and one plane through
//! normalisation, activation, pooling and description while it is in the cache.

mod windows;

use std::marker::PhantomData;

use crate::exec::cpu::parallel::*;

use self::windows::{Affine, Correction, Peak, PlaneGradient, Room, Sums, Windows};
use super::{
    Scalar, activation,
    columns::{Column, columns, columns_of_some},
    global_pool::first_max,
    kernel::{Io, Kernel},
    simd::{Job, Vector},
    sum::sum,
};
use crate::ops::{BatchNorm, BatchNormEval, BatchNormGrad, Function};

/// An activation as a type, so that loops hold its code alone.
pub(super) trait Curve: Send + Sync {
    /// The function's value.
    fn value<T: Scalar>(z: T) -> T;
    /// The gradient before it, from that after it and the value.
    fn gradient<T: Scalar>(dy: T, y: T) -> T;
}

struct Plain;
struct Relu;
struct Sigmoid;

impl Curve for Plain {
    #[inline(always)]
    fn value<T: Scalar>(z: T) -> T {
        z
    }
    #[inline(always)]
    fn gradient<T: Scalar>(dy: T, _: T) -> T {
        dy
    }
}

macro_rules! curve {
    ($name:ident) => {
        impl Curve for $name {
            #[inline(always)]
            fn value<T: Scalar>(z: T) -> T {
                activation::apply(Function::$name, z)
            }
            #[inline(always)]
            fn gradient<T: Scalar>(dy: T, y: T) -> T {
                activation::gradient(Function::$name, dy, y)
            }
        }
    };
}

curve!(Relu);
curve!(Sigmoid);

/// Runs a job of one channel for an activation, with the widest instructions.
macro_rules! run {
    ($activation:expr, $job:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {
        match $activation {
            None => T::run($job::<T, Plain> { $($field $(: $value)?,)* curve: PhantomData }),
            Some(Function::Relu) => T::run($job::<T, Relu> { $($field $(: $value)?,)* curve: PhantomData }),
            Some(Function::Sigmoid) => T::run($job::<T, Sigmoid> { $($field $(: $value)?,)* curve: PhantomData }),
        }
    };
}

/// One channel of x.
#[derive(Clone, Copy)]
struct Channel<'a, T> {
    x: &'a [T],
    dims: [usize; 4],
    index: usize,
}

impl<'a, T: Scalar> Channel<'a, T> {
    /// The plane of an image, of `area` elements, in a tensor of as many images and channels as x.
    #[inline(always)]
    fn plane_of(&self, tensor: &'a [T], n: usize, area: usize) -> &'a [T] {
        &tensor[(n * self.dims[1] + self.index) * area..][..area]
    }

    #[inline(always)]
    fn plane(&self, n: usize) -> &'a [T] {
        self.plane_of(self.x, n, self.dims[2] * self.dims[3])
    }

    /// Asks for the plane of a later image in a tensor of as many images and channels as x.
    #[inline(always)]
    fn prefetch<V: Vector<T>>(&self, tensor: &'a [T], n: usize, area: usize) {
        if n + AHEAD < self.dims[0] {
            prefetch::<T, V>(self.plane_of(tensor, n + AHEAD, area));
        }
    }

    /// Elements.
    fn count(&self) -> f64 {
        (self.dims[0] * self.dims[2] * self.dims[3]) as f64
    }

    /// Mean and biased variance, in one pass: about the first plane's mean, which is close enough that little cancels.
    #[inline(always)]
    fn statistics<V: Vector<T>>(&self, room: &mut [T; CENTRED]) -> (f64, f64) {
        let first = self.plane(0);
        let pivot = T::of(sum(first) / first.len() as f64);
        let mut sums = Sums::new();
        for n in 0..self.dims[0] {
            self.prefetch::<V>(self.x, n, first.len());
            for x in self.plane(n).chunks(CENTRED) {
                let centred = &mut room[..x.len()];
                for (centred, &x) in centred.iter_mut().zip(x) {
                    *centred = x - pivot;
                }
                sums.add(centred, centred);
            }
        }
        let [total, squares] = sums.finish().map(|sum| sum / self.count());
        let variance = squares - total * total;
        // Not max(): a NaN must stay one.
        (pivot.wide() + total, if variance < 0.0 { 0.0 } else { variance })
    }
}

/// Asks for a plane that is so short that the processor could not foresee it from the one before.
#[inline(always)]
fn prefetch<T: Scalar, V: Vector<T>>(plane: &[T]) {
    if plane.len() <= SHORT {
        for line in plane.chunks(64 / size_of::<T>()) {
            V::prefetch(&line[0]);
        }
    }
}

/// Images from a plane that is worked on to the one that is fetched meanwhile.
const AHEAD: usize = 4;
/// Elements of a short plane.
const SHORT: usize = 512;
/// Elements that are centred at a time.
const CENTRED: usize = 512;

/// What becomes of a channel's planes.
struct Outputs<'a, T> {
    y: Column<'a, T>,
    /// `[2, N]`.
    descriptors: Option<Column<'a, T>>,
    /// `[N]`.
    positions: Option<Column<'a, T>>,
}

impl<T: Scalar> Outputs<'_, T> {
    #[inline(always)]
    fn write<A: Curve, V: Vector<T>>(
        &mut self,
        channel: Channel<'_, T>,
        windows: Windows,
        affine: Affine<T>,
        room: &mut Room<T>,
    ) {
        let images = channel.dims[0];
        for n in 0..images {
            if n + AHEAD < images {
                prefetch::<T, V>(self.y.row(n + AHEAD));
            }
            let y = self.y.row(n);
            windows.forward::<T, A>(affine, channel.plane(n), y, room);
            let Some(descriptors) = &mut self.descriptors else { continue };
            let sum = sum(y);
            let (max, position) = first_max(y, sum);
            descriptors.row(n)[0] = T::of(sum / y.len() as f64);
            descriptors.row(images + n)[0] = max;
            if let Some(positions) = &mut self.positions {
                positions.row(n)[0] = T::of(position as f64);
            }
        }
    }
}

pub(super) struct Forward {
    pub(super) op: BatchNorm,
    pub(super) dims: [usize; 4],
}

/// Where a channel's numbers go.
struct Moments<'a, T> {
    mean: &'a mut T,
    rstd: &'a mut T,
    running_mean: &'a mut T,
    running_variance: &'a mut T,
}

struct ForwardChannel<'a, T, A> {
    op: BatchNorm,
    channel: Channel<'a, T>,
    windows: Windows,
    weight: T,
    bias: T,
    moments: Moments<'a, T>,
    outputs: Outputs<'a, T>,
    room: &'a mut Room<T>,
    curve: PhantomData<A>,
}

impl<T: Scalar, A: Curve> Job<T> for ForwardChannel<'_, T, A> {
    #[inline(always)]
    fn run<V: Vector<T>, const R: usize, const F: usize, const B: usize>(mut self) {
        let (mean, variance) = self.channel.statistics::<V>(&mut [T::ZERO; CENTRED]);
        let Moments { mean: mu, rstd, running_mean, running_variance } = self.moments;
        (*mu, *rstd) = (T::of(mean), T::of(1.0 / (variance + self.op.eps).sqrt()));
        let affine = affine(*mu, *rstd, self.weight, self.bias);
        self.outputs.write::<A, V>(self.channel, self.windows, affine, self.room);
        let (count, momentum) = (self.channel.count(), self.op.momentum);
        let unbiased = variance * count / (count - 1.0).max(1.0);
        *running_mean = T::of((1.0 - momentum) * running_mean.wide() + momentum * mean);
        *running_variance = T::of((1.0 - momentum) * running_variance.wide() + momentum * unbiased);
    }
}

fn affine<T: Scalar>(mean: T, rstd: T, weight: T, bias: T) -> Affine<T> {
    Affine { mean, scale: rstd * weight, shift: bias }
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let Self { op, dims } = *self;
        let [_, channels, h, w] = dims;
        let windows = Windows::new(h, w, op.pool);
        let (x, weight, bias) = (io.input(0), io.input(1), io.input(2));
        let (y, moments, described, running) = if op.descriptors {
            let ([y, moments, descriptors, positions, mean, variance], _) = io.write();
            (y, moments, Some((descriptors, positions)), (mean, variance))
        } else {
            let ([y, moments, mean, variance], _) = io.write();
            (y, moments, None, (mean, variance))
        };
        let (mean, rstd) = moments.split_at_mut(channels);
        let (descriptors, positions) = described.unzip();
        columns(y, channels, windows.outputs())
            .zip(columns_of_some(descriptors, channels, 1).zip(columns_of_some(positions, channels, 1)))
            .zip(mean.par_iter_mut().zip(rstd))
            .zip(running.0.par_iter_mut().zip(running.1))
            .enumerate()
            .for_each_init(Room::new, |room, (c, (((y, (descriptors, positions)), moments), running))| {
                let ((mean, rstd), (running_mean, running_variance)) = (moments, running);
                run!(
                    op.activation,
                    ForwardChannel {
                        op,
                        channel: Channel { x, dims, index: c },
                        windows,
                        weight: weight[c],
                        bias: bias[c],
                        moments: Moments { mean, rstd, running_mean, running_variance },
                        outputs: Outputs { y, descriptors, positions },
                        room,
                    }
                );
            });
    }
}

pub(super) struct Evaluation {
    pub(super) op: BatchNormEval,
    pub(super) dims: [usize; 4],
}

struct EvaluationChannel<'a, T, A> {
    channel: Channel<'a, T>,
    windows: Windows,
    affine: Affine<T>,
    outputs: Outputs<'a, T>,
    room: &'a mut Room<T>,
    curve: PhantomData<A>,
}

impl<T: Scalar, A: Curve> Job<T> for EvaluationChannel<'_, T, A> {
    #[inline(always)]
    fn run<V: Vector<T>, const R: usize, const F: usize, const B: usize>(mut self) {
        self.outputs.write::<A, V>(self.channel, self.windows, self.affine, self.room);
    }
}

impl<T: Scalar> Kernel<T> for Evaluation {
    fn run(&self, io: &mut Io<'_, T>) {
        let Self { op, dims } = *self;
        let [_, channels, h, w] = dims;
        let windows = Windows::new(h, w, op.pool);
        let (x, weight, bias, mean, variance) = (io.input(0), io.input(1), io.input(2), io.input(3), io.input(4));
        let (y, descriptors) = if op.descriptors {
            let ([y, descriptors], _) = io.write();
            (y, Some(descriptors))
        } else {
            let ([y], _) = io.write();
            (y, None)
        };
        let planes = columns(y, channels, windows.outputs()).zip(columns_of_some(descriptors, channels, 1));
        planes.enumerate().for_each_init(Room::new, |room, (c, (y, descriptors))| {
            let rstd = T::of(1.0 / (variance[c].wide() + op.eps).sqrt());
            run!(
                op.activation,
                EvaluationChannel {
                    channel: Channel { x, dims, index: c },
                    windows,
                    affine: affine(mean[c], rstd, weight[c], bias[c]),
                    outputs: Outputs { y, descriptors, positions: None },
                    room,
                }
            );
        });
    }
}

pub(super) struct Gradient {
    pub(super) op: BatchNormGrad,
    pub(super) dims: [usize; 4],
}

/// What a gradient starts from, beside x.
#[derive(Clone, Copy)]
struct Gradients<'a, T> {
    dy: &'a [T],
    /// The descriptors' gradient `[2, N, C]` and the positions `[N, C]`.
    described: Option<(&'a [T], &'a [T])>,
}

struct GradientChannel<'a, T, A> {
    channel: Channel<'a, T>,
    windows: Windows,
    affine: Affine<T>,
    rstd: T,
    gradients: Gradients<'a, T>,
    dx: Column<'a, T>,
    dweight: &'a mut T,
    dbias: &'a mut T,
    room: &'a mut Room<T>,
    curve: PhantomData<A>,
}

impl<'a, T: Scalar> Gradients<'a, T> {
    /// Those of an image's plane of y, of `area` elements.
    #[inline(always)]
    fn plane(&self, channel: &Channel<'a, T>, n: usize, area: usize) -> PlaneGradient<'a, T> {
        let [images, channels, ..] = channel.dims;
        let at = n * channels + channel.index;
        let dy = channel.plane_of(self.dy, n, area);
        let Some((gradient, positions)) = self.described else {
            return PlaneGradient { dy, share: T::ZERO, peak: None };
        };
        let share = gradient[at] * T::of(1.0 / area as f64);
        let peak = Peak { gradient: gradient[images * channels + at], place: positions[at].wide() as usize };
        PlaneGradient { dy, share, peak: Some(peak) }
    }
}

impl<T: Scalar, A: Curve> Job<T> for GradientChannel<'_, T, A> {
    #[inline(always)]
    fn run<V: Vector<T>, const R: usize, const F: usize, const B: usize>(mut self) {
        let (channel, area) = (self.channel, self.windows.outputs());
        let mut sums = Sums::new();
        for n in 0..channel.dims[0] {
            channel.prefetch::<V>(channel.x, n, channel.plane(n).len());
            channel.prefetch::<V>(self.gradients.dy, n, area);
            let gradient = self.gradients.plane(&channel, n, area);
            self.windows.reduce::<T, A>(self.affine, gradient, channel.plane(n), &mut sums, self.room);
        }
        let [total, along] = sums.finish();
        let (count, rstd) = (channel.count(), self.rstd.wide());
        (*self.dweight, *self.dbias) = (T::of(along * rstd), T::of(total));
        let correction = Correction { mean: T::of(total / count), slope: T::of(along / count * rstd * rstd) };
        for n in 0..channel.dims[0] {
            if n + AHEAD < channel.dims[0] {
                prefetch::<T, V>(self.dx.row(n + AHEAD));
            }
            let (gradient, dx) = (self.gradients.plane(&channel, n, area), self.dx.row(n));
            self.windows.backward::<T, A>(self.affine, correction, gradient, channel.plane(n), dx, self.room);
        }
    }
}

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let Self { op, dims } = *self;
        let [_, channels, h, w] = dims;
        let windows = Windows::new(h, w, op.pool);
        let (x, weight, bias) = (io.input(1), io.input(2), io.input(3));
        let (mean, rstd) = io.input(4).split_at(channels);
        let gradients = Gradients { dy: io.input(0), described: op.descriptors.then(|| (io.input(5), io.input(6))) };
        let ([dx, dweight, dbias], _) = io.write();
        columns(dx, channels, h * w).zip(dweight.par_iter_mut().zip(dbias)).enumerate().for_each_init(
            Room::new,
            |room, (c, (dx, (dweight, dbias)))| {
                run!(
                    op.activation,
                    GradientChannel {
                        channel: Channel { x, dims, index: c },
                        windows,
                        affine: affine(mean[c], rstd[c], weight[c], bias[c]),
                        rstd: rstd[c],
                        gradients,
                        dx,
                        dweight,
                        dbias,
                        room,
                    }
                );
            },
        );
    }
}
