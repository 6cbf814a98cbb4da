//! A map times its spatial attention, and its gradient.

use rayon::prelude::*;

use super::{
    Scalar,
    kernel::{Io, Kernel},
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
        let ([y], _) = io.write();
        y.par_chunks_mut(area).zip(x.par_chunks(area)).enumerate().for_each(|(plane, (y, x))| {
            let a = &a[plane / per_group * area..][..area];
            for ((y, &x), &a) in y.iter_mut().zip(x).zip(a) {
                *y = x * a;
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
        let (dy, x, a) = (io.input(0), io.input(1), io.input(2));
        let ([dx, da], _) = io.write();
        let size = per_group * area;
        let groups = dx.par_chunks_mut(size).zip(da.par_chunks_mut(area));
        groups.zip(dy.par_chunks(size).zip(x.par_chunks(size)).zip(a.par_chunks(area))).for_each(
            |((dx, da), ((dy, x), a))| {
                da.fill(T::ZERO);
                let planes = dx.chunks_exact_mut(area).zip(dy.chunks_exact(area)).zip(x.chunks_exact(area));
                for ((dx, dy), x) in planes {
                    for ((dx, da), ((&dy, &x), &a)) in dx.iter_mut().zip(&mut *da).zip(dy.iter().zip(x).zip(a)) {
                        *dx = dy * a;
                        *da += dy * x;
                    }
                }
            },
        );
    }
}
