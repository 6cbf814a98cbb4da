//! ReLU and sigmoid.

use moue::ops::{Activation, ActivationGrad, Function};

use super::super::data::Array;

/// The function of one number.
pub(crate) fn apply(function: Function, x: f64) -> f64 {
    match function {
        // Not `f64::max`, which takes the number where x is NaN.
        Function::Relu if x < 0.0 => 0.0,
        Function::Relu => x,
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

/// The derivative, from the function's value.
pub(super) fn derivative(function: Function, y: f64) -> f64 {
    match function {
        Function::Relu if y > 0.0 => 1.0,
        Function::Relu => 0.0,
        Function::Sigmoid => y * (1.0 - y),
    }
}

pub(super) fn forward(op: &Activation, inputs: &[Array]) -> Vec<Array> {
    let data = inputs[0].data.iter().map(|&x| apply(op.function, x)).collect();
    vec![Array::new(&inputs[0].dims, data)]
}

pub(super) fn grad(op: &ActivationGrad, inputs: &[Array]) -> Vec<Array> {
    let (dy, y) = (&inputs[0], &inputs[1]);
    let data = (0..y.data.len()).map(|i| dy.data[i] * derivative(op.function, y.data[i])).collect();
    vec![Array::new(&y.dims, data)]
}
