//! CBAM's channel attention and its gradient.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar, activation,
    kernel::{Io, Kernel},
    sum::{add_scaled, dot},
};
use crate::{ops::Function, shape::Shape};

/// D descriptors, N images, C channels, M hidden units, G groups.
pub(super) struct Sizes {
    d: usize,
    n: usize,
    c: usize,
    m: usize,
    groups: usize,
}

impl Sizes {
    pub(super) fn new(groups: usize, descriptors: &Shape, w1: &Shape) -> Self {
        let dims = descriptors.dims();
        Self { d: dims[0], n: dims[1], c: dims[2], m: w1.dims()[0], groups }
    }

    /// Channels and hidden units of a group.
    fn per_group(&self) -> (usize, usize) {
        (self.c / self.groups, self.m / self.groups)
    }
}

pub(super) struct Forward(pub(super) Sizes);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let Sizes { d, m, .. } = self.0;
        let (cg, mg) = self.0.per_group();
        let (p, w1, b1, w2, b2) = (io.input(0), io.input(1), io.input(2), io.input(3), io.input(4));
        let ([a, hidden], _) = io.write();
        // A task for each group of each row, so that one image, too, keeps all threads busy.
        let groups = self.0.groups;
        hidden.par_chunks_mut(mg).zip(p.par_chunks(cg)).enumerate().for_each(|(task, (hidden, p))| {
            let first = task % groups * mg;
            for (unit, hidden) in (first..).zip(hidden) {
                let z = dot(p, &w1[unit * cg..][..cg]) + b1[unit].wide();
                *hidden = activation::apply(Function::Relu, T::of(z));
            }
        });
        let hidden = &*hidden;
        let n = self.0.n;
        a.par_chunks_mut(cg).enumerate().for_each(|(task, a)| {
            let (image, group) = (task / groups, task % groups);
            for (channel, a) in (group * cg..).zip(a) {
                let hidden = |d: usize| &hidden[(d * n + image) * m + group * mg..][..mg];
                let z: f64 = (0..d).map(|d| dot(hidden(d), &w2[channel * mg..][..mg])).sum();
                *a = activation::apply(Function::Sigmoid, T::of(z + d as f64 * b2[channel].wide()));
            }
        });
    }
}

pub(super) struct Gradient(pub(super) Sizes);

impl<T: Scalar> Kernel<T> for Gradient {
    fn scratch(&self, _: usize) -> usize {
        self.0.n * self.0.c
    }

    fn run(&self, io: &mut Io<'_, T>) {
        let Sizes { d, n, c, m, .. } = self.0;
        let (cg, mg) = self.0.per_group();
        let (da, a, hidden) = (io.input(0), io.input(1), io.input(2));
        let (p, w1, w2) = (io.input(3), io.input(4), io.input(5));
        let ([dp, dw1, db1, dw2, db2, dhidden], scratch) = io.write();
        // dz: the gradient before the sigmoid.
        let dz = &mut scratch[..n * c];
        dz.par_chunks_mut(c).zip(da.par_chunks(c).zip(a.par_chunks(c))).for_each(|(dz, (da, a))| {
            for ((dz, &da), &a) in dz.iter_mut().zip(da).zip(a) {
                *dz = activation::gradient(Function::Sigmoid, da, a);
            }
        });
        let dz = &*dz;
        dhidden.par_chunks_mut(m).zip(hidden.par_chunks(m)).enumerate().for_each(|(row, (dhidden, hidden))| {
            let dz = &dz[row % n * c..][..c];
            dhidden.fill(T::ZERO);
            for (channel, &dz) in dz.iter().enumerate() {
                add_scaled(&mut dhidden[channel / cg * mg..][..mg], dz, &w2[channel * mg..][..mg]);
            }
            for (dhidden, &hidden) in dhidden.iter_mut().zip(hidden) {
                *dhidden = activation::gradient(Function::Relu, *dhidden, hidden);
            }
        });
        let dhidden = &*dhidden;
        dp.par_chunks_mut(c).zip(dhidden.par_chunks(m)).for_each(|(dp, dhidden)| {
            dp.fill(T::ZERO);
            for (unit, &dhidden) in dhidden.iter().enumerate() {
                add_scaled(&mut dp[unit / mg * cg..][..cg], dhidden, &w1[unit * cg..][..cg]);
            }
        });
        dw1.par_chunks_mut(cg).zip(db1).enumerate().for_each(|(unit, (dw1, db1))| {
            dw1.fill(T::ZERO);
            let mut total = 0.0;
            for row in 0..d * n {
                let dhidden = dhidden[row * m + unit];
                total += dhidden.wide();
                add_scaled(dw1, dhidden, &p[row * c + unit / mg * cg..][..cg]);
            }
            *db1 = T::of(total);
        });
        dw2.par_chunks_mut(mg).zip(db2).enumerate().for_each(|(channel, (dw2, db2))| {
            dw2.fill(T::ZERO);
            for row in 0..d * n {
                let first = row * m + channel / cg * mg;
                add_scaled(dw2, dz[row % n * c + channel], &hidden[first..][..mg]);
            }
            let total: f64 = (0..n).map(|image| dz[image * c + channel].wide()).sum();
            *db2 = T::of(total * d as f64);
        });
    }
}
