//! CBAM's spatial gate in training and evaluation mode, and its gradient.
//!
//! The convolution, the statistics and the attention are tasks for each group of each image, whose few planes stay in
//! a core's cache; of the map itself each pass reads and writes every element once.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar, activation,
    conv2d::{
        Sizes,
        direct::{Convolution, WeightGradient},
        rows::Rows,
    },
    kernel::{BLOCK, Io, Kernel, nchw},
    sum::{dot, sum, sum_with},
    tasks::{carve, for_each_task},
};
use crate::{
    ops::{Conv2d, Function, SpatialGate, SpatialGateEval},
    shape::Shape,
};

/// Tasks that a convolution should have at least.
const TASKS: usize = 4;

/// Rows of a map that are worth a task.
const HIGH: usize = 8;

/// The sizes of a gate.
#[derive(Debug, Clone, Copy)]
struct Gate {
    images: usize,
    groups: usize,
    /// Channels of a group.
    channels: usize,
    area: usize,
    w: usize,
    conv: Sizes,
}

impl Gate {
    /// From x, the pooled maps and the filters.
    fn new(groups: usize, inputs: &[&Shape]) -> Self {
        let ([images, c, h, w], filters) = (nchw(inputs[0]), nchw(inputs[2]));
        let conv = Conv2d { stride: 1, padding: filters[2] / 2, groups };
        let conv = Sizes::new(&conv, nchw(inputs[1]), filters);
        Self { images, groups, channels: c / groups, area: h * w, w, conv }
    }

    /// Groups of all images.
    fn tasks(&self) -> usize {
        self.images * self.groups
    }

    /// Elements of a mean over a group.
    fn count(&self) -> f64 {
        (self.images * self.area) as f64
    }
}

/// y = x·a, in blocks of whole planes.
fn multiply<T: Scalar>(gate: &Gate, y: &mut [T], x: &[T], a: &[T]) {
    let area = gate.area;
    let planes = (BLOCK / area).max(1);
    let blocks = y.par_chunks_mut(planes * area).zip(x.par_chunks(planes * area));
    blocks.enumerate().for_each(|(block, (y, x))| {
        for (i, (y, x)) in y.chunks_exact_mut(area).zip(x.chunks_exact(area)).enumerate() {
            let a = &a[(block * planes + i) / gate.channels * area..][..area];
            for ((y, &x), &a) in y.iter_mut().zip(x).zip(a) {
                *y = x * a;
            }
        }
    });
}

pub(super) struct Forward {
    op: SpatialGate,
    gate: Gate,
    conv: Convolution,
}

impl Forward {
    pub(super) fn new(op: &SpatialGate, inputs: &[&Shape]) -> Self {
        let gate = Gate::new(op.groups, inputs);
        Self { op: *op, gate, conv: Convolution::new(&gate.conv, false) }
    }
}

/// Mean and sum of squared deviations of one plane, the deviations from the rounded mean, then corrected.
fn moments<T: Scalar>(z: &[T]) -> [f64; 2] {
    let mean = sum(z) / z.len() as f64;
    let centre = T::of(mean);
    let squares = sum_with(z, z, |z, _| (z - centre) * (z - centre));
    let squares = squares - z.len() as f64 * (mean - centre.wide()).powi(2);
    // Not max(): a NaN must stay one.
    [mean, if squares < 0.0 { 0.0 } else { squares }]
}

impl<T: Scalar> Kernel<T> for Forward {
    fn scratch(&self, threads: usize) -> usize {
        2 * (self.gate.tasks() + self.gate.groups) + threads * self.conv.per_thread()
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let Self { op, gate, conv } = self;
        let (area, groups) = (gate.area, gate.groups);
        let threads = io.threads;
        let (x, pooled, filters, weight, bias) = (io.input(0), io.input(1), io.input(2), io.input(3), io.input(4));
        let ([y, a, hat, rstd, running_mean, running_variance], mut scratch) = io.write();
        let plane_moments = carve(&mut scratch, 2 * gate.tasks());
        // Of each group the rounded mean, and what rounding took from it.
        let means = carve(&mut scratch, 2 * groups);
        scores(gate, conv, [pooled, filters], hat, scratch, threads);
        plane_moments.par_chunks_exact_mut(2).zip(hat.par_chunks(area)).for_each(|(moment, z)| {
            moment.copy_from_slice(&moments(z).map(T::of));
        });
        let moment = |n: usize, g: usize| &plane_moments[2 * (n * groups + g)..][..2];
        for (g, mean) in means.chunks_exact_mut(2).enumerate() {
            let planes = || (0..gate.images).map(|n| moment(n, g));
            let mu = planes().map(|moment| moment[0].wide()).sum::<f64>() / gate.images as f64;
            let between = |moment: &[T]| moment[1].wide() + area as f64 * (moment[0].wide() - mu).powi(2);
            let squares: f64 = planes().map(between).sum();
            let r = 1.0 / (squares / gate.count() + op.eps).sqrt();
            rstd[g] = T::of(r);
            mean.copy_from_slice(&[T::of(mu), T::of(mu - T::of(mu).wide())]);
            let unbiased = squares / (gate.count() - 1.0).max(1.0);
            running_mean[g] = T::of((1.0 - op.momentum) * running_mean[g].wide() + op.momentum * mu);
            running_variance[g] = T::of((1.0 - op.momentum) * running_variance[g].wide() + op.momentum * unbiased);
        }
        a.par_chunks_mut(area).zip(hat.par_chunks_mut(area)).enumerate().for_each(|(task, (a, hat))| {
            let g = task % groups;
            let (mean, rest, r, scale, shift) = (means[2 * g], means[2 * g + 1], rstd[g], weight[g], bias[g]);
            for (a, hat) in a.iter_mut().zip(hat) {
                *hat = (*hat - mean - rest) * r;
                *a = activation::apply(Function::Sigmoid, *hat * scale + shift);
            }
        });
        multiply(gate, y, x, a);
    }
}

/// The convolution of the pooled maps, z.
fn scores<T: Scalar>(
    gate: &Gate,
    conv: &Convolution,
    [pooled, filters]: [&[T]; 2],
    z: &mut [T],
    scratch: &mut [T],
    threads: usize,
) {
    let (rows, taps, h) = (Rows::new(z, gate.w), filters.len() / gate.groups, gate.area / gate.w);
    // One large map is shared out too.
    let bands = TASKS.div_ceil(gate.tasks()).min(h.div_ceil(HIGH));
    for_each_task(scratch, conv.per_thread(), threads, gate.tasks() * bands, |task, scratch| {
        let (map, band) = (task / bands, task % bands);
        let filters = &filters[map % gate.groups * taps..][..taps];
        let first = h * band / bands;
        #[expect(unsafe_code, reason = "tasks are handed out as threads become free")]
        // SAFETY: each task comes once and has rows of its own.
        let z = unsafe { rows.rows(map * h + first..map * h + h * (band + 1) / bands) };
        conv.image(&pooled[map * 2 * gate.area..][..2 * gate.area], filters, None, z, first, scratch);
    });
}

pub(super) struct Evaluation {
    op: SpatialGateEval,
    gate: Gate,
    conv: Convolution,
}

impl Evaluation {
    pub(super) fn new(op: &SpatialGateEval, inputs: &[&Shape]) -> Self {
        let gate = Gate::new(op.groups, inputs);
        Self { op: *op, gate, conv: Convolution::new(&gate.conv, false) }
    }
}

impl<T: Scalar> Kernel<T> for Evaluation {
    fn scratch(&self, threads: usize) -> usize {
        threads * self.conv.per_thread()
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let Self { op, gate, conv } = self;
        let threads = io.threads;
        let (x, pooled, filters) = (io.input(0), io.input(1), io.input(2));
        let (weight, bias, mean, variance) = (io.input(3), io.input(4), io.input(5), io.input(6));
        let ([y, a], scratch) = io.write();
        scores(gate, conv, [pooled, filters], a, scratch, threads);
        a.par_chunks_mut(gate.area).enumerate().for_each(|(task, a)| {
            let g = task % gate.groups;
            let scale = weight[g].wide() / (variance[g].wide() + op.eps).sqrt();
            let (scale, shift) = (T::of(scale), T::of(bias[g].wide() - mean[g].wide() * scale));
            a.par_iter_mut().with_min_len(BLOCK).for_each(|a| {
                *a = activation::apply(Function::Sigmoid, *a * scale + shift);
            });
        });
        multiply(gate, y, x, a);
    }
}

pub(super) struct Gradient {
    gate: Gate,
    conv: Convolution,
    filters: WeightGradient,
}

impl Gradient {
    /// From the shapes of x, the pooled maps and the filters.
    pub(super) fn new(groups: usize, inputs: &[&Shape]) -> Self {
        let gate = Gate::new(groups, inputs);
        Self { gate, conv: Convolution::new(&gate.conv, true), filters: WeightGradient(gate.conv) }
    }

    /// dz of a plane, then what a task computes from it.
    fn per_thread(&self) -> usize {
        self.gate.area + self.conv.per_thread().max(self.filters.per_thread())
    }
}

/// One group of one image: dx, t and the sums of t and t·x̂; `a` is scratch memory.
struct Planes<'a, T> {
    dy: &'a [T],
    x: &'a [T],
    hat: &'a [T],
    direct: Option<&'a [T]>,
    scale: T,
    shift: T,
}

impl<T: Scalar> Planes<'_, T> {
    fn gradient(&self, dx: &mut [T], t: &mut [T], a: &mut [T]) -> [f64; 2] {
        let area = t.len();
        for (a, &hat) in a.iter_mut().zip(self.hat) {
            *a = activation::apply(Function::Sigmoid, hat * self.scale + self.shift);
        }
        match self.direct {
            Some(direct) => t.copy_from_slice(direct),
            None => t.fill(T::ZERO),
        }
        let planes = dx.chunks_exact_mut(area).zip(self.dy.chunks_exact(area)).zip(self.x.chunks_exact(area));
        for ((dx, dy), x) in planes {
            for ((dx, t), ((&dy, &x), &a)) in dx.iter_mut().zip(&mut *t).zip(dy.iter().zip(x).zip(&*a)) {
                *dx = dy * a;
                *t += dy * x;
            }
        }
        for (t, &a) in t.iter_mut().zip(&*a) {
            *t = activation::gradient(Function::Sigmoid, *t, a);
        }
        [sum(t), dot(t, self.hat)]
    }
}

impl<T: Scalar> Kernel<T> for Gradient {
    fn scratch(&self, threads: usize) -> usize {
        2 * self.gate.tasks() + self.filters.partial() + threads * self.per_thread()
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let Self { gate, conv, filters: filter_gradient } = self;
        let (area, groups, size) = (gate.area, gate.groups, gate.channels * gate.area);
        let threads = io.threads;
        let (dy, x, pooled, filters) = (io.input(0), io.input(1), io.input(2), io.input(3));
        let (weight, bias, hat, rstd) = (io.input(4), io.input(5), io.input(6), io.input(7));
        let direct = (io.inputs() == 9).then(|| io.input(8));
        let ([dx, dpooled, dfilters, dweight, dbias, t], mut scratch) = io.write();
        let sums = carve(&mut scratch, 2 * gate.tasks());
        let partial = carve(&mut scratch, filter_gradient.partial());

        // The attention waits in dpooled, which is written afterwards.
        let written = dx.par_chunks_mut(size).zip(t.par_chunks_mut(area)).zip(dpooled.par_chunks_mut(2 * area));
        written.zip(sums.par_chunks_exact_mut(2)).enumerate().for_each(|(task, (((dx, t), a), sums))| {
            let g = task % groups;
            let planes = Planes {
                dy: &dy[task * size..][..size],
                x: &x[task * size..][..size],
                hat: &hat[task * area..][..area],
                direct: direct.map(|direct| &direct[task * area..][..area]),
                scale: weight[g],
                shift: bias[g],
            };
            sums.copy_from_slice(&planes.gradient(dx, t, &mut a[..area]).map(T::of));
        });
        for (g, (dweight, dbias)) in dweight.iter_mut().zip(&mut *dbias).enumerate() {
            let total = |i: usize| (0..gate.images).map(|n| sums[2 * (n * groups + g) + i].wide()).sum();
            (*dbias, *dweight) = (T::of(total(0)), T::of(total(1)));
        }

        let taps = filter_gradient.weights();
        let (maps, partials) = (Rows::new(dpooled, 2 * area), Rows::new(partial, taps));
        for_each_task(scratch, self.per_thread(), threads, gate.tasks(), |task, mut scratch| {
            let g = task % groups;
            let dz = carve(&mut scratch, area);
            let scale = weight[g] * rstd[g];
            let (mean, slope) = (T::of(dbias[g].wide() / gate.count()), T::of(dweight[g].wide() / gate.count()));
            let values = t[task * area..][..area].iter().zip(&hat[task * area..][..area]);
            for (dz, (&t, &hat)) in dz.iter_mut().zip(values) {
                *dz = scale * (t - mean - hat * slope);
            }
            #[expect(unsafe_code, reason = "tasks are handed out as threads become free")]
            // SAFETY: each task comes once and has maps and sums of its own.
            let (dpooled, sums) = unsafe { (maps.row(task), partials.row(task)) };
            conv.image(dz, &filters[g * taps..][..taps], None, dpooled, 0, scratch);
            filter_gradient.image(dz, &pooled[task * 2 * area..][..2 * area], sums, scratch);
        });
        filter_gradient.join(dfilters, partial);
    }
}
