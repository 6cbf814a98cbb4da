//! 3×3 convolution of stride 1, and its input gradient, by Winograd's minimal filtering.
//!
//! `Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A` for each M×M tile of outputs: S² products instead of 9·M² for a pair of channels;
//! over all channels they are S² matrix products. Vectors run over 16 channels: maps are transposed as they are read
//! and written, while they are small, so that the transforms need no shuffles.

use std::marker::PhantomData;

#[cfg_attr(target_family = "wasm", expect(unused_imports, reason = "the standard library has these methods too"))]
use crate::exec::cpu::parallel::*;

use super::{
    FEW_ROWS,
    products::{Blocked, multiply},
    rows::Rows,
    schemes::Scheme,
    tiles::{Parts, Tiles, read_rows},
};
use crate::exec::cpu::{
    Scalar,
    columns::{Column, columns},
    kernel::{Io, Kernel},
    simd::{Job, LANES, Lanes, Vector, load, store, transpose},
    tasks::{aligned, carve, for_each_task},
};

/// Blocks of output channels whose products are kept at once: as many as stay in the second-level cache.
const CHUNK: usize = 16;

/// A convolution, or the convolution with flipped filters that is its input gradient.
pub(super) struct Convolution<K, const S: usize, const M: usize> {
    tiles: Tiles,
    parts: Parts,
    flipped: bool,
    scheme: PhantomData<K>,
}

impl<K, const S: usize, const M: usize> Convolution<K, S, M> {
    pub(super) fn new(tiles: Tiles, flipped: bool) -> Self {
        let parts = Parts::new(tiles.out_blocks(), tiles.groups * tiles.blocks());
        Self { tiles, parts, flipped, scheme: PhantomData }
    }

    fn chunk(&self) -> usize {
        CHUNK.min(self.parts.each)
    }

    fn inputs(&self) -> usize {
        S * S * stride(&self.tiles, self.tiles.in_blocks()) * LANES
    }

    fn products(&self) -> usize {
        S * S * stride(&self.tiles, self.chunk()) * LANES
    }

    fn stage(&self) -> usize {
        S * self.tiles.columns(2) * LANES
    }

    fn per_thread(&self) -> usize {
        self.inputs() + self.products() + self.stage()
    }
}

/// Vectors between two of the S² points of transformed tiles. Not a power of two, so that the points of one tile
/// fall into different sets of the first-level cache.
pub(super) fn stride(tiles: &Tiles, blocks: usize) -> usize {
    blocks * tiles.padded() + 1
}

impl<T: Scalar, K: Scheme<T, S, M>, const S: usize, const M: usize> Kernel<T> for Convolution<K, S, M> {
    fn scratch(&self, threads: usize) -> usize {
        threads * self.per_thread() + LANES
    }

    /// The transformed filters.
    fn derived(&self) -> usize {
        S * S * self.tiles.groups * self.tiles.out_blocks() * self.tiles.in_blocks() * LANES * LANES
    }

    fn keeps_derived(&self) -> bool {
        self.tiles.rows * self.tiles.wide < FEW_ROWS
    }

    fn derive(&self, io: &Io<'_, T>, derived: &mut [T]) {
        let (t, weight) = (&self.tiles, io.input(1));
        let depth = t.in_blocks() * LANES;
        columns(derived, t.groups * t.out_blocks(), depth * LANES).enumerate().for_each(|(at, filters)| {
            T::run(Filters { conv: self, weight, group: at / t.out_blocks(), block: at % t.out_blocks(), filters });
        });
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let t = &self.tiles;
        let (threads, filters) = (io.threads, io.derived);
        let x = io.input(0);
        let bias = (io.inputs() == 3).then(|| io.input(2));
        let ([y], scratch) = io.write();
        let scratch = aligned(scratch);
        let rows = Rows::new(y, t.out_w);
        let parts = self.parts.count;
        for_each_task(scratch, self.per_thread(), threads, t.groups * t.blocks() * parts, |task, scratch| {
            let (group, block, part) = (task / parts / t.blocks(), task / parts % t.blocks(), task % parts);
            T::run(Block { conv: self, x, bias, filters, rows: &rows, group, block, part, scratch });
        });
    }
}

/// Transforms the filters of one group and 16 output channels.
struct Filters<'a, T, K, const S: usize, const M: usize> {
    conv: &'a Convolution<K, S, M>,
    weight: &'a [T],
    group: usize,
    block: usize,
    filters: Column<'a, T>,
}

impl<T: Scalar, K: Scheme<T, S, M>, const S: usize, const M: usize> Job<T> for Filters<'_, T, K, S, M> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(mut self) {
        let t = &self.conv.tiles;
        let first = self.block * LANES;
        let outs = t.o.saturating_sub(first).min(LANES);
        let mut taps = [[[T::ZERO; LANES]; 9]; LANES];
        for block in (0..t.c).step_by(LANES) {
            let ins = (t.c - block).min(LANES);
            if self.conv.flipped {
                let from = (self.group * t.c + block) * t.o + first.min(t.o);
                read_flipped::<T, V>(self.weight, from, t.o, [ins, outs], &mut taps);
            } else {
                let from = (self.group * t.o + first.min(t.o)) * t.c + block;
                read_across::<T, V>(self.weight, from, t.c, [outs, ins], taps.as_flattened_mut());
            }
            for (c, taps) in (block..t.c).zip(&taps) {
                let mut columns = [[V::zero(); S]; 3];
                for (j, column) in columns.iter_mut().enumerate() {
                    *column = K::filter(load::<T, V, 3>(&taps[j..], 3));
                }
                for (i, row) in transpose(&columns, V::zero()).into_iter().enumerate() {
                    let row: [V; S] = K::filter(row);
                    for (j, value) in row.into_iter().enumerate() {
                        value.store(&mut self.filters.row(i * S + j).as_chunks_mut().0[c]);
                    }
                }
            }
        }
        for point in 0..S * S {
            self.filters.row(point)[t.c * LANES..].fill(T::ZERO);
        }
    }
}

/// Reads `rows` rows of `across` filters of 9 taps, both up to 16: `taps[filter·9 + tap][row]`, zeros where there are
/// none. Rows stand `step` filters apart, the first at filter `from`.
#[inline(always)]
fn read_across<T: Scalar, V: Vector<T>>(
    weight: &[T],
    from: usize,
    step: usize,
    [rows, across]: [usize; 2],
    taps: &mut [Lanes<T>],
) {
    for (j, taps) in taps.chunks_exact_mut(LANES).enumerate() {
        let mut vectors = [V::zero(); LANES];
        for (row, vector) in vectors.iter_mut().take(rows).enumerate() {
            let row = &weight[(from + row * step) * 9..][..across * 9];
            let row = &row[(j * LANES).min(row.len())..];
            if let Some(lanes) = row.first_chunk() {
                *vector = V::load(lanes);
            } else {
                let mut lanes = [T::ZERO; LANES];
                lanes[..row.len()].copy_from_slice(row);
                *vector = V::load(&lanes);
            }
        }
        for (tap, vector) in taps.iter_mut().zip(V::transpose(vectors)) {
            vector.store(tap);
        }
    }
}

/// The same with rows and filters exchanged, and each filter turned by half: `taps[row][8 − tap][filter]`.
#[inline(always)]
fn read_flipped<T: Scalar, V: Vector<T>>(
    weight: &[T],
    from: usize,
    step: usize,
    [rows, across]: [usize; 2],
    taps: &mut [[Lanes<T>; 9]; LANES],
) {
    let mut rotated = [[T::ZERO; LANES]; 9 * LANES];
    read_across::<T, V>(weight, from, step, [rows, across], &mut rotated);
    for tap in 0..9 {
        let vectors = load::<T, V, LANES>(&rotated[tap..], 9);
        for (taps, vector) in taps.iter_mut().zip(V::transpose(vectors)) {
            vector.store(&mut taps[8 - tap]);
        }
    }
}

/// Computes a part of one group's outputs of one block of tiles.
struct Block<'a, T, K, const S: usize, const M: usize> {
    conv: &'a Convolution<K, S, M>,
    x: &'a [T],
    bias: Option<&'a [T]>,
    /// `[S², groups, output blocks, input channels, 16]`.
    filters: &'a [T],
    rows: &'a Rows<'a, T>,
    group: usize,
    block: usize,
    part: usize,
    scratch: &'a mut [T],
}

impl<T: Scalar, K: Scheme<T, S, M>, const S: usize, const M: usize> Job<T> for Block<'_, T, K, S, M> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (conv, t) = (self.conv, &self.conv.tiles);
        let mut scratch = self.scratch;
        let inputs = carve(&mut scratch, conv.inputs()).as_chunks_mut().0;
        let products = carve(&mut scratch, conv.products()).as_chunks_mut().0;
        let stage = scratch[..conv.stage()].as_chunks_mut().0;
        let area = t.h * t.w;
        for (block, first) in (0..t.c).step_by(LANES).enumerate() {
            for row in t.rows_of(self.block) {
                let planes = &self.x[((row.image * t.groups + self.group) * t.c + first) * area..];
                let planes = &planes[..LANES.min(t.c - first) * area];
                let to = &mut inputs[block * t.padded() + row.tile..];
                read_rows::<T, V>(stage, t.columns(2), planes, [t.h, t.w], row.y, t.padding);
                transform_inputs::<T, V, K, S, M>(stage, t, to, stride(t, t.in_blocks()));
            }
        }
        // An odd number of channel blocks leaves one that products skip, for its filters are not there.
        let used = t.c.div_ceil(LANES);
        let all = self.filters.as_chunks().0;
        let end = t.out_blocks().min((self.part + 1) * conv.parts.each);
        for chunk in (self.part * conv.parts.each..end).step_by(conv.chunk()) {
            let blocks = conv.chunk().min(end - chunk);
            for point in 0..S * S {
                let depth = t.in_blocks() * LANES;
                let at = |point: usize| ((point * t.groups + self.group) * t.out_blocks() + chunk) * depth;
                let filters = &all[at(point)..][..blocks * depth];
                let next = all.get(at(point + 1)..).unwrap_or_default();
                let next = &next[..next.len().min(BLOCKS * depth)];
                let from = Blocked { blocks: used, rows: t.count(self.block), step: t.padded() };
                let to = Blocked { blocks, ..from };
                let inputs = &inputs[point * stride(t, t.in_blocks())..];
                let products = &mut products[point * stride(t, conv.chunk())..];
                multiply::<T, V, ROWS, FEW, BLOCKS>(inputs, from, filters, depth, products, to, next);
            }
            for block in 0..blocks {
                let first = (chunk + block) * LANES;
                if first >= t.o {
                    continue;
                }
                let mut bias = [T::ZERO; LANES];
                if let Some(values) = self.bias {
                    let values = &values[self.group * t.o + first..][..LANES.min(t.o - first)];
                    bias[..values.len()].copy_from_slice(values);
                }
                for row in t.rows_of(self.block) {
                    let from = &products[block * t.padded() + row.tile..];
                    transform_outputs::<T, V, K, S, M>(from, stride(t, conv.chunk()), &bias, t, stage);
                    let plane = (row.image * t.groups + self.group) * t.o + first;
                    write_rows::<T, V>(stage, t, plane, LANES.min(t.o - first), row.y, self.rows);
                }
            }
        }
    }
}

/// `Bᵀ d B` of each tile of a tile row; the S² points of a tile stand `stride` vectors apart.
#[inline(always)]
pub(super) fn transform_inputs<T: Scalar, V: Vector<T>, K: Scheme<T, S, M>, const S: usize, const M: usize>(
    stage: &mut [Lanes<T>],
    tiles: &Tiles,
    to: &mut [Lanes<T>],
    stride: usize,
) {
    let columns = tiles.columns(2);
    for column in 0..columns {
        let x: [V; S] = load(&stage[column..], columns);
        store::<T, V, S>(K::input(x), &mut stage[column..], columns);
    }
    for tile in 0..tiles.wide {
        for i in 0..S {
            let x: [V; S] = load(&stage[i * columns + tile * M..], 1);
            store::<T, V, S>(K::input(x), &mut to[i * S * stride + tile..], stride);
        }
    }
}

/// `Aᵀ m A` plus the bias of each tile of a tile row.
#[inline(always)]
fn transform_outputs<T: Scalar, V: Vector<T>, K: Scheme<T, S, M>, const S: usize, const M: usize>(
    from: &[Lanes<T>],
    stride: usize,
    bias: &Lanes<T>,
    tiles: &Tiles,
    stage: &mut [Lanes<T>],
) {
    let columns = tiles.columns(0);
    let bias = V::load(bias);
    for tile in 0..tiles.wide {
        let mut rows = [[V::zero(); M]; S];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = K::output(load::<T, V, S>(&from[i * S * stride + tile..], stride));
        }
        for (j, column) in transpose(&rows, V::zero()).into_iter().enumerate() {
            let mut outputs: [V; M] = K::output(column);
            for output in &mut outputs {
                *output = output.add(bias);
            }
            store(outputs, &mut stage[tile * M + j..], columns);
        }
    }
}

/// Writes a tile row's outputs, vectors over channels, to the channels' planes from `plane` on.
#[inline(always)]
fn write_rows<T: Scalar, V: Vector<T>>(
    stage: &[Lanes<T>],
    tiles: &Tiles,
    plane: usize,
    channels: usize,
    y: usize,
    rows: &Rows<'_, T>,
) {
    let columns = tiles.columns(0);
    for (i, stage) in stage.chunks_exact(columns).take(tiles.side.min(tiles.out_h - y)).enumerate() {
        for first in (0..tiles.out_w).step_by(LANES) {
            let mut block = [V::zero(); LANES];
            for (to, from) in block.iter_mut().zip(&stage[first..]) {
                *to = V::load(from);
            }
            let block = V::transpose(block);
            let wide = LANES.min(tiles.out_w - first);
            for channel in 0..channels {
                #[expect(unsafe_code, reason = "tasks write different rows of the same planes")]
                // SAFETY: a task has its own group, channels and tile rows, hence its own rows; one at a time.
                let row = unsafe { rows.row((plane + channel) * tiles.out_h + y + i) };
                if let Some(to) = row[first..].first_chunk_mut() {
                    block[channel].store(to);
                } else {
                    let mut values = [T::ZERO; LANES];
                    block[channel].store(&mut values);
                    row[first..].copy_from_slice(&values[..wide]);
                }
            }
        }
    }
}
