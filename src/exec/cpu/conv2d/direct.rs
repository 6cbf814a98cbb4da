//! Convolution of stride 1 between a few planes, such as the spatial gates' 7×7 from two to one in each group.
//!
//! Vectors run along the rows of maps with a border of zeros, and each output is summed in registers.

use crate::exec::cpu::parallel::*;

use super::{Sizes, rows::Rows};
use crate::exec::cpu::{
    Scalar,
    kernel::{Io, Kernel},
    simd::{Job, LANES, Lanes, Vector},
    tasks::{carve, for_each_task},
};

/// A plane with a border of zeros, wide enough to read whole vectors at the end of its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bordered {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) border: usize,
}

impl Bordered {
    /// Elements of a row with its border.
    pub(super) fn row(&self) -> usize {
        self.w + 2 * self.border
    }

    /// Elements from a row to the next: so many that the last vector of `out_w` outputs sees `kernel` elements to its right.
    fn stride(&self, out_w: usize, kernel: usize) -> usize {
        (out_w.next_multiple_of(LANES) + kernel).max(self.row())
    }

    fn len(&self, out_w: usize, kernel: usize) -> usize {
        (self.h + 2 * self.border) * self.stride(out_w, kernel)
    }

    #[inline(always)]
    pub(super) fn copy<T: Scalar>(&self, plane: &[T], to: &mut [T], stride: usize) {
        to.fill(T::ZERO);
        for (from, to) in plane.chunks_exact(self.w).zip(to[self.border * stride..].chunks_exact_mut(stride)) {
            to[self.border..self.border + self.w].copy_from_slice(from);
        }
    }
}

/// The convolution, or the one with flipped filters that is its input gradient.
pub(in crate::exec::cpu) struct Convolution {
    groups: usize,
    images: usize,
    /// Planes read and written in each group.
    ins: usize,
    outs: usize,
    from: Bordered,
    out_h: usize,
    out_w: usize,
    kh: usize,
    kw: usize,
    flipped: bool,
}

impl Convolution {
    /// `input_gradient`: from the output gradient to the input's.
    pub(in crate::exec::cpu) fn new(s: &Sizes, input_gradient: bool) -> Self {
        let Sizes { images, groups, kh, kw, .. } = *s;
        if input_gradient {
            let from = Bordered { h: s.out_h, w: s.out_w, border: kh - 1 - s.padding };
            Self { groups, images, ins: s.o, outs: s.c, from, out_h: s.h, out_w: s.w, kh, kw, flipped: true }
        } else {
            let from = Bordered { h: s.h, w: s.w, border: s.padding };
            Self { groups, images, ins: s.c, outs: s.o, from, out_h: s.out_h, out_w: s.out_w, kh, kw, flipped: false }
        }
    }

    fn bordered(&self) -> usize {
        self.from.len(self.out_w, self.kw)
    }

    /// Scratch elements that [`Convolution::image`] needs.
    pub(in crate::exec::cpu) fn per_thread(&self) -> usize {
        self.ins * self.bordered()
    }

    /// One group of one image: its planes, its filters and biases if any, and the rows written of each plane, of which
    /// `first` is the first.
    pub(in crate::exec::cpu) fn image<T: Scalar>(
        &self,
        x: &[T],
        filters: &[T],
        bias: Option<&[T]>,
        y: &mut [T],
        first: usize,
        scratch: &mut [T],
    ) {
        T::run(Image { conv: self, x, filters, bias, y, first, scratch: &mut scratch[..self.per_thread()] });
    }
}

impl<T: Scalar> Kernel<T> for Convolution {
    fn scratch(&self, threads: usize) -> usize {
        threads * self.per_thread()
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let threads = io.threads;
        let (x, weight) = (io.input(0), io.input(1));
        let bias = (io.inputs() == 3).then(|| io.input(2));
        let ([y], scratch) = io.write();
        let maps = Rows::new(y, self.outs * self.out_h * self.out_w);
        let (planes, filters) = (self.ins * self.from.h * self.from.w, self.ins * self.outs * self.kh * self.kw);
        for_each_task(scratch, self.per_thread(), threads, self.images * self.groups, |task, scratch| {
            let group = task % self.groups;
            let bias = bias.map(|bias| &bias[group * self.outs..][..self.outs]);
            #[expect(unsafe_code, reason = "tasks are handed out as threads become free")]
            // SAFETY: each task comes once and has maps of its own.
            let y = unsafe { maps.row(task) };
            self.image(&x[task * planes..][..planes], &weight[group * filters..][..filters], bias, y, 0, scratch);
        });
    }
}

struct Image<'a, T> {
    conv: &'a Convolution,
    x: &'a [T],
    filters: &'a [T],
    bias: Option<&'a [T]>,
    y: &'a mut [T],
    first: usize,
    scratch: &'a mut [T],
}

impl<T: Scalar> Job<T> for Image<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let conv = self.conv;
        let (from, taps) = (conv.from, conv.kh * conv.kw);
        let area = from.h * from.w;
        let stride = from.stride(conv.out_w, conv.kw);
        for (input, to) in self.scratch.chunks_exact_mut(conv.bordered()).enumerate() {
            from.copy(&self.x[input * area..][..area], to, stride);
        }
        let plane = self.y.len() / conv.outs;
        for (out, y) in self.y.chunks_exact_mut(plane).enumerate() {
            let bias = self.bias.map_or(T::ZERO, |bias| bias[out]);
            for (row, y) in (self.first..).zip(y.chunks_exact_mut(conv.out_w)) {
                for (part, y) in y.chunks_mut(LANES).enumerate() {
                    // Two sums: each addition waits for the one before.
                    let mut sums = [V::splat(bias), V::zero()];
                    for (input, plane) in self.scratch.chunks_exact(conv.bordered()).enumerate() {
                        let filter = match conv.flipped {
                            true => input * conv.outs + out,
                            false => out * conv.ins + input,
                        };
                        let filter = &self.filters[filter * taps..][..taps];
                        for i in 0..conv.kh {
                            let plane = &plane[(row + i) * stride + part * LANES..][..conv.kw + LANES];
                            for j in 0..conv.kw {
                                let tap = i * conv.kw + j;
                                let weight = filter[if conv.flipped { taps - 1 - tap } else { tap }];
                                let x: &Lanes<T> = plane[j..].first_chunk().expect("invariant: rows are padded");
                                sums[j % 2] = sums[j % 2].add_product(V::splat(weight), V::load(x));
                            }
                        }
                    }
                    let mut values = [T::ZERO; LANES];
                    sums[0].add(sums[1]).store(&mut values);
                    y.copy_from_slice(&values[..y.len()]);
                }
            }
        }
    }
}

/// The gradient of the weight: each image's, then their sum.
pub(in crate::exec::cpu) struct WeightGradient(pub(in crate::exec::cpu) Sizes);

impl WeightGradient {
    fn input(&self) -> Bordered {
        Bordered { h: self.0.h, w: self.0.w, border: self.0.padding }
    }

    fn output(&self) -> Bordered {
        Bordered { h: self.0.out_h, w: self.0.out_w, border: 0 }
    }

    fn inputs(&self) -> usize {
        self.input().len(self.0.out_w, self.0.kw)
    }

    fn outputs(&self) -> usize {
        self.output().len(self.0.out_w, 0)
    }

    /// Weights of a group.
    pub(in crate::exec::cpu) fn weights(&self) -> usize {
        self.0.o * self.0.filter()
    }

    /// Scratch elements that [`WeightGradient::image`] needs.
    pub(in crate::exec::cpu) fn per_thread(&self) -> usize {
        self.0.c * self.inputs() + self.outputs()
    }

    /// Scratch elements for the gradients of all images before they are summed.
    pub(in crate::exec::cpu) fn partial(&self) -> usize {
        self.0.images * self.0.groups * self.weights()
    }

    /// One group of one image: its output gradient, its planes and its part of the partial gradients.
    pub(in crate::exec::cpu) fn image<T: Scalar>(&self, dy: &[T], x: &[T], sums: &mut [T], scratch: &mut [T]) {
        T::run(WeightImage { gradient: self, dy, x, sums, scratch: &mut scratch[..self.per_thread()] });
    }

    /// The sum over images.
    pub(in crate::exec::cpu) fn join<T: Scalar>(&self, dw: &mut [T], partial: &[T]) {
        let (images, all) = (self.0.images, dw.len());
        dw.par_iter_mut().enumerate().for_each(|(at, dw)| {
            *dw = T::of((0..images).map(|image| partial[image * all + at].wide()).sum());
        });
    }
}

impl<T: Scalar> Kernel<T> for WeightGradient {
    fn scratch(&self, threads: usize) -> usize {
        self.partial() + threads * self.per_thread()
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let s = &self.0;
        let threads = io.threads;
        let (dy, x) = (io.input(0), io.input(1));
        let ([dw], mut scratch) = io.write();
        let sums = carve(&mut scratch, self.partial());
        let partial = Rows::new(sums, self.weights());
        let (outputs, inputs) = (s.o * s.out_area(), s.c * s.area());
        for_each_task(scratch, self.per_thread(), threads, s.images * s.groups, |task, scratch| {
            #[expect(unsafe_code, reason = "tasks are handed out as threads become free")]
            // SAFETY: each task comes once and has sums of its own.
            let sums = unsafe { partial.row(task) };
            self.image(&dy[task * outputs..][..outputs], &x[task * inputs..][..inputs], sums, scratch);
        });
        self.join(dw, sums);
    }
}

struct WeightImage<'a, T> {
    gradient: &'a WeightGradient,
    dy: &'a [T],
    x: &'a [T],
    sums: &'a mut [T],
    scratch: &'a mut [T],
}

impl<T: Scalar> Job<T> for WeightImage<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (g, s) = (self.gradient, &self.gradient.0);
        let (input, output) = (g.input(), g.output());
        let (in_stride, out_stride) = (input.stride(s.out_w, s.kw), output.stride(s.out_w, 0));
        let (planes, gradient) = self.scratch.split_at_mut(s.c * g.inputs());
        for (c, to) in planes.chunks_exact_mut(g.inputs()).enumerate() {
            input.copy(&self.x[c * s.area()..][..s.area()], to, in_stride);
        }
        for o in 0..s.o {
            let dy = &self.dy[o * s.out_area()..][..s.out_area()];
            output.copy(dy, gradient, out_stride);
            for (c, plane) in planes.chunks_exact(g.inputs()).enumerate() {
                for i in 0..s.kh {
                    for j in 0..s.kw {
                        let mut total = V::zero();
                        for (row, dy) in gradient.chunks_exact(out_stride).enumerate() {
                            let x = &plane[(row + i) * in_stride + j..][..s.out_w.next_multiple_of(LANES)];
                            for (dy, x) in dy.as_chunks().0.iter().zip(x.as_chunks().0) {
                                total = total.add_product(V::load(dy), V::load(x));
                            }
                        }
                        let mut values = [T::ZERO; LANES];
                        total.store(&mut values);
                        let mut sum = 0.0;
                        for value in values {
                            sum += value.wide();
                        }
                        self.sums[(o * s.c + c) * s.kh * s.kw + i * s.kw + j] = T::of(sum);
                    }
                }
            }
        }
    }
}
