//! Sums over the runs of a program.

use super::{
    Scalar,
    kernel::{Io, Kernel},
};

pub(super) struct Forward;

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let (arena, inputs) = (io.arena, io.inputs);
        let ([sums], _) = io.write();
        let (sums, rounded_off) = sums.split_at_mut(sums.len() / 2);
        let values = inputs.iter().flat_map(|input| &arena[input.buffer][..input.len]);
        for ((sum, rest), &x) in sums.iter_mut().zip(rounded_off).zip(values) {
            let before = *sum;
            *sum = before + x;
            let added = *sum - before;
            *rest += (before - (*sum - added)) + (x - added);
        }
    }
}
