//! Grouped convolution, its input gradient and its weight gradient.
//!
//! 3×3 filters of stride 1 over enough channels go by Winograd's way, filters of stride 1 between a few planes
//! directly, all others as matrix products: forwards over maps in place where the stride is 1, else over unfolded maps.

pub(super) mod direct;
mod implicit;
mod products;
pub(super) mod rows;
mod schemes;
mod tiles;
mod unfold;
mod winograd;
mod winograd_weight;

use crate::exec::cpu::parallel::*;

use schemes::{F2, F4};
use tiles::Tiles;

use super::{
    Scalar,
    kernel::{Io, Kernel, nchw},
    sum::sum,
};
use crate::{
    ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight},
    shape::Shape,
};

/// A convolution of known sizes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
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
    pub(super) fn new(op: &Conv2d, [images, c, h, w]: [usize; 4], [o, _, kh, kw]: [usize; 4]) -> Self {
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
}

/// Channels of a group from which Winograd's way pays: vectors run over 16.
const WINOGRAD_CHANNELS: usize = 8;

/// Rows of a matrix product up to which it waits for the filters' memory: fewer take as long. Two cores that compute
/// 560 GFLOP/s and read 60 GB/s have 19, others of 424 GFLOP/s and 20 GB/s have 42; one thread with vectors of four numbers
/// hardly ever waits.
const MEMORY_BOUND: usize = if cfg!(target_family = "wasm") { 8 } else { 48 };

/// Rows of a matrix product up to which arranging the filters anew takes long beside it.
const FEW_ROWS: usize = 512;

/// Rows of a matrix product that take as long as putting its filters into that form does.
const TRANSFORM: usize = 100;

/// Pixels from which a weight gradient is taken by tiles of 4×4: sums of fewer terms are more exact than these round.
const LONG_SUM: usize = 256;

/// Pairs of planes of a group up to which the direct way pays: vectors run along rows.
const DIRECT_PAIRS: usize = 16;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By tiles of 2×2 outputs.
    Winograd2,
    /// By tiles of 4×4 outputs.
    Winograd4,
    Direct,
    /// As a matrix product, which reads the maps in place where it can, or unfolds them.
    Product,
}

impl Sizes {
    /// The way for outputs of this size, which are the input's gradients where those are computed. `transform`: rows of a
    /// product that take as long as preparing its filters, 0 where there is nothing to prepare.
    fn way(&self, [h, w]: [usize; 2], transform: usize) -> Way {
        let unit = self.stride == 1 && self.kh == self.kw && self.padding < self.kh;
        match self.kh {
            3 if unit && self.c >= WINOGRAD_CHANNELS && self.o >= WINOGRAD_CHANNELS => {
                // Products of a pair of channels, with as many rows as the memory allows meanwhile.
                let rows =
                    |side: usize| (self.images * h.div_ceil(side) * w.div_ceil(side)).max(MEMORY_BOUND) + transform;
                let ways =
                    [(36 * rows(4), Way::Winograd4), (16 * rows(2), Way::Winograd2), (9 * rows(1), Way::Product)];
                ways.into_iter().rev().min_by_key(|(products, _)| *products).map_or(Way::Product, |(_, way)| way)
            }
            2.. if unit && self.c * self.o <= DIRECT_PAIRS => Way::Direct,
            _ => Way::Product,
        }
    }
}

/// The convolution. `updated`: its filters change with each run.
pub(super) fn forward<T: Scalar>(op: &Conv2d, inputs: &[&Shape], updated: bool) -> Box<dyn Kernel<T>> {
    let s = Sizes::new(op, nchw(inputs[0]), nchw(inputs[1]));
    match s.way([s.out_h, s.out_w], if updated { TRANSFORM } else { 0 }) {
        Way::Winograd2 => Box::new(winograd::Convolution::<F2, 4, 2>::new(Tiles::new(&s, 2, false), false)),
        Way::Winograd4 => Box::new(winograd::Convolution::<F4, 6, 4>::new(Tiles::new(&s, 4, false), false)),
        Way::Direct => Box::new(direct::Convolution::new(&s, false)),
        Way::Product => match implicit::Forward::new(s) {
            Some(conv) => Box::new(conv),
            None => Box::new(unfold::Forward::new(s)),
        },
    }
}

/// The gradient of the input.
pub(super) fn grad_input<T: Scalar>(op: &Conv2dGradInput, inputs: &[&Shape]) -> Box<dyn Kernel<T>> {
    let ([n, ..], weight) = (nchw(inputs[0]), nchw(inputs[1]));
    let s = Sizes::new(&op.conv, [n, weight[1] * op.conv.groups, op.size[0], op.size[1]], weight);
    match s.way(op.size, TRANSFORM) {
        Way::Winograd2 => Box::new(winograd::Convolution::<F2, 4, 2>::new(Tiles::new(&s, 2, true), true)),
        Way::Winograd4 => Box::new(winograd::Convolution::<F4, 6, 4>::new(Tiles::new(&s, 4, true), true)),
        Way::Direct => Box::new(direct::Convolution::new(&s, true)),
        Way::Product => Box::new(unfold::InputGradient::new(s)),
    }
}

/// The gradients of the weight and the bias.
pub(super) fn grad_weight<T: Scalar>(op: &Conv2dGradWeight, inputs: &[&Shape]) -> Box<dyn Kernel<T>> {
    let ([_, o, ..], x) = (nchw(inputs[0]), nchw(inputs[1]));
    let [kh, kw] = op.kernel;
    let s = Sizes::new(&op.conv, x, [o, x[1] / op.conv.groups, kh, kw]);
    let weight: Box<dyn Kernel<T>> = match s.way([s.out_h, s.out_w], 0) {
        Way::Winograd4 if s.images * s.out_area() >= LONG_SUM => {
            Box::new(winograd_weight::WeightGradient::<F4, 6, 4>::new(Tiles::new(&s, 4, false)))
        }
        Way::Winograd2 | Way::Winograd4 => {
            Box::new(winograd_weight::WeightGradient::<F2, 4, 2>::new(Tiles::new(&s, 2, false)))
        }
        Way::Direct => Box::new(direct::WeightGradient(s)),
        Way::Product => Box::new(unfold::WeightGradient::new(s)),
    };
    Box::new(WithBias { weight, sizes: s })
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
