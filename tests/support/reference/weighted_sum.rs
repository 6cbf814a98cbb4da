//! Weighted sums.

use moue::ops::WeightedSum;

use super::{super::data::Array, apply_function};

pub(super) fn forward(op: &WeightedSum, inputs: &[Array]) -> Vec<Array> {
    let mut y = Array::zeros(&inputs[0].dims);
    for (x, weight) in inputs.iter().zip(&op.weights) {
        for i in 0..x.data.len() {
            y.data[i] += weight * x.data[i];
        }
    }
    if let Some(function) = op.activation {
        y.data.iter_mut().for_each(|y| *y = apply_function(function, *y));
    }
    vec![y]
}
