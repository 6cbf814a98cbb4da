//! Elementwise ReLU and sigmoid, and their gradients.

use super::{
    Scalar,
    kernel::{Io, Kernel, map, zip_map},
};
use crate::ops::Function;

/// The function's value.
#[inline(always)]
pub(super) fn apply<T: Scalar>(function: Function, x: T) -> T {
    match function {
        // A NaN stays one.
        Function::Relu => {
            if x <= T::ZERO {
                T::ZERO
            } else {
                x
            }
        }
        Function::Sigmoid => T::ONE / (T::ONE + (-x).exp()),
    }
}

/// dx from dy and the function's value y.
#[inline(always)]
pub(super) fn gradient<T: Scalar>(function: Function, dy: T, y: T) -> T {
    match function {
        Function::Relu => {
            if y > T::ZERO {
                dy
            } else {
                T::ZERO
            }
        }
        Function::Sigmoid => dy * y * (T::ONE - y),
    }
}

pub(super) struct Forward(pub(super) Function);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let x = io.input(0);
        let ([y], _) = io.write();
        match self.0 {
            Function::Relu => map(y, x, |x| apply(Function::Relu, x)),
            Function::Sigmoid => map(y, x, |x| apply(Function::Sigmoid, x)),
        }
    }
}

pub(super) struct Gradient(pub(super) Function);

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let (dy, y) = (io.input(0), io.input(1));
        let ([dx], _) = io.write();
        match self.0 {
            Function::Relu => zip_map(dx, dy, y, |dy, y| gradient(Function::Relu, dy, y)),
            Function::Sigmoid => zip_map(dx, dy, y, |dy, y| gradient(Function::Sigmoid, dy, y)),
        }
    }
}
