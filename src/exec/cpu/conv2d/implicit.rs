//! Convolution of stride 1 as matrix products whose left side is read from the maps in place.
//!
//! Under each element of a filter, a tile of outputs sees a tile of a map. The sums of a tile's outputs over a pair of
//! blocks of output channels stay in registers for a run of maps, whose filters stay in the first-level cache until all
//! tiles have had them.

use std::{ops::Range, slice::Chunks};

use crate::exec::cpu::parallel::*;

use super::{FEW_ROWS, Sizes, direct::Bordered, rows::Rows, unfold::arrange};
use crate::exec::cpu::{
    Scalar,
    kernel::{Io, Kernel},
    simd::{Job, LANES, Lanes, Vector, add_outer, prefetch},
    tasks::{aligned, carve, for_each_task},
};

/// Columns of a tile, where an instruction set has the registers.
const SIDE: usize = 6;

/// Rows of a tile at most.
const HIGH: usize = 2;

/// Blocks of 16 output channels of a task, an even number.
const BLOCKS_OF_TASK: usize = 8;

/// Outputs of a channel that a task should have: so many that its sums stay in the second-level cache.
const OUTPUTS: usize = 256;

/// Bytes of filters that all tiles use one after another: a third of the first-level cache, where the next ones and the
/// maps are too.
const FILTERS_AT_ONCE: usize = 16384;

/// The convolution.
pub(super) struct Forward {
    s: Sizes,
    /// The maps, with the zeros around them.
    maps: Bordered,
    /// Bands of output rows of an image.
    bands: usize,
    /// Where each element of a filter sees a map, from where the first one does.
    taps: Vec<usize>,
}

impl Forward {
    /// If tiles fit into the outputs.
    pub(super) fn new(s: Sizes) -> Option<Self> {
        let maps = Bordered { h: s.h, w: s.w, border: s.padding };
        let per_band = (OUTPUTS / s.out_w).next_multiple_of(HIGH).max(HIGH);
        // Tiles at the edges overlap others: what they compute twice should be little.
        let computed = s.out_h.next_multiple_of(HIGH) * s.out_w.next_multiple_of(SIDE);
        let fits = s.stride == 1 && s.out_h >= HIGH && s.out_w >= SIDE && 2 * computed <= 3 * s.out_area();
        let row = s.w + 2 * s.padding;
        let taps = (0..s.kh).flat_map(|i| (0..s.kw).map(move |j| i * row + j)).collect();
        fits.then(|| Self { s, maps, bands: (s.out_h / per_band).max(1), taps })
    }

    /// Blocks of 16 output channels of a group, an even number.
    fn blocks(&self) -> usize {
        self.s.o.div_ceil(LANES).next_multiple_of(2)
    }

    /// Tasks that share a group's output channels.
    fn parts(&self) -> usize {
        self.blocks().div_ceil(BLOCKS_OF_TASK)
    }

    /// The rows of a band: at least [`HIGH`].
    fn band(&self, band: usize) -> Range<usize> {
        self.s.out_h * band / self.bands..self.s.out_h * (band + 1) / self.bands
    }

    /// A row of a map with its border.
    fn row(&self) -> usize {
        self.s.w + 2 * self.s.padding
    }

    /// A map with its border.
    fn map(&self) -> usize {
        (self.s.h + 2 * self.s.padding) * self.row()
    }

    /// The maps of all images, where they have a border.
    fn bordered(&self) -> usize {
        if self.s.padding == 0 { 0 } else { self.s.images * self.s.groups * self.s.c * self.map() }
    }

    /// Outputs of a channel in a band, padded.
    fn padded(&self) -> usize {
        (self.s.out_h.div_ceil(self.bands) * self.s.out_w).next_multiple_of(LANES)
    }

    /// Vectors for the sums of all tiles of a band until their last maps.
    fn partial(&self) -> usize {
        2 * self.s.out_h.div_ceil(self.bands).next_multiple_of(HIGH) * self.s.out_w.next_multiple_of(SIDE)
    }

    fn per_thread(&self) -> usize {
        (BLOCKS_OF_TASK.min(self.blocks()) * self.padded() + self.partial()) * LANES
    }
}

impl<T: Scalar> Kernel<T> for Forward {
    fn scratch(&self, threads: usize) -> usize {
        self.bordered().next_multiple_of(LANES) + threads * self.per_thread() + LANES
    }

    fn derived(&self) -> usize {
        self.s.groups * self.blocks() * self.s.filter() * LANES
    }

    fn keeps_derived(&self) -> bool {
        self.s.images * self.s.out_area() < FEW_ROWS
    }

    fn derive(&self, io: &Io<'_, T>, derived: &mut [T]) {
        let s = &self.s;
        let sizes = [s.groups, self.blocks(), s.filter()];
        arrange(derived, io.input(1), sizes, [s.filter(), s.o], |group, k, o| (group * s.o + o) * s.filter() + k);
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let s = &self.s;
        let (threads, filters) = (io.threads, io.derived);
        let x = io.input(0);
        let bias = (io.inputs() == 3).then(|| io.input(2));
        let ([y], scratch) = io.write();
        let mut scratch = aligned(scratch);
        let bordered = carve(&mut scratch, self.bordered().next_multiple_of(LANES));
        let x = if s.padding == 0 {
            x
        } else {
            let groups = bordered.par_chunks_exact_mut(s.c * self.map()).zip(x.par_chunks(s.c * s.area()));
            groups.for_each(|(to, from)| {
                for (to, from) in to.chunks_exact_mut(self.map()).zip(from.chunks_exact(s.area())) {
                    self.maps.copy(from, to, self.row());
                }
            });
            bordered
        };
        let rows = Rows::new(y, s.out_w);
        let tasks = s.images * s.groups * self.bands * self.parts();
        for_each_task(scratch, self.per_thread(), threads, tasks, |task, sums| {
            let (task, part) = (task / self.parts(), task % self.parts());
            let blocks = part * BLOCKS_OF_TASK..self.blocks().min((part + 1) * BLOCKS_OF_TASK);
            let (maps, band) = (task / self.bands, self.band(task % self.bands));
            T::run(Band { conv: self, x, bias, filters, rows: &rows, maps, band, blocks, sums });
        });
    }
}

/// Computes some blocks of output channels of some rows.
struct Band<'a, T> {
    conv: &'a Forward,
    x: &'a [T],
    bias: Option<&'a [T]>,
    /// [groups, blocks of output channels, elements of a filter, 16].
    filters: &'a [T],
    rows: &'a Rows<'a, T>,
    /// The image's group.
    maps: usize,
    band: Range<usize>,
    /// Blocks of 16 output channels.
    blocks: Range<usize>,
    sums: &'a mut [T],
}

impl<T: Scalar> Job<T> for Band<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (conv, s) = (self.conv, &self.conv.s);
        let group = self.maps % s.groups;
        let maps = &self.x[self.maps * s.c * conv.map()..][..s.c * conv.map()];
        let filters = &self.filters.as_chunks().0[group * conv.blocks() * s.filter()..];
        let mut scratch = self.sums;
        let partial = carve(&mut scratch, conv.partial() * LANES).as_chunks_mut().0;
        let sums = scratch.as_chunks_mut().0;
        let (wide, high) = (SIDE.min(ROWS), ROWS.div_ceil(SIDE));
        let height = self.band.len();
        let first = self.blocks.start;
        let tiles = height.div_ceil(high) * s.out_w.div_ceil(wide);
        let taps = conv.taps.len();
        let run = s.c.div_ceil((s.c * BLOCKS * taps * size_of::<Lanes<T>>()).div_ceil(FILTERS_AT_ONCE));
        for block in self.blocks.clone().step_by(BLOCKS) {
            for c in (0..s.c).step_by(run) {
                let run = run.min(s.c - c);
                let last = c + run == s.c;
                let next = if last { (block + BLOCKS) * s.filter() } else { block * s.filter() + (c + run) * taps };
                let mut columns: [&[Lanes<T>]; BLOCKS] = [&[]; BLOCKS];
                let mut ahead: [Chunks<'_, Lanes<T>>; BLOCKS] = std::array::from_fn(|_| [].chunks(1));
                for (j, (columns, ahead)) in columns.iter_mut().zip(&mut ahead).enumerate() {
                    *columns = &filters[(block + j) * s.filter() + c * taps..][..run * taps];
                    let next = filters.get(next + j * s.filter()..).unwrap_or_default();
                    *ahead = next[..next.len().min(run * taps)].chunks(taps.div_ceil(tiles));
                }
                let maps = &maps[c * conv.map()..(c + run) * conv.map()];
                let mut partial = partial.chunks_exact_mut(ROWS * BLOCKS);
                // Tiles at the edges overlap the ones before.
                for y in (0..height).step_by(high) {
                    let y = y.min(height - high);
                    for x in (0..s.out_w).step_by(wide) {
                        let x = x.min(s.out_w - wide);
                        let partial = partial.next().expect("invariant: there is room for all tiles");
                        let mut acc = [[V::zero(); BLOCKS]; ROWS];
                        if c > 0 {
                            for (acc, partial) in acc.as_flattened_mut().iter_mut().zip(&*partial) {
                                *acc = V::load(partial);
                            }
                        }
                        let at = (self.band.start + y) * conv.row() + x;
                        let acc = conv.tile(acc, maps, at, columns, &mut ahead);
                        if last {
                            for (i, acc) in acc.into_iter().enumerate() {
                                let output = (y + i / SIDE) * s.out_w + x + i % SIDE;
                                for (j, acc) in acc.into_iter().enumerate() {
                                    acc.store(&mut sums[(block - first + j) * conv.padded() + output]);
                                }
                            }
                        } else {
                            for (partial, acc) in partial.iter_mut().zip(acc.as_flattened()) {
                                acc.store(partial);
                            }
                        }
                    }
                }
            }
        }
        for o in (first * LANES..s.o.min(self.blocks.end * LANES)).step_by(LANES) {
            let block = o / LANES - first;
            let mut bias = [T::ZERO; LANES];
            let channels = LANES.min(s.o - o);
            if let Some(values) = self.bias {
                bias[..channels].copy_from_slice(&values[group * s.o + o..][..channels]);
            }
            let bias = V::load(&bias);
            for pixel in (0..height * s.out_w).step_by(LANES) {
                let mut outputs = [V::zero(); LANES];
                for (output, sums) in outputs.iter_mut().zip(&sums[block * conv.padded() + pixel..]) {
                    *output = V::load(sums).add(bias);
                }
                let outputs = V::transpose(outputs);
                for channel in 0..channels {
                    let plane = (self.maps * s.o + o + channel) * s.out_h;
                    let rows = plane + self.band.start..plane + self.band.end;
                    #[expect(unsafe_code, reason = "tasks write different rows of the same planes")]
                    // SAFETY: a task has its own maps, rows and channels; it asks for one channel's at a time.
                    let to = unsafe { self.rows.rows(rows) };
                    if let Some(to) = to[pixel..].first_chunk_mut() {
                        outputs[channel].store(to);
                    } else {
                        let mut values = [T::ZERO; LANES];
                        outputs[channel].store(&mut values);
                        let to = &mut to[pixel..];
                        to.copy_from_slice(&values[..to.len()]);
                    }
                }
            }
        }
    }
}

impl Forward {
    /// The sums of one tile of outputs, whose first one sees a map from `at` on, with those of some more maps.
    #[inline(always)]
    fn tile<T: Scalar, V: Vector<T>, const R: usize, const B: usize>(
        &self,
        mut acc: [[V; B]; R],
        maps: &[T],
        at: usize,
        filters: [&[Lanes<T>]; B],
        ahead: &mut [Chunks<'_, Lanes<T>>; B],
    ) -> [[V; B]; R] {
        // Nothing is called in the loops, or it would have to store the sums; and nothing is checked between the load of a
        // value and its products, or it would not be loaded into all lanes at once.
        let (wide, high) = (SIDE.min(R), R.div_ceil(SIDE));
        let (row, area, taps) = (self.row(), self.map(), self.taps.len());
        let mut first = 0;
        for map in maps.chunks_exact(area) {
            for ahead in ahead.iter_mut() {
                prefetch::<T, V>(ahead);
            }
            let map = &map[at..];
            let mut b: [&[Lanes<T>]; B] = [&[]; B];
            for (b, filters) in b.iter_mut().zip(filters) {
                *b = &filters[first..][..taps];
            }
            first += taps;
            for (k, tap) in self.taps.iter().enumerate() {
                let mut rows: [&[T]; HIGH] = [&[]; HIGH];
                for (below, values) in rows[..high].iter_mut().enumerate() {
                    *values = &map[tap + below * row..][..wide];
                }
                let mut lanes = [&b[0][k]; B];
                for (lanes, b) in lanes.iter_mut().zip(b) {
                    *lanes = &b[k];
                }
                let mut a = [T::ZERO; R];
                for (a, values) in a.chunks_mut(SIDE).zip(rows) {
                    a.copy_from_slice(values);
                }
                add_outer(&mut acc, a, lanes);
            }
        }
        acc
    }
}
