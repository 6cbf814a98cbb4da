//! A map times its channel attention with the pooled descriptors, and its gradient.

use rayon::prelude::*;

use super::{
    Scalar,
    kernel::{Io, Kernel},
    sum::dot,
};

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
        let groups =
            y.par_chunks_mut(per_group * area).zip(x.par_chunks(per_group * area)).zip(a.par_chunks(per_group));
        groups.zip(pooled.par_chunks_mut(2 * area).zip(first.par_chunks_mut(area))).for_each(
            |(((y, x), a), (pooled, first))| {
                let (max, mean) = pooled.split_at_mut(area);
                first.fill(T::ZERO);
                mean.fill(T::ZERO);
                let planes = y.chunks_exact_mut(area).zip(x.chunks_exact(area)).zip(a);
                for (channel, ((y, x), &a)) in planes.enumerate() {
                    let index = T::of(channel as f64);
                    if channel == 0 {
                        for ((y, &x), max) in y.iter_mut().zip(x).zip(max.iter_mut()) {
                            *y = x * a;
                            *max = *y;
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
                let share = T::of(1.0 / per_group as f64);
                mean.iter_mut().for_each(|mean| *mean = *mean * share);
            },
        );
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
