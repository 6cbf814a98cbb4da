//! Elementwise products.

use super::{
    Scalar,
    kernel::{Io, Kernel, map, zip_map},
};

pub(super) struct Forward;

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let (a, b) = (io.input(0), io.input(1));
        let ([y], _) = io.write();
        match b {
            &[b] => map(y, a, |a| a * b),
            _ => zip_map(y, a, b, |a, b| a * b),
        }
    }
}
