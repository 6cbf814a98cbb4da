//! Weighted sums.

use moue::ops::WeightedSum;

use super::super::data::Array;

pub(super) fn forward(op: &WeightedSum, inputs: &[Array]) -> Vec<Array> {
    let mut y = Array::zeros(&inputs[0].dims);
    for (x, weight) in inputs.iter().zip(&op.weights) {
        for i in 0..x.data.len() {
            y.data[i] += weight * x.data[i];
        }
    }
    vec![y]
}
