//! Maps at unit length.

use moue::ops::UnitLength;

use super::super::data::Array;

/// The length of each learner's map, and its number of values.
fn lengths(op: &UnitLength, x: &Array) -> (Vec<f64>, usize) {
    let features = x.data.len() / x.dims[0] / op.learners;
    let length = |row: &[f64]| (row.iter().map(|x| x * x).sum::<f64>() + op.eps).sqrt();
    (x.data.chunks(features).map(length).collect(), features)
}

/// y.
pub(super) fn forward(op: &UnitLength, inputs: &[Array]) -> Vec<Array> {
    let (lengths, features) = lengths(op, &inputs[0]);
    let mut y = inputs[0].clone();
    for (i, value) in y.data.iter_mut().enumerate() {
        *value /= lengths[i / features];
    }
    vec![y]
}

/// dx, by the derivative of every y by every x of its row.
pub(super) fn grad(op: &UnitLength, inputs: &[Array]) -> Vec<Array> {
    let [dy, x] = inputs else { panic!("two inputs") };
    let (lengths, features) = lengths(op, x);
    let mut dx = Array::zeros(&x.dims);
    for (row, length) in lengths.iter().enumerate() {
        for i in 0..features {
            for j in 0..features {
                let [a, b] = [i, j].map(|at| x.data[row * features + at]);
                let own = if i == j { 1.0 / length } else { 0.0 };
                dx.data[row * features + i] += dy.data[row * features + j] * (own - a * b / length.powi(3));
            }
        }
    }
    vec![dx]
}
