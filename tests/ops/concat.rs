//! Joining and slicing.

use moue::ops::{Concat, Slice, SliceGrad};

use crate::support::{case::Cases, data::Array};

pub(super) fn cases(cases: &mut Cases) {
    let base = [3, 5, 4, 7];
    for axis in 0..4 {
        for sizes in [vec![2], vec![1, 3], vec![2, 1, 5], vec![67, 1, 2, 3, 1, 1, 1, 1, 9]] {
            let part = |(i, &size): (usize, &usize)| {
                let mut dims = base;
                dims[axis] = size;
                Array::random(&format!("part {i} of {axis}"), &dims)
            };
            let parts: Vec<_> = sizes.iter().enumerate().map(part).collect();
            cases.op(&format!("{}_parts_along_axis_{axis}", sizes.len()), Concat { axis }, parts);
        }
        let size = base[axis];
        for (start, length) in [(0, 1), (1, size - 1), (size - 1, 1), (0, size)] {
            let slice = Slice { axis, start, length };
            let name = format!("slice_{start}_{length}_of_axis_{axis}");
            cases.op(&name, slice, vec![Array::random(&name, &base)]);
            let mut dims = base;
            dims[axis] = length;
            cases.op(&format!("gradient_of_{name}"), SliceGrad { slice, size }, vec![Array::random(&name, &dims)]);
        }
    }
    cases.op("vectors", Concat { axis: 0 }, vec![Array::random("a", &[259]), Array::random("b", &[1])]);
    let matrices = vec![Array::random("a", &[5, 3]), Array::random("b", &[5, 1]), Array::random("c", &[5, 63])];
    cases.op("matrices_along_columns", Concat { axis: 1 }, matrices);
    let slice = Slice { axis: 1, start: 2, length: 3 };
    cases.op("slice_of_a_matrix", slice, vec![Array::random("m", &[67, 9])]);
    cases.op("gradient_of_a_slice_of_a_matrix", SliceGrad { slice, size: 9 }, vec![Array::random("d", &[67, 3])]);
}
