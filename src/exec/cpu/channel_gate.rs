//! A map times its channel attention with the pooled descriptors, and its gradient.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    conv2d::rows::Rows,
    kernel::{Io, Kernel},
    sum::dot,
};

/// Pixels of a task, whose maxima and means stay in the first-level cache.
const PIECE: usize = 1024;

pub(super) struct Forward {
    pub(super) groups: usize,
    pub(super) dims: [usize; 4],
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let [_, c, h, w] = self.dims;
        let (area, per_group) = (h * w, c / self.groups);
        let (x, a) = (io.input(0), io.input(1));
        let ([y, pooled, first], _) = io.write();
        let share = T::of(1.0 / per_group as f64);
        let (y, pooled, first) = (Rows::new(y, 1), Rows::new(pooled, 1), Rows::new(first, 1));
        let pieces = area.div_ceil(PIECE);
        (0..x.len() / (per_group * area) * pieces).into_par_iter().for_each(|task| {
            let (group, from) = (task / pieces, task % pieces * PIECE);
            let len = PIECE.min(area - from);
            let piece = |plane: usize| plane * area + from..plane * area + from + len;
            #[expect(unsafe_code, reason = "tasks write pieces of many planes")]
            // SAFETY: a task has its own group and pixels.
            let (max, mean, first) =
                unsafe { (pooled.rows(piece(2 * group)), pooled.rows(piece(2 * group + 1)), first.rows(piece(group))) };
            first.fill(T::ZERO);
            mean.fill(T::ZERO);
            for channel in 0..per_group {
                let plane = group * per_group + channel;
                let (x, a, index) = (&x[piece(plane)], a[plane], T::of(channel as f64));
                #[expect(unsafe_code, reason = "as above")]
                // SAFETY: as above; one channel at a time.
                let y = unsafe { y.rows(piece(plane)) };
                if channel == 0 {
                    for (max, &x) in max.iter_mut().zip(x) {
                        *max = x * a;
                    }
                }
                let pixels = y.iter_mut().zip(x).zip(max.iter_mut().zip(&mut *mean).zip(&mut *first));
                for ((y, &x), ((max, mean), first)) in pixels {
                    let value = x * a;
                    *y = value;
                    *mean += value;
                    *first = if value > *max { index } else { *first };
                    *max = if value > *max { value } else { *max };
                }
            }
            mean.iter_mut().for_each(|mean| *mean = *mean * share);
            // The mean is NaN where a value is, and where infinities cancel.
            for (pixel, _) in mean.iter().enumerate().filter(|(_, mean)| mean.is_nan()) {
                let planes = group * per_group..(group + 1) * per_group;
                let mut values = planes.map(|plane| x[plane * area + from + pixel] * a[plane]);
                if let Some(channel) = values.position(|value| value.is_nan()) {
                    (max[pixel], first[pixel]) = (T::of(f64::NAN), T::of(channel as f64));
                }
            }
        });
    }
}

pub(super) struct Gradient {
    pub(super) groups: usize,
    pub(super) dims: [usize; 4],
}

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let [_, c, h, w] = self.dims;
        let (area, per_group) = (h * w, c / self.groups);
        let (dy, dpooled, first, x, a) = (io.input(0), io.input(1), io.input(2), io.input(3), io.input(4));
        let so_far = (io.inputs() == 6).then(|| io.input(5));
        let ([dx, da], _) = io.write();
        let share = T::of(1.0 / per_group as f64);
        dx.par_chunks_mut(area).zip(da).enumerate().for_each(|(plane, (dx, da))| {
            let (group, channel) = (plane / per_group, plane % per_group);
            let (dmax, dmean) = dpooled[group * 2 * area..][..2 * area].split_at(area);
            let (first, index) = (&first[group * area..][..area], T::of(channel as f64));
            let dy = &dy[plane * area..][..area];
            for (((dx, &dy), (&dmax, &dmean)), &first) in dx.iter_mut().zip(dy).zip(dmax.iter().zip(dmean)).zip(first) {
                *dx = dy + dmean * share + if first == index { dmax } else { T::ZERO };
            }
            *da = T::of(dot(dx, &x[plane * area..][..area])) + so_far.map_or(T::ZERO, |so_far| so_far[plane]);
            let a = a[plane];
            dx.iter_mut().for_each(|dx| *dx = *dx * a);
        });
    }
}
