//! Convolution of stride 1 as matrix products whose left side is read from the maps in place.
//!
//! Outputs are taken in runs of six neighbours, counted as the map's pixels are, so that a run may go over the end of a
//! row: what it computes there is left out. Under each element of a filter, a run sees six neighbours of a map. The sums of
//! a tile of runs over a pair of blocks of output channels stay in registers for some maps, whose filters stay in the
//! first-level cache until all tiles have had them.

use std::{ops::Range, slice::Chunks};

use crate::exec::cpu::parallel::*;

use super::{FEW_ROWS, Sizes, direct::Bordered, rows::Rows, unfold::arrange};
use crate::exec::cpu::{
    Scalar,
    kernel::{Io, Kernel},
    simd::{Job, LANES, Lanes, Vector, add_outer, prefetch},
    tasks::{aligned, carve, for_each_task},
};

/// Outputs of a run.
const RUN: usize = 6;

/// Runs of a tile at most.
const RUNS: usize = 2;

/// Blocks of 16 output channels of a task, an even number.
const BLOCKS_OF_TASK: usize = 8;

/// Outputs of a channel that a task should have: so many that its sums stay in the second-level cache.
const OUTPUTS: usize = 256;

/// Bytes of filters that all tiles use one after another: a quarter of a first-level cache, where the next ones and the
/// maps are too.
const FILTERS_AT_ONCE: usize = 8192;

/// The convolution.
pub(super) struct Forward {
    s: Sizes,
    /// The maps, with the zeros around them.
    maps: Bordered,
    /// Bands of output rows of an image.
    bands: Vec<Band>,
    /// Where each element of a filter sees a map, from where the first one does.
    taps: Vec<usize>,
}

/// Some rows of outputs.
struct Band {
    rows: Range<usize>,
    /// What each run's first output sees first of a map; an even number of runs.
    runs: Vec<usize>,
    /// Each output's place in the runs.
    places: Vec<usize>,
}

impl Band {
    /// `across`: a row of the map with its border. Runs stay before `end`.
    fn new(rows: Range<usize>, out_w: usize, across: usize, end: usize) -> Self {
        let (mut runs, mut places) = (Vec::new(), Vec::new());
        let mut reached = 0;
        for at in rows.clone().flat_map(|y| y * across..y * across + out_w) {
            if runs.is_empty() || at >= reached {
                let start = at.min(end - RUN);
                runs.push(start);
                reached = start + RUN;
            }
            places.push(runs.len() * RUN + at - reached);
        }
        runs.resize(runs.len().next_multiple_of(RUNS), *runs.last().expect("invariant: a band has outputs"));
        Self { rows, runs, places }
    }

    /// Outputs of all runs.
    fn slots(&self) -> usize {
        self.runs.len() * RUN
    }
}

impl Forward {
    /// If runs fit into the outputs.
    pub(super) fn new(s: Sizes) -> Option<Self> {
        let maps = Bordered { h: s.h, w: s.w, border: s.padding };
        let across = maps.row();
        let end = (s.out_h - 1) * across + s.out_w;
        if s.stride != 1 || end < RUN {
            return None;
        }
        let count = (s.out_h / (OUTPUTS / s.out_w).next_multiple_of(2).max(2)).max(1);
        let rows = |band| s.out_h * band / count..s.out_h * (band + 1) / count;
        let bands: Vec<_> = (0..count).map(|band| Band::new(rows(band), s.out_w, across, end)).collect();
        // What runs compute beside the outputs should be little.
        let computed: usize = bands.iter().map(Band::slots).sum();
        let taps = (0..s.kh).flat_map(|i| (0..s.kw).map(move |j| i * across + j)).collect();
        (2 * computed <= 3 * s.out_area()).then_some(Self { s, maps, bands, taps })
    }

    /// Blocks of 16 output channels of a group, an even number.
    fn blocks(&self) -> usize {
        self.s.o.div_ceil(LANES).next_multiple_of(2)
    }

    /// Tasks that share a group's output channels.
    fn parts(&self) -> usize {
        self.blocks().div_ceil(BLOCKS_OF_TASK)
    }

    /// A map with its border.
    fn map(&self) -> usize {
        (self.s.h + 2 * self.s.padding) * self.maps.row()
    }

    /// The maps of all images, where they have a border.
    fn bordered(&self) -> usize {
        if self.s.padding == 0 { 0 } else { self.s.images * self.s.groups * self.s.c * self.map() }
    }

    fn per_thread(&self) -> usize {
        let slots = self.bands.iter().map(Band::slots).max().unwrap_or_default();
        BLOCKS_OF_TASK.min(self.blocks()) * slots * LANES
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
                    self.maps.copy(from, to, self.maps.row());
                }
            });
            bordered
        };
        let rows = Rows::new(y, s.out_w);
        let tasks = s.images * s.groups * self.bands.len() * self.parts();
        for_each_task(scratch, self.per_thread(), threads, tasks, |task, sums| {
            let (task, part) = (task / self.parts(), task % self.parts());
            let blocks = part * BLOCKS_OF_TASK..self.blocks().min((part + 1) * BLOCKS_OF_TASK);
            let (maps, band) = (task / self.bands.len(), &self.bands[task % self.bands.len()]);
            T::run(Part { conv: self, x, bias, filters, rows: &rows, maps, band, blocks, sums });
        });
    }
}

/// Computes some blocks of output channels of a band.
struct Part<'a, T> {
    conv: &'a Forward,
    x: &'a [T],
    bias: Option<&'a [T]>,
    /// [groups, blocks of output channels, elements of a filter, 16].
    filters: &'a [T],
    rows: &'a Rows<'a, T>,
    /// The image's group.
    maps: usize,
    band: &'a Band,
    /// Blocks of 16 output channels.
    blocks: Range<usize>,
    sums: &'a mut [T],
}

impl<T: Scalar> Job<T> for Part<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        const { assert!(RUN.is_multiple_of(ROWS) || ROWS == RUNS * RUN, "a tile is a part of a run, or all its runs") }
        let (conv, s) = (self.conv, &self.conv.s);
        let group = self.maps % s.groups;
        let maps = &self.x[self.maps * s.c * conv.map()..][..s.c * conv.map()];
        let filters = &self.filters.as_chunks().0[group * conv.blocks() * s.filter()..];
        let sums = self.sums.as_chunks_mut().0;
        let slots = self.band.slots();
        let first = self.blocks.start;
        let taps = conv.taps.len();
        let maps_at_once = s.c.div_ceil((s.c * BLOCKS * taps * size_of::<Lanes<T>>()).div_ceil(FILTERS_AT_ONCE));
        for block in self.blocks.clone().step_by(BLOCKS) {
            let sums = &mut sums[(block - first) * slots..];
            for c in (0..s.c).step_by(maps_at_once) {
                let end = s.c.min(c + maps_at_once);
                let next = if end < s.c { block * s.filter() + end * taps } else { (block + BLOCKS) * s.filter() };
                let mut columns: [&[Lanes<T>]; BLOCKS] = [&[]; BLOCKS];
                let mut ahead: [Chunks<'_, Lanes<T>>; BLOCKS] = std::array::from_fn(|_| [].chunks(1));
                for (j, (columns, ahead)) in columns.iter_mut().zip(&mut ahead).enumerate() {
                    *columns = &filters[(block + j) * s.filter()..][c * taps..end * taps];
                    let next = filters.get(next + j * s.filter()..).unwrap_or_default();
                    *ahead = next[..next.len().min(columns.len())].chunks(taps.div_ceil(slots / ROWS));
                }
                let maps = &maps[c * conv.map()..end * conv.map()];
                for slot in (0..slots).step_by(ROWS) {
                    let mut acc = [[V::zero(); BLOCKS]; ROWS];
                    if c > 0 {
                        for (i, acc) in acc.iter_mut().enumerate() {
                            for (j, acc) in acc.iter_mut().enumerate() {
                                *acc = V::load(&sums[j * slots + slot + i]);
                            }
                        }
                    }
                    let mut runs = [0; RUNS];
                    for (run, slot) in runs.iter_mut().zip((slot..slot + ROWS).step_by(RUN)) {
                        *run = self.band.runs[slot / RUN] + slot % RUN;
                    }
                    let acc = conv.tile(acc, maps, runs, columns, &mut ahead);
                    for (i, acc) in acc.into_iter().enumerate() {
                        for (j, acc) in acc.into_iter().enumerate() {
                            acc.store(&mut sums[j * slots + slot + i]);
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
            for (pixel, places) in (0..).step_by(LANES).zip(self.band.places.chunks(LANES)) {
                let mut outputs = [V::zero(); LANES];
                for (output, place) in outputs.iter_mut().zip(places) {
                    *output = V::load(&sums[block * slots + place]).add(bias);
                }
                let outputs = V::transpose(outputs);
                for channel in 0..channels {
                    let plane = (self.maps * s.o + o + channel) * s.out_h;
                    let rows = plane + self.band.rows.start..plane + self.band.rows.end;
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
    /// The sums of one tile of outputs, whose runs see a map from `runs` on, with those of some more maps.
    #[inline(always)]
    fn tile<T: Scalar, V: Vector<T>, const R: usize, const B: usize>(
        &self,
        mut acc: [[V; B]; R],
        maps: &[T],
        runs: [usize; RUNS],
        filters: [&[Lanes<T>]; B],
        ahead: &mut [Chunks<'_, Lanes<T>>; B],
    ) -> [[V; B]; R] {
        // Nothing is called in the loops, or it would have to store the sums; and nothing is checked between the load of a
        // value and its products, or it would not be loaded into all lanes at once.
        let taps = self.taps.len();
        let reach = self.taps[taps - 1] + RUN.min(R);
        let mut first = 0;
        for map in maps.chunks_exact(self.map()) {
            for ahead in ahead.iter_mut() {
                prefetch::<T, V>(ahead);
            }
            let mut seen = [map; RUNS];
            for (seen, run) in seen[..R.div_ceil(RUN)].iter_mut().zip(runs) {
                *seen = &map[run..][..reach];
            }
            let mut b: [&[Lanes<T>]; B] = [&[]; B];
            for (b, filters) in b.iter_mut().zip(filters) {
                *b = &filters[first..][..taps];
            }
            first += taps;
            for (k, tap) in self.taps.iter().enumerate() {
                let mut lanes = [&b[0][k]; B];
                for (lanes, b) in lanes.iter_mut().zip(b) {
                    *lanes = &b[k];
                }
                let mut a = [T::ZERO; R];
                for (a, seen) in a.chunks_mut(RUN).zip(seen) {
                    a.copy_from_slice(&seen[*tap..][..RUN.min(R)]);
                }
                add_outer(&mut acc, a, lanes);
            }
        }
        acc
    }
}
