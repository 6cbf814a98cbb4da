//! A tensor as a view of its storage.

use std::path::Path;

use super::{pickle::Tensor, wrong};
use crate::Result;

/// More dimensions than any weight has.
pub(super) const MAX_RANK: usize = 8;

/// Where the elements of a tensor lie, all of them within the storage.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) shape: Vec<usize>,
    pub(super) elements: usize,
    stride: Vec<usize>,
    offset: usize,
}

impl Layout {
    /// Checks a tensor against the `available` elements of its storage.
    ///
    /// # Errors
    /// [`crate::Error::File`] for a tensor that has too many dimensions, more elements than its storage, or some beyond
    /// its end.
    pub(super) fn check(path: &Path, name: &str, tensor: &Tensor, available: u64) -> Result<Self> {
        let Tensor { shape, stride, offset, .. } = tensor;
        let found = || format!("shape {shape:?}, stride {stride:?}, offset {offset} in {available} elements");
        let within = || format!("`{name}` within its storage");
        if shape.len() > MAX_RANK || shape.len() != stride.len() {
            return Err(wrong(path, format!("`{name}` of at most {MAX_RANK} dimensions with a stride each"), found()));
        }
        let count = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
        let count = count.filter(|count| *count <= available).ok_or_else(|| wrong(path, within(), found()))?;
        // The last element is the furthest, since strides are not negative.
        let last = shape
            .iter()
            .zip(stride)
            .try_fold(*offset, |at, (size, stride)| at.checked_add(size.saturating_sub(1).checked_mul(*stride)?));
        if count > 0 && last.is_none_or(|last| last >= available) {
            return Err(wrong(path, within(), found()));
        }
        let sizes = |numbers: &[u64]| {
            numbers.iter().map(|number| usize::try_from(*number)).collect::<std::result::Result<_, _>>()
        };
        match (sizes(shape), sizes(stride), usize::try_from(*offset), usize::try_from(count)) {
            (Ok(shape), Ok(stride), Ok(offset), Ok(elements)) => Ok(Self { shape, elements, stride, offset }),
            _ => Err(wrong(path, within(), found())),
        }
    }

    /// The elements in row-major order.
    pub(super) fn gather(&self, storage: &[f32]) -> Vec<f32> {
        if self.elements == 0 {
            return vec![];
        }
        let mut values = Vec::with_capacity(self.elements);
        let (mut index, mut at) = (vec![0; self.shape.len()], self.offset);
        for _ in 0..self.elements {
            values.push(storage[at]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.stride[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.stride[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
        values
    }
}
