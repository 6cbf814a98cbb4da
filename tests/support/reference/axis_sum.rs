//! Sums over an axis and repetition along one.

use moue::ops::{AxisRepeat, AxisSum};

use super::super::data::Array;

/// The product of the dimensions before an axis, the axis's length, and the product of those behind it.
fn around(dims: &[usize], axis: usize) -> [usize; 3] {
    [dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product()]
}

pub(super) fn forward(op: &AxisSum, inputs: &[Array]) -> Vec<Array> {
    let [outer, length, inner] = around(&inputs[0].dims, op.axis);
    let mut dims = inputs[0].dims.clone();
    dims.remove(op.axis);
    let mut y = Array::zeros(&dims);
    for o in 0..outer {
        for k in 0..length {
            for i in 0..inner {
                y.data[o * inner + i] += op.scale * inputs[0].data[(o * length + k) * inner + i];
            }
        }
    }
    vec![y]
}

pub(super) fn repeat(op: &AxisRepeat, inputs: &[Array]) -> Vec<Array> {
    let mut dims = inputs[0].dims.clone();
    dims.insert(op.axis, op.length);
    let [outer, length, inner] = around(&dims, op.axis);
    let mut y = Array::zeros(&dims);
    for o in 0..outer {
        for k in 0..length {
            for i in 0..inner {
                y.data[(o * length + k) * inner + i] = op.scale * inputs[0].data[o * inner + i];
            }
        }
    }
    vec![y]
}
