//! Convolution of any size and stride as matrix products over unfolded maps.
//!
//! A block of outputs sees its inputs as a matrix with a row for each output and a column for each element of a
//! filter, in vectors of 16 columns.

use std::ops::Range;

use crate::exec::cpu::parallel::*;

use super::{
    FEW_ROWS, Sizes,
    products::{Blocked, accumulate, multiply},
    rows::Rows,
    tiles::Parts,
};
use crate::exec::cpu::{
    Scalar,
    columns::{Column, columns},
    kernel::{Io, Kernel},
    simd::{Job, LANES, Lanes, ROWS, Vector},
    tasks::{aligned, carve, for_each_task},
};

/// Blocks of 16 columns of products that are kept at once.
const CHUNK: usize = 16;

/// Tasks that a weight gradient should have at least.
const TASKS: usize = 16;

/// Sums that a task of a weight gradient keeps at most, where the channels can be shared out: half the second-level
/// cache.
const SUMS: usize = 131_072;

/// A convolution whose output rows fall into blocks.
#[derive(Debug)]
pub(super) struct Unfolded {
    s: Sizes,
    /// Which outputs of a row see the map under each element of a filter's row.
    columns: Box<[Range<usize>]>,
    /// Output rows of a block.
    per_block: usize,
}

/// Output rows of a block.
#[derive(Debug, Clone)]
struct Outputs {
    /// Rows counted through all images.
    rows: Range<usize>,
    group: usize,
}

impl Unfolded {
    /// With output rows counted through all images, or through one, `within` so many.
    fn new(s: Sizes, within: usize) -> Self {
        let outputs = (24_576 / s.filter()).clamp(64, 192);
        let columns = (0..s.kw).map(|j| s.columns_under(j)).collect();
        Self { s, columns, per_block: (outputs / s.out_w).clamp(1, within) }
    }

    fn blocks(&self) -> usize {
        (self.s.images * self.s.out_h).div_ceil(self.per_block)
    }

    /// Blocks of 16 elements of a filter, an even number.
    fn depth(&self) -> usize {
        self.s.filter().div_ceil(LANES).next_multiple_of(2)
    }

    /// Blocks of 16 output channels, an even number.
    fn out_blocks(&self) -> usize {
        self.s.o.div_ceil(LANES).next_multiple_of(2)
    }

    /// Outputs of a full block, padded.
    fn padded(&self) -> usize {
        (self.per_block * self.s.out_w).next_multiple_of(ROWS)
    }

    /// The matrix of a block of outputs, with so many blocks of columns.
    fn matrix(&self, blocks: usize, outputs: &Outputs) -> Blocked {
        Blocked { blocks, rows: outputs.rows.len() * self.s.out_w, step: self.padded() }
    }

    /// The block's outputs as a matrix with a row each and a column for each element of a filter.
    #[inline(always)]
    fn unfold<T: Scalar>(&self, x: &[T], outputs: &Outputs, matrix: &mut [Lanes<T>]) {
        let s = &self.s;
        let padded = self.padded();
        // Behind the last element of a filter.
        matrix[s.filter() / LANES * padded..].fill([T::ZERO; LANES]);
        for (at, row) in outputs.rows.clone().enumerate() {
            let y = row % s.out_h * s.stride;
            let maps = &x[(row / s.out_h * s.groups + outputs.group) * s.c * s.area()..][..s.c * s.area()];
            let mut k = 0;
            for map in maps.chunks_exact(s.area()) {
                for i in y..y + s.kh {
                    let from = i.checked_sub(s.padding).and_then(|y| map.get(y * s.w..(y + 1) * s.w));
                    for j in 0..s.kw {
                        let to = &mut matrix[k / LANES * padded + at * s.out_w..][..s.out_w];
                        self.unfold_row(from.unwrap_or_default(), j, k % LANES, to);
                        k += 1;
                    }
                }
            }
        }
    }

    /// One lane of a row of outputs: what element `j` of a filter's row sees of a row of the map, which is empty where
    /// it lies outside.
    #[inline(always)]
    fn unfold_row<T: Scalar>(&self, from: &[T], j: usize, lane: usize, to: &mut [Lanes<T>]) {
        let s = &self.s;
        let inside = if from.is_empty() { 0..0 } else { self.columns[j].clone() };
        for to in &mut to[..inside.start] {
            to[lane] = T::ZERO;
        }
        for to in &mut to[inside.end..] {
            to[lane] = T::ZERO;
        }
        if inside.is_empty() {
            return;
        }
        let from = &from[inside.start * s.stride + j - s.padding..];
        if s.stride == 1 {
            for (to, from) in to[inside].iter_mut().zip(from) {
                to[lane] = *from;
            }
        } else {
            for (to, from) in to[inside].iter_mut().zip(from.iter().step_by(s.stride)) {
                to[lane] = *from;
            }
        }
    }

    /// The block's rows of an output gradient as a matrix with a row for each output and a column for each channel.
    /// `shared`: so many groups of this convolution see the same outputs.
    #[inline(always)]
    fn read<T: Scalar>(&self, dy: &[T], outputs: &Outputs, shared: usize, matrix: &mut [Lanes<T>]) {
        let s = &Sizes { groups: self.s.groups / shared, ..self.s };
        if !s.o.is_multiple_of(LANES) {
            matrix.fill([T::ZERO; LANES]);
        }
        for o in 0..s.o {
            let to = &mut matrix[o / LANES * self.padded()..];
            for (to, row) in to.chunks_exact_mut(s.out_w).zip(outputs.rows.clone()) {
                let from = &dy[s.output_row(row, outputs.group / shared, o) * s.out_w..][..s.out_w];
                for (to, &from) in to.iter_mut().zip(from) {
                    to[o % LANES] = from;
                }
            }
        }
    }
}

impl Sizes {
    /// A row of outputs, counted through all planes, of channel `o` of a group; `row` counts through all images.
    fn output_row(&self, row: usize, group: usize, o: usize) -> usize {
        ((row / self.out_h * self.groups + group) * self.o + o) * self.out_h + row % self.out_h
    }

    /// Under element `k` of a filter, a row of outputs sees the map: which outputs do, and the map's element that the
    /// first of them sees.
    fn row_under(&self, k: usize, row: usize, group: usize) -> Option<(Range<usize>, usize)> {
        let (c, i, j) = (k / (self.kh * self.kw), k / self.kw % self.kh, k % self.kw);
        let y = (row % self.out_h * self.stride + i).checked_sub(self.padding).filter(|y| *y < self.h)?;
        let inside = self.columns_under(j);
        let plane = (row / self.out_h * self.groups + group) * self.c + c;
        let from = (plane * self.h + y) * self.w + inside.start * self.stride + j;
        (!inside.is_empty()).then(|| (inside, from - self.padding))
    }

    /// Which outputs of a row see the map under element `j` of a filter's row.
    #[inline(always)]
    fn columns_under(&self, j: usize) -> Range<usize> {
        let end = (self.w + self.padding).saturating_sub(j).div_ceil(self.stride).min(self.out_w);
        self.padding.saturating_sub(j).div_ceil(self.stride).min(end)..end
    }
}

/// Puts filters into vectors: for each group and block of 16 `outs`, `ins` vectors, and zeros up to
/// `depth` of them. `at(group, in, out)` is the weight's place.
pub(super) fn arrange<T: Scalar>(
    filters: &mut [T],
    weight: &[T],
    [groups, blocks, depth]: [usize; 3],
    [ins, outs]: [usize; 2],
    at: impl Fn(usize, usize, usize) -> usize + Sync,
) {
    columns(filters, groups * blocks, depth * LANES).enumerate().for_each(
        |(column, mut filters): (usize, Column<'_, T>)| {
            let (group, block) = (column / blocks, column % blocks);
            for (input, vector) in filters.row(0).as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                *vector = [T::ZERO; LANES];
                if input < ins {
                    for (out, value) in (block * LANES..outs).zip(vector) {
                        *value = weight[at(group, input, out)];
                    }
                }
            }
        },
    );
}

/// The convolution.
pub(super) struct Forward(Unfolded, Parts);

impl Forward {
    pub(super) fn new(s: Sizes) -> Self {
        let u = Unfolded::new(s, s.images * s.out_h);
        let parts = Parts::new(u.out_blocks(), s.groups * u.blocks());
        Self(u, parts)
    }

    fn per_thread(&self) -> usize {
        (self.0.depth() + self.1.each) * self.0.padded() * LANES
    }
}

impl<T: Scalar> Kernel<T> for Forward {
    fn scratch(&self, threads: usize) -> usize {
        threads * self.per_thread() + LANES
    }

    fn derived(&self) -> usize {
        self.0.s.groups * self.0.out_blocks() * self.0.depth() * LANES * LANES
    }

    fn keeps_derived(&self) -> bool {
        self.0.s.images * self.0.s.out_area() < FEW_ROWS
    }

    fn derive(&self, io: &Io<'_, T>, derived: &mut [T]) {
        let (u, s) = (&self.0, &self.0.s);
        arrange(
            derived,
            io.input(1),
            [s.groups, u.out_blocks(), u.depth() * LANES],
            [s.filter(), s.o],
            |group, k, o| (group * s.o + o) * s.filter() + k,
        );
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let (u, s) = (&self.0, &self.0.s);
        let (threads, filters) = (io.threads, io.derived);
        let x = io.input(0);
        let bias = (io.inputs() == 3).then(|| io.input(2));
        let ([y], scratch) = io.write();
        let scratch = aligned(scratch);
        let rows = Rows::new(y, s.out_w);
        let Parts { count: parts, each } = self.1;
        for_each_task(scratch, self.per_thread(), threads, s.groups * u.blocks() * parts, |task, scratch| {
            let (group, block, part) = (task / parts / u.blocks(), task / parts % u.blocks(), task % parts);
            let first = block * u.per_block;
            let outputs = Outputs { rows: first..(first + u.per_block).min(s.images * s.out_h), group };
            let channels = part * each..u.out_blocks().min((part + 1) * each);
            T::run(ForwardBlock { u, x, bias, filters, rows: &rows, outputs, channels, scratch });
        });
    }
}

struct ForwardBlock<'a, T> {
    u: &'a Unfolded,
    x: &'a [T],
    bias: Option<&'a [T]>,
    filters: &'a [T],
    rows: &'a Rows<'a, T>,
    outputs: Outputs,
    /// Blocks of 16 output channels.
    channels: Range<usize>,
    scratch: &'a mut [T],
}

impl<T: Scalar> Job<T> for ForwardBlock<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (u, s, group) = (self.u, &self.u.s, self.outputs.group);
        let vectors = self.scratch.as_chunks_mut::<LANES>().0;
        let (inputs, products) = vectors.split_at_mut(u.depth() * u.padded());
        u.unfold(self.x, &self.outputs, inputs);
        let depth = u.depth() * LANES;
        let filters = self.filters.as_chunks().0;
        let first = self.channels.start;
        let filters = &filters[(group * u.out_blocks() + first) * depth..][..self.channels.len() * depth];
        let from = u.matrix(s.filter().div_ceil(LANES), &self.outputs);
        let to = u.matrix(self.channels.len(), &self.outputs);
        multiply::<T, V, ROWS, FEW, BLOCKS>(inputs, from, filters, depth, products, to, &[]);
        for o in first * LANES..s.o.min(self.channels.end * LANES) {
            let bias = self.bias.map_or(T::ZERO, |bias| bias[group * s.o + o]);
            let from = &products[(o / LANES - first) * u.padded()..];
            for (from, row) in from.chunks_exact(s.out_w).zip(self.outputs.rows.clone()) {
                #[expect(unsafe_code, reason = "tasks write different rows of the same planes")]
                // SAFETY: a task has its own group, channels and output rows; it asks for one at a time.
                let to = unsafe { self.rows.row(s.output_row(row, group, o)) };
                for (to, from) in to.iter_mut().zip(from) {
                    *to = from[o % LANES] + bias;
                }
            }
        }
    }
}

/// The gradient of the input: a task has an image's group, whose windows overlap.
pub(super) struct InputGradient(Unfolded);

impl InputGradient {
    pub(super) fn new(s: Sizes) -> Self {
        Self(Unfolded::new(s, s.out_h))
    }

    fn per_thread(&self) -> usize {
        (self.0.out_blocks() + CHUNK.min(self.0.depth())) * self.0.padded() * LANES
    }
}

impl<T: Scalar> Kernel<T> for InputGradient {
    fn scratch(&self, threads: usize) -> usize {
        threads * self.per_thread() + LANES
    }

    fn derived(&self) -> usize {
        self.0.s.groups * self.0.depth() * self.0.out_blocks() * LANES * LANES
    }

    fn derive(&self, io: &Io<'_, T>, derived: &mut [T]) {
        let (u, s) = (&self.0, &self.0.s);
        arrange(
            derived,
            io.input(1),
            [s.groups, u.depth(), u.out_blocks() * LANES],
            [s.o, s.filter()],
            |group, o, k| (group * s.o + o) * s.filter() + k,
        );
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let (u, s) = (&self.0, &self.0.s);
        let (threads, filters) = (io.threads, io.derived);
        let dy = io.input(0);
        let ([dx], scratch) = io.write();
        let scratch = aligned(scratch);
        let maps = Rows::new(dx, s.c * s.area());
        for_each_task(scratch, self.per_thread(), threads, s.images * s.groups, |task, scratch| {
            #[expect(unsafe_code, reason = "tasks are handed out as threads become free")]
            // SAFETY: each task comes once and has maps of its own.
            let dx = unsafe { maps.row(task) };
            T::run(InputImage { u, dy, filters, dx, image: task / s.groups, group: task % s.groups, scratch });
        });
    }
}

struct InputImage<'a, T> {
    u: &'a Unfolded,
    dy: &'a [T],
    filters: &'a [T],
    dx: &'a mut [T],
    image: usize,
    group: usize,
    scratch: &'a mut [T],
}

impl<T: Scalar> Job<T> for InputImage<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (u, s, group) = (self.u, &self.u.s, self.group);
        let vectors = self.scratch.as_chunks_mut::<LANES>().0;
        let (gradients, products) = vectors.split_at_mut(u.out_blocks() * u.padded());
        let depth = u.out_blocks() * LANES;
        let filters = &self.filters.as_chunks().0[group * u.depth() * depth..][..u.depth() * depth];
        let offset = (self.image * s.groups + group) * s.c * s.area();
        self.dx.fill(T::ZERO);
        for first in (0..s.out_h).step_by(u.per_block) {
            let start = self.image * s.out_h;
            let outputs = Outputs { rows: start + first..start + (first + u.per_block).min(s.out_h), group };
            u.read(self.dy, &outputs, 1, gradients);
            let from = u.matrix(s.o.div_ceil(LANES), &outputs);
            for chunk in (0..u.depth()).step_by(CHUNK) {
                let to = u.matrix(CHUNK.min(u.depth() - chunk), &outputs);
                let (filters, next) = filters[chunk * depth..].split_at(to.blocks * depth);
                multiply::<T, V, ROWS, FEW, BLOCKS>(gradients, from, filters, depth, products, to, next);
                for k in chunk * LANES..s.filter().min((chunk + to.blocks) * LANES) {
                    let from = &products[(k / LANES - chunk) * u.padded()..];
                    for (from, row) in from.chunks_exact(s.out_w).zip(outputs.rows.clone()) {
                        if let Some((inside, at)) = s.row_under(k, row, group) {
                            let to = self.dx[at - offset..].iter_mut().step_by(s.stride);
                            for (to, from) in to.zip(&from[inside]) {
                                *to += from[k % LANES];
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The gradient of the weight: a fixed number of tasks sums parts of the outputs, for shares of a group's input channels.
/// The shares are groups of `u`, which see the same outputs.
pub(super) struct WeightGradient {
    u: Unfolded,
    shares: usize,
    parts: usize,
}

impl WeightGradient {
    pub(super) fn new(s: Sizes) -> Self {
        let mut shares = 1;
        while s.c.is_multiple_of(2 * shares) && s.filter() / shares * s.o > SUMS {
            shares *= 2;
        }
        let s = Sizes { groups: s.groups * shares, c: s.c / shares, ..s };
        let u = Unfolded::new(s, s.images * s.out_h);
        let parts = TASKS.div_ceil(s.groups).min(u.blocks());
        Self { u, shares, parts }
    }

    /// Elements of a task's sums: [elements of a filter, output channels, 16].
    fn sums(&self) -> usize {
        self.u.depth() * self.u.out_blocks() * LANES * LANES
    }

    fn tasks(&self) -> usize {
        self.u.s.groups * self.parts
    }

    fn per_thread(&self) -> usize {
        (self.u.depth() + self.u.out_blocks()) * self.u.padded() * LANES
    }
}

impl<T: Scalar> Kernel<T> for WeightGradient {
    fn scratch(&self, threads: usize) -> usize {
        self.tasks() * self.sums() + threads * self.per_thread() + LANES
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let s = &self.u.s;
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
            T::run(WeightPart { gradient: self, dy, x, task, sums, scratch });
        });
        let (sums, step) = (&*sums, self.u.out_blocks() * LANES);
        dw.par_chunks_mut(s.filter()).enumerate().for_each(|(row, dw)| {
            let (row, share) = (row / self.shares, row % self.shares);
            let (group, o) = (row / s.o * self.shares + share, row % s.o);
            for (k, dw) in dw.iter_mut().enumerate() {
                let at = (k / LANES * step + o) * LANES + k % LANES;
                let part = |part: usize| sums[(group * self.parts + part) * self.sums() + at];
                *dw = (1..self.parts).fold(part(0), |total, next| total + part(next));
            }
        });
    }
}

struct WeightPart<'a, T> {
    gradient: &'a WeightGradient,
    dy: &'a [T],
    x: &'a [T],
    task: usize,
    sums: &'a mut [T],
    scratch: &'a mut [T],
}

impl<T: Scalar> Job<T> for WeightPart<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
        let (g, u, s) = (self.gradient, &self.gradient.u, &self.gradient.u.s);
        let (group, part) = (self.task / g.parts, self.task % g.parts);
        let vectors = self.scratch.as_chunks_mut::<LANES>().0;
        let (inputs, gradients) = vectors.split_at_mut(u.depth() * u.padded());
        let sums = self.sums.as_chunks_mut().0;
        sums.fill([T::ZERO; LANES]);
        let rows = s.images * s.out_h;
        let blocks = rows.div_ceil(u.per_block);
        for block in blocks * part / g.parts..blocks * (part + 1) / g.parts {
            let outputs = Outputs { rows: block * u.per_block..((block + 1) * u.per_block).min(rows), group };
            u.unfold(self.x, &outputs, inputs);
            u.read(self.dy, &outputs, g.shares, gradients);
            let left = u.matrix(s.o.div_ceil(LANES), &outputs);
            let right = u.matrix(u.depth(), &outputs);
            let step = u.out_blocks() * LANES;
            accumulate::<T, V, FEW, BLOCKS>(gradients, left, inputs, right, sums, step);
        }
    }
}
