//! Joining and taking parts, by way of each element's full index.

use moue::ops::{Concat, Slice, SliceGrad};

use super::super::data::Array;

/// The index of the element at `offset`, one number a dimension.
fn index(dims: &[usize], mut offset: usize) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for axis in (0..dims.len()).rev() {
        index[axis] = offset % dims[axis];
        offset /= dims[axis];
    }
    index
}

fn offset(dims: &[usize], index: &[usize]) -> usize {
    dims.iter().zip(index).fold(0, |offset, (size, i)| offset * size + i)
}

pub(super) fn concat(op: &Concat, inputs: &[Array]) -> Vec<Array> {
    let mut dims = inputs[0].dims.clone();
    dims[op.axis] = inputs.iter().map(|input| input.dims[op.axis]).sum();
    let mut whole = Array::zeros(&dims);
    let mut start = 0;
    for input in inputs {
        for (place, &value) in input.data.iter().enumerate() {
            let mut at = index(&input.dims, place);
            at[op.axis] += start;
            whole.data[offset(&dims, &at)] = value;
        }
        start += input.dims[op.axis];
    }
    vec![whole]
}

pub(super) fn slice(op: &Slice, inputs: &[Array]) -> Vec<Array> {
    let mut dims = inputs[0].dims.clone();
    dims[op.axis] = op.length;
    let mut part = Array::zeros(&dims);
    for (place, value) in part.data.iter_mut().enumerate() {
        let mut at = index(&dims, place);
        at[op.axis] += op.start;
        *value = inputs[0].data[offset(&inputs[0].dims, &at)];
    }
    vec![part]
}

pub(super) fn slice_grad(op: &SliceGrad, inputs: &[Array]) -> Vec<Array> {
    let mut dims = inputs[0].dims.clone();
    dims[op.slice.axis] = op.size;
    let mut whole = Array::zeros(&dims);
    for (place, &value) in inputs[0].data.iter().enumerate() {
        let mut at = index(&inputs[0].dims, place);
        at[op.slice.axis] += op.slice.start;
        whole.data[offset(&dims, &at)] = value;
    }
    vec![whole]
}
