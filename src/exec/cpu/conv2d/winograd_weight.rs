//! The weight gradient of a 3×3 convolution of stride 1 by Winograd's minimal filtering.
//!
//! The adjoint of the convolution in its filters: `dg = Gᵀ[Σ_tiles (A dY Aᵀ) ⊙ (Bᵀ d B)]G`. The sums over tiles are
//! matrix products; a fixed number of tasks sums parts of them, which are added in a fixed order. Where the tiles are
//! so few that a task has all of them at once, its sums are whole, and go back to filters while they are in the cache.

use std::marker::PhantomData;

use crate::exec::cpu::parallel::*;

use super::{
    products::{Blocked, accumulate, multiply_transposed},
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

/// The same where each of them has all tiles of a group: each transforms all of its inputs.
const WHOLE_TASKS: usize = 8;

/// Tiles up to which a task takes all of a group's at once: the sums of more than one block of tiles would go through
/// memory, which takes longer than products of so few terms.
const WHOLE_TILES: usize = 64;

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
    pub(super) fn new(mut tiles: Tiles) -> Self {
        if tiles.rows * tiles.wide <= WHOLE_TILES {
            tiles.per_block = tiles.rows;
        }
        let blocks = tiles.o.div_ceil(LANES);
        let chunks = match tiles.blocks() {
            1 => WHOLE_TASKS.div_ceil(tiles.groups),
            _ => (blocks * LANES * tiles.in_blocks() * LANES).div_ceil(PAIRS),
        };
        let chunk = blocks.div_ceil(chunks.min(blocks));
        let parts = TASKS.div_ceil(tiles.groups * blocks.div_ceil(chunk)).min(tiles.blocks());
        Self { tiles, chunk, parts, scheme: PhantomData }
    }

    fn chunks(&self) -> usize {
        self.tiles.o.div_ceil(LANES).div_ceil(self.chunk)
    }

    /// Whether a task has all tiles of a group at once.
    fn is_whole(&self) -> bool {
        self.tiles.blocks() == 1
    }

    /// Elements of a task's sums: `[S², input blocks, output channels of the chunk, 16]`.
    fn sums(&self) -> usize {
        if self.is_whole() { 0 } else { S * S * self.point() }
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

    /// A tile row's inputs, later the sums `[S², input blocks, 16, 16]` of a few blocks.
    fn stage(&self) -> usize {
        let sums = if self.is_whole() { S * S * MOST_BLOCKS * LANES } else { 0 };
        (S * self.tiles.columns(2)).max(sums) * LANES
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
        if self.is_whole() {
            let filters = Rows::new(dw, self.tiles.c * 9);
            for_each_task(scratch, self.per_thread(), threads, self.tasks(), |task, scratch| {
                T::run(Whole { gradient: self, dy, x, task, filters: &filters, scratch });
            });
            return;
        }
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

impl<K, const S: usize, const M: usize> WeightGradient<K, S, M> {
    /// Blocks of output channels that a chunk has.
    fn blocks_of(&self, chunk: usize) -> usize {
        self.chunk.min((self.tiles.o - chunk * self.chunk * LANES).div_ceil(LANES))
    }

    /// Transforms the inputs and output gradients of a group's and chunk's block of tiles.
    #[inline(always)]
    fn transform<T: Scalar, V: Vector<T>>(
        &self,
        dy: &[T],
        x: &[T],
        [group, chunk, block]: [usize; 3],
        inputs: &mut [Lanes<T>],
        outputs: &mut [Lanes<T>],
        stage: &mut [Lanes<T>],
    ) where
        K: Scheme<T, S, M>,
    {
        let t = &self.tiles;
        let (area, out_area) = (t.h * t.w, t.out_h * t.out_w);
        let (in_stride, out_stride) = (stride(t, t.in_blocks()), stride(t, self.chunk));
        let stage = &mut stage[..S * t.columns(2)];
        for row in t.rows_of(block) {
            for at in 0..t.in_blocks() {
                let channels = t.c.saturating_sub(at * LANES).min(LANES);
                let first = (row.image * t.groups + group) * t.c + (at * LANES).min(t.c);
                let planes = &x[first * area..][..channels * area];
                read_rows::<T, V>(stage, t.columns(2), planes, [t.h, t.w], row.y, t.padding);
                let to = &mut inputs[at * t.padded() + row.tile..];
                transform_inputs::<T, V, K, S, M>(stage, t, to, in_stride);
            }
            for at in 0..self.blocks_of(chunk) {
                let o = (chunk * self.chunk + at) * LANES;
                let planes = &dy[((row.image * t.groups + group) * t.o + o) * out_area..];
                let planes = &planes[..LANES.min(t.o - o) * out_area];
                let stage = &mut stage[..M * t.columns(0)];
                read_rows::<T, V>(stage, t.columns(0), planes, [t.out_h, t.out_w], row.y, 0);
                let to = &mut outputs[at * t.padded() + row.tile..];
                transform_gradients::<T, V, K, S, M>(stage, t, to, out_stride);
            }
        }
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
        let (in_stride, out_stride) = (stride(t, t.in_blocks()), stride(t, g.chunk));
        let blocks = g.blocks_of(chunk);
        self.sums.fill(T::ZERO);
        for block in t.blocks() * part / g.parts..t.blocks() * (part + 1) / g.parts {
            g.transform::<T, V>(self.dy, self.x, [group, chunk, block], inputs, outputs, stage);
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
            let column = |j: usize| {
                let mut total = [V::zero(); S];
                for part in 0..g.parts {
                    let sums = self.sums[(first + part) * g.sums() + j * g.point() + at..].as_chunks().0;
                    for (total, next) in total.iter_mut().zip(load::<T, V, S>(sums, S * g.point() / LANES)) {
                        *total = total.add(next);
                    }
                }
                total
            };
            to_filters::<T, V, K, S, M>(column, dw);
        }
    }
}

/// `Gᵀ m G` of the sums of an output channel and up to 16 input channels, given by columns.
#[inline(always)]
fn to_filters<T: Scalar, V: Vector<T>, K: Scheme<T, S, M>, const S: usize, const M: usize>(
    column: impl Fn(usize) -> [V; S],
    dw: &mut [T],
) {
    let mut columns = [[V::zero(); 3]; S];
    for (j, to) in columns.iter_mut().enumerate() {
        *to = K::filter_adjoint(column(j));
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

/// Input blocks whose sums a task with all tiles keeps at most: as many as a matrix product takes at once.
const MOST_BLOCKS: usize = 2;

/// The filters of one group and chunk.
struct Whole<'a, T, K, const S: usize, const M: usize> {
    gradient: &'a WeightGradient<K, S, M>,
    dy: &'a [T],
    x: &'a [T],
    task: usize,
    /// Each output channel's.
    filters: &'a Rows<'a, T>,
    scratch: &'a mut [T],
}

impl<T: Scalar, K: Scheme<T, S, M>, const S: usize, const M: usize> Job<T> for Whole<'_, T, K, S, M> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        const { assert!(BLOCKS <= MOST_BLOCKS) }
        let (g, t) = (self.gradient, &self.gradient.tiles);
        let (group, chunk) = (self.task / g.chunks(), self.task % g.chunks());
        let mut scratch = self.scratch;
        let inputs = carve(&mut scratch, g.inputs()).as_chunks_mut().0;
        let outputs = carve(&mut scratch, g.outputs()).as_chunks_mut().0;
        let stage = scratch[..g.stage()].as_chunks_mut().0;
        g.transform::<T, V>(self.dy, self.x, [group, chunk, 0], inputs, outputs, stage);
        let (in_stride, out_stride) = (stride(t, t.in_blocks()), stride(t, g.chunk));
        let tiles = t.count(0);
        // The inputs of a few channels stay in the cache while those of all outputs pass by.
        for first in (0..t.c.div_ceil(LANES)).step_by(BLOCKS) {
            for block in 0..g.blocks_of(chunk) {
                for (point, sums) in stage.chunks_exact_mut(BLOCKS * LANES).take(S * S).enumerate() {
                    let outputs = &outputs[point * out_stride + block * t.padded()..][..tiles];
                    let inputs = &inputs[point * in_stride + first * t.padded()..];
                    multiply_transposed::<T, V, FEW, BLOCKS>(outputs, inputs, t.padded(), sums);
                }
                let first_o = (chunk * g.chunk + block) * LANES;
                for o in 0..LANES.min(t.o - first_o) {
                    #[expect(unsafe_code, reason = "tasks write different rows of the filters")]
                    // SAFETY: a task has its own group and output channels, hence its own rows; one at a time.
                    let dw = unsafe { self.filters.row(group * t.o + first_o + o) };
                    for (j, dw) in dw.chunks_mut(LANES * 9).skip(first).take(BLOCKS).enumerate() {
                        let column = |i: usize| load(&stage[(i * BLOCKS + j) * LANES + o..], S * BLOCKS * LANES);
                        to_filters::<T, V, K, S, M>(column, dw);
                    }
                }
            }
        }
    }
}
