//! Activations, products and weighted sums.

use moue::ops::{Activation, ActivationGrad, Function, WeightedSum};

use super::super::data::Array;

/// The function of one number.
pub(crate) fn apply(function: Function, x: f64) -> f64 {
    match function {
        Function::Relu => x.max(0.0),
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

pub(super) fn activation(op: &Activation, inputs: &[Array]) -> Vec<Array> {
    let data = inputs[0].data.iter().map(|&x| apply(op.function, x)).collect();
    vec![Array::new(&inputs[0].dims, data)]
}

pub(super) fn activation_grad(op: &ActivationGrad, inputs: &[Array]) -> Vec<Array> {
    let (dy, y) = (&inputs[0], &inputs[1]);
    let data = (0..y.data.len()).map(|i| dy.data[i] * derivative(op.function, y.data[i])).collect();
    vec![Array::new(&y.dims, data)]
}

pub(super) fn multiply(inputs: &[Array]) -> Vec<Array> {
    let (a, b) = (&inputs[0], &inputs[1]);
    let data = (0..a.data.len()).map(|i| a.data[i] * if b.data.len() == 1 { b.data[0] } else { b.data[i] }).collect();
    vec![Array::new(&a.dims, data)]
}

pub(super) fn weighted_sum(op: &WeightedSum, inputs: &[Array]) -> Vec<Array> {
    let mut y = Array::zeros(&inputs[0].dims);
    for (x, weight) in inputs.iter().zip(&op.weights) {
        for i in 0..x.data.len() {
            y.data[i] += weight * x.data[i];
        }
    }
    vec![y]
}
