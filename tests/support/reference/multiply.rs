//! Products.

use super::super::data::Array;

pub(super) fn forward(inputs: &[Array]) -> Vec<Array> {
    let (a, b) = (&inputs[0], &inputs[1]);
    let data = (0..a.data.len()).map(|i| a.data[i] * if b.data.len() == 1 { b.data[0] } else { b.data[i] }).collect();
    vec![Array::new(&a.dims, data)]
}
