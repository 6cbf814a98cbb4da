//! Grouped convolution, its input gradient and its weight gradient.
//!
//! 3×3 filters of stride 1 over enough channels go by Winograd's way, all others as matrix products over unfolded
//! maps.

mod rows;
mod schemes;
mod tiles;
mod winograd;
mod winograd_weight;

use rayon::prelude::*;

use schemes::F2;
use tiles::Tiles;
use winograd::Convolution;
use winograd_weight::WeightGradient;

use super::{
    Scalar,
    kernel::{Io, Kernel, nchw},
    matmul::{Layout, matmul},
    sum::sum,
};
use crate::{
    ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight},
    shape::Shape,
};

/// A convolution of known sizes.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    images: usize,
    groups: usize,
    /// Input channels of a group.
    c: usize,
    /// Output channels of a group.
    o: usize,
    h: usize,
    w: usize,
    kh: usize,
    kw: usize,
    out_h: usize,
    out_w: usize,
    stride: usize,
    padding: usize,
}

impl Sizes {
    fn new(op: &Conv2d, [images, c, h, w]: [usize; 4], [o, _, kh, kw]: [usize; 4]) -> Self {
        let size = |side, kernel| op.output_size(side, kernel).expect("invariant: the contract checked the sizes");
        Self {
            images,
            groups: op.groups,
            c: c / op.groups,
            o: o / op.groups,
            h,
            w,
            kh,
            kw,
            out_h: size(h, kh),
            out_w: size(w, kw),
            stride: op.stride,
            padding: op.padding,
        }
    }

    /// Elements of a filter.
    fn filter(&self) -> usize {
        self.c * self.kh * self.kw
    }

    fn area(&self) -> usize {
        self.h * self.w
    }

    fn out_area(&self) -> usize {
        self.out_h * self.out_w
    }

    /// Calls `f(row, inside, from)` for each row of outputs under each filter element: the unfolded matrix's
    /// elements `row·W' + j` for j in `inside` are the map's elements `from + (j − inside.start)·stride`.
    fn unfold(&self, mut f: impl FnMut(usize, std::ops::Range<usize>, usize)) {
        let Self { kh, kw, stride, padding, .. } = *self;
        for channel in 0..self.c {
            for i in 0..kh {
                for j in 0..kw {
                    let first = padding.saturating_sub(j).div_ceil(stride).min(self.out_w);
                    let end = (self.w + padding).saturating_sub(j).div_ceil(stride).min(self.out_w).max(first);
                    for row in 0..self.out_h {
                        let at = ((channel * kh + i) * kw + j) * self.out_h + row;
                        let y = row * stride + i;
                        if y < padding || y >= self.h + padding || first == end {
                            f(at, 0..0, 0);
                        } else {
                            let from = (channel * self.h + y - padding) * self.w + first * stride + j - padding;
                            f(at, first..end, from);
                        }
                    }
                }
            }
        }
    }

    /// The unfolded map: a row for each element of a filter, a column for each output.
    fn columns_of<T: Scalar>(&self, x: &[T], columns: &mut [T]) {
        self.unfold(|row, inside, from| {
            let to = &mut columns[row * self.out_w..][..self.out_w];
            to[..inside.start].fill(T::ZERO);
            to[inside.end..].fill(T::ZERO);
            for (to, from) in to[inside].iter_mut().zip(x[from..].iter().step_by(self.stride)) {
                *to = *from;
            }
        });
    }

    /// Adds the unfolded matrix back into a map.
    fn add_columns<T: Scalar>(&self, columns: &[T], x: &mut [T]) {
        self.unfold(|row, inside, from| {
            let columns = &columns[row * self.out_w..][inside];
            for (to, from) in x[from..].iter_mut().step_by(self.stride).zip(columns) {
                *to += *from;
            }
        });
    }
}

/// Channels of a group from which Winograd's way pays: vectors run over 16.
const WINOGRAD_CHANNELS: usize = 8;

impl Sizes {
    fn winograd(&self) -> bool {
        self.kh == 3
            && self.kw == 3
            && self.stride == 1
            && self.padding <= 2
            && self.c >= WINOGRAD_CHANNELS
            && self.o >= WINOGRAD_CHANNELS
    }
}

/// The convolution.
pub(super) fn forward<T: Scalar>(op: &Conv2d, inputs: &[&Shape]) -> Box<dyn Kernel<T>> {
    let sizes = Sizes::new(op, nchw(inputs[0]), nchw(inputs[1]));
    if sizes.winograd() {
        return Box::new(Convolution::<F2, 4, 2>::new(Tiles::new(&sizes, 2, false), false));
    }
    Box::new(Forward(sizes))
}

/// The gradient of the input.
pub(super) fn grad_input<T: Scalar>(op: &Conv2dGradInput, inputs: &[&Shape]) -> Box<dyn Kernel<T>> {
    let ([n, ..], weight) = (nchw(inputs[0]), nchw(inputs[1]));
    let sizes = Sizes::new(&op.conv, [n, weight[1] * op.conv.groups, op.size[0], op.size[1]], weight);
    if sizes.winograd() {
        return Box::new(Convolution::<F2, 4, 2>::new(Tiles::new(&sizes, 2, true), true));
    }
    Box::new(GradInput(sizes))
}

/// The gradients of the weight and the bias.
pub(super) fn grad_weight<T: Scalar>(op: &Conv2dGradWeight, inputs: &[&Shape]) -> Box<dyn Kernel<T>> {
    let ([_, o, ..], x) = (nchw(inputs[0]), nchw(inputs[1]));
    let [kh, kw] = op.kernel;
    let sizes = Sizes::new(&op.conv, x, [o, x[1] / op.conv.groups, kh, kw]);
    let weight: Box<dyn Kernel<T>> = if sizes.winograd() {
        Box::new(WeightGradient::<F2, 4, 2>::new(Tiles::new(&sizes, 2, false)))
    } else {
        Box::new(GradWeight(sizes))
    };
    Box::new(WithBias { weight, sizes })
}

/// A weight gradient with the bias gradient, if that is wanted.
struct WithBias<T> {
    weight: Box<dyn Kernel<T>>,
    sizes: Sizes,
}

impl<T: Scalar> Kernel<T> for WithBias<T> {
    fn scratch(&self, threads: usize) -> usize {
        self.weight.scratch(threads)
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let s = &self.sizes;
        let dy = io.input(0);
        if let [_, db] = &mut *io.held {
            db.data[..db.len].par_iter_mut().enumerate().for_each(|(o, db)| {
                let plane = |n| &dy[(n * s.groups * s.o + o) * s.out_area()..][..s.out_area()];
                *db = T::of((0..s.images).map(|n| sum(plane(n))).sum());
            });
        }
        self.weight.run(io);
    }
}

struct Forward(Sizes);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let s = self.0;
        let (x, weight) = (io.input(0), io.input(1));
        let bias = (io.inputs() == 3).then(|| io.input(2));
        let ([y], _) = io.write();
        y.par_chunks_mut(s.o * s.out_area()).enumerate().for_each_init(
            || vec![T::ZERO; s.filter() * s.out_area()],
            |columns, (at, y)| {
                s.columns_of(&x[at * s.c * s.area()..][..s.c * s.area()], columns);
                let group = at % s.groups;
                let weight = &weight[group * s.o * s.filter()..][..s.o * s.filter()];
                let columns = (&columns[..], Layout::new(s.filter(), s.out_area()));
                matmul(y, Layout::new(s.o, s.out_area()), false, (weight, Layout::new(s.o, s.filter())), columns);
                if let Some(bias) = bias {
                    for (y, &bias) in y.chunks_exact_mut(s.out_area()).zip(&bias[group * s.o..]) {
                        y.iter_mut().for_each(|y| *y += bias);
                    }
                }
            },
        );
    }
}

struct GradInput(Sizes);

impl<T: Scalar> Kernel<T> for GradInput {
    fn run(&self, io: &mut Io<'_, T>) {
        let s = self.0;
        let (dy, weight) = (io.input(0), io.input(1));
        let ([dx], _) = io.write();
        dx.par_chunks_mut(s.c * s.area()).enumerate().for_each_init(
            || vec![T::ZERO; s.filter() * s.out_area()],
            |columns, (at, dx)| {
                let dy = &dy[at * s.o * s.out_area()..][..s.o * s.out_area()];
                let weight = &weight[at % s.groups * s.o * s.filter()..][..s.o * s.filter()];
                let columns_layout = Layout::new(s.filter(), s.out_area());
                let dy = (dy, Layout::new(s.o, s.out_area()));
                matmul(columns, columns_layout, false, (weight, Layout::new(s.o, s.filter()).t()), dy);
                dx.fill(T::ZERO);
                s.add_columns(columns, dx);
            },
        );
    }
}

struct GradWeight(Sizes);

impl<T: Scalar> Kernel<T> for GradWeight {
    fn run(&self, io: &mut Io<'_, T>) {
        let s = self.0;
        let (dy, x) = (io.input(0), io.input(1));
        let maps = |n: usize, group: usize| &dy[(n * s.groups + group) * s.o * s.out_area()..][..s.o * s.out_area()];
        let ([dw], _) = io.write();
        dw.par_chunks_mut(s.o * s.filter()).enumerate().for_each_init(
            || vec![T::ZERO; s.filter() * s.out_area()],
            |columns, (group, dw)| {
                for n in 0..s.images {
                    let x = &x[(n * s.groups + group) * s.c * s.area()..][..s.c * s.area()];
                    s.columns_of(x, columns);
                    let columns = (&columns[..], Layout::new(s.filter(), s.out_area()).t());
                    let dy = (maps(n, group), Layout::new(s.o, s.out_area()));
                    matmul(dw, Layout::new(s.o, s.filter()), n > 0, dy, columns);
                }
            },
        );
    }
}
