//! The weight gradient of a 3×3 convolution of stride 1 by Winograd's minimal filtering.
//!
//! The adjoint of the convolution in its filters: `dg = Gᵀ[Σ_tiles (A dY Aᵀ) ⊙ (Bᵀ d B)]G`. The sums over tiles are
//! matrix products; a fixed number of tasks sums parts of them, which are added in a fixed order.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::{
    products::{Blocked, accumulate},
    rows::Rows,
    schemes::Scheme,
    tiles::{Tiles, read_rows},
    winograd::{stride, transform_inputs},
};
use crate::exec::cpu::{
    Scalar,
    kernel::{Io, Kernel},
    simd::{Job, LANES, Lanes, Vector, load, store, transpose},
    tasks::{aligned, carve, for_each_task},
};

/// Elements of a pair of channels' sums that one task keeps, at each of the S² points.
const PAIRS: usize = 65_536;

/// Tasks that there should be at least.
const TASKS: usize = 16;

/// The weight gradient.
pub(super) struct WeightGradient<K, const S: usize, const M: usize> {
    tiles: Tiles,
    /// Blocks of 16 output channels of a task.
    chunk: usize,
    /// Tasks that share the tiles of one group and chunk.
    parts: usize,
    scheme: PhantomData<K>,
}

impl<K, const S: usize, const M: usize> WeightGradient<K, S, M> {
    pub(super) fn new(tiles: Tiles) -> Self {
        let blocks = tiles.o.div_ceil(LANES);
        let chunks = (blocks * LANES * tiles.in_blocks() * LANES).div_ceil(PAIRS).min(blocks);
        let chunk = blocks.div_ceil(chunks);
        let parts = TASKS.div_ceil(tiles.groups * blocks.div_ceil(chunk)).min(tiles.blocks());
        Self { tiles, chunk, parts, scheme: PhantomData }
    }

    fn chunks(&self) -> usize {
        self.tiles.o.div_ceil(LANES).div_ceil(self.chunk)
    }

    /// Elements of a task's sums: [S², input blocks, output channels of the chunk, 16].
    fn sums(&self) -> usize {
        S * S * self.point()
    }

    fn point(&self) -> usize {
        self.tiles.in_blocks() * self.chunk * LANES * LANES
    }

    fn tasks(&self) -> usize {
        self.tiles.groups * self.chunks() * self.parts
    }

    fn inputs(&self) -> usize {
        S * S * stride(&self.tiles, self.tiles.in_blocks()) * LANES
    }

    fn outputs(&self) -> usize {
        S * S * stride(&self.tiles, self.chunk) * LANES
    }

    fn stage(&self) -> usize {
        S * self.tiles.columns(2) * LANES
    }

    fn per_thread(&self) -> usize {
        self.inputs() + self.outputs() + self.stage()
    }
}

impl<T: Scalar, K: Scheme<T, S, M>, const S: usize, const M: usize> Kernel<T> for WeightGradient<K, S, M> {
    fn scratch(&self, threads: usize) -> usize {
        self.tasks() * self.sums() + threads * self.per_thread() + LANES
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let threads = io.threads;
        let (dy, x) = (io.input(0), io.input(1));
        let ([dw], scratch) = io.write();
        let mut scratch = aligned(scratch);
        let sums = carve(&mut scratch, self.tasks() * self.sums());
        let partial = Rows::new(sums, self.sums());
        for_each_task(scratch, self.per_thread(), threads, self.tasks(), |task, scratch| {
            #[expect(unsafe_code, reason = "tasks are handed out as threads become free")]
            // SAFETY: each task comes once and has sums of its own.
            let sums = unsafe { partial.row(task) };
            T::run(Part { gradient: self, dy, x, task, sums, scratch });
        });
        let sums = &*sums;
        dw.par_chunks_mut(self.tiles.c * 9).enumerate().for_each(|(row, dw)| {
            T::run(Finish { gradient: self, sums, row, dw });
        });
    }
}

/// Sums one group's, chunk's and part's tiles.
struct Part<'a, T, K, const S: usize, const M: usize> {
    gradient: &'a WeightGradient<K, S, M>,
    dy: &'a [T],
    x: &'a [T],
    task: usize,
    sums: &'a mut [T],
    scratch: &'a mut [T],
}

impl<T: Scalar, K: Scheme<T, S, M>, const S: usize, const M: usize> Job<T> for Part<'_, T, K, S, M> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (g, t) = (self.gradient, &self.gradient.tiles);
        let (unit, part) = (self.task / g.parts, self.task % g.parts);
        let (group, chunk) = (unit / g.chunks(), unit % g.chunks());
        let mut scratch = self.scratch;
        let inputs = carve(&mut scratch, g.inputs()).as_chunks_mut().0;
        let outputs = carve(&mut scratch, g.outputs()).as_chunks_mut().0;
        let stage = scratch[..g.stage()].as_chunks_mut().0;
        let (area, out_area) = (t.h * t.w, t.out_h * t.out_w);
        let (in_stride, out_stride) = (stride(t, t.in_blocks()), stride(t, g.chunk));
        let first_o = chunk * g.chunk * LANES;
        let blocks = g.chunk.min((t.o - first_o).div_ceil(LANES));
        self.sums.fill(T::ZERO);
        for block in t.blocks() * part / g.parts..t.blocks() * (part + 1) / g.parts {
            for row in t.rows_of(block) {
                for at in 0..t.in_blocks() {
                    let channels = t.c.saturating_sub(at * LANES).min(LANES);
                    let first = (row.image * t.groups + group) * t.c + (at * LANES).min(t.c);
                    let planes = &self.x[first * area..][..channels * area];
                    read_rows::<T, V>(stage, t.columns(2), planes, [t.h, t.w], row.y, t.padding);
                    let to = &mut inputs[at * t.padded() + row.tile..];
                    transform_inputs::<T, V, K, S, M>(stage, t, to, in_stride);
                }
                for at in 0..blocks {
                    let o = first_o + at * LANES;
                    let planes = &self.dy[((row.image * t.groups + group) * t.o + o) * out_area..];
                    let planes = &planes[..LANES.min(t.o - o) * out_area];
                    read_rows::<T, V>(
                        &mut stage[..M * t.columns(0)],
                        t.columns(0),
                        planes,
                        [t.out_h, t.out_w],
                        row.y,
                        0,
                    );
                    let to = &mut outputs[at * t.padded() + row.tile..];
                    transform_gradients::<T, V, K, S, M>(stage, t, to, out_stride);
                }
            }
            for point in 0..S * S {
                let inputs = &inputs[point * in_stride..];
                let outputs = &outputs[point * out_stride..];
                let sums = self.sums[point * g.point()..][..g.point()].as_chunks_mut::<LANES>().0;
                let left = Blocked { blocks, rows: t.count(block), step: t.padded() };
                let right = Blocked { blocks: t.in_blocks(), ..left };
                accumulate::<T, V, FEW, BLOCKS>(outputs, left, inputs, right, sums, g.chunk * LANES);
            }
        }
    }
}

/// `A dY Aᵀ` of each tile of a tile row.
#[inline(always)]
fn transform_gradients<T: Scalar, V: Vector<T>, K: Scheme<T, S, M>, const S: usize, const M: usize>(
    stage: &mut [Lanes<T>],
    tiles: &Tiles,
    to: &mut [Lanes<T>],
    stride: usize,
) {
    let columns = tiles.columns(0);
    for tile in 0..tiles.wide {
        let mut parts = [[V::zero(); S]; M];
        for (j, part) in parts.iter_mut().enumerate() {
            *part = K::output_adjoint(load::<T, V, M>(&stage[tile * M + j..], columns));
        }
        for (i, row) in transpose(&parts, V::zero()).into_iter().enumerate() {
            store::<T, V, S>(K::output_adjoint(row), &mut to[i * S * stride + tile..], stride);
        }
    }
}

/// Adds the parts of one output channel and transforms them back to filters.
struct Finish<'a, T, K, const S: usize, const M: usize> {
    gradient: &'a WeightGradient<K, S, M>,
    sums: &'a [T],
    row: usize,
    dw: &'a mut [T],
}

impl<T: Scalar, K: Scheme<T, S, M>, const S: usize, const M: usize> Job<T> for Finish<'_, T, K, S, M> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (g, t) = (self.gradient, &self.gradient.tiles);
        let (group, o) = (self.row / t.o, self.row % t.o);
        let (chunk, o) = (o / (g.chunk * LANES), o % (g.chunk * LANES));
        let first = (group * g.chunks() + chunk) * g.parts;
        for (block, dw) in self.dw.chunks_mut(LANES * 9).enumerate() {
            let at = (block * g.chunk * LANES + o) * LANES;
            let mut columns = [[V::zero(); 3]; S];
            for (j, column) in columns.iter_mut().enumerate() {
                let mut total = [V::zero(); S];
                for part in 0..g.parts {
                    let sums = self.sums[(first + part) * g.sums() + j * g.point() + at..].as_chunks().0;
                    for (total, next) in total.iter_mut().zip(load::<T, V, S>(sums, S * g.point() / LANES)) {
                        *total = total.add(next);
                    }
                }
                *column = K::filter_adjoint(total);
            }
            let mut taps = [[T::ZERO; LANES]; 9];
            for (i, row) in transpose(&columns, V::zero()).into_iter().enumerate() {
                store::<T, V, 3>(K::filter_adjoint(row), &mut taps[i * 3..], 1);
            }
            for (lane, dw) in dw.as_chunks_mut::<9>().0.iter_mut().enumerate() {
                for (dw, tap) in dw.iter_mut().zip(&taps) {
                    *dw = tap[lane];
                }
            }
        }
    }
}
