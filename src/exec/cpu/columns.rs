//! Parallel tasks that each write one column of a matrix of blocks, such as one channel of every image.

use std::marker::PhantomData;

use crate::exec::cpu::parallel::*;

/// One column of a matrix [rows, columns, width].
pub(super) struct Column<'a, T> {
    first: *mut T,
    rows: usize,
    stride: usize,
    width: usize,
    owner: PhantomData<&'a mut [T]>,
}

#[expect(unsafe_code, reason = "a column is as good as a mutable slice, but for not being contiguous")]
// SAFETY: a Column is the only way to its elements while it lives (see `columns`).
unsafe impl<T: Send> Send for Column<'_, T> {}

impl<T> Column<'_, T> {
    /// The block of one row, of `width` elements.
    #[expect(unsafe_code, reason = "safe code cannot hold all blocks of a column without a list of them")]
    pub(super) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows);
        // SAFETY: `columns` checked that all rows lie within its slice; no other column has this block, and `self`
        // is borrowed for as long as the block is.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.width) }
    }
}

/// A parallel iterator over the columns of `data`, a matrix [rows, columns, width].
pub(super) fn columns<T: Send + Sync>(
    data: &mut [T],
    columns: usize,
    width: usize,
) -> impl IndexedParallelIterator<Item = Column<'_, T>> {
    let matrix = Matrix::new(data, columns, width);
    (0..columns).into_par_iter().map(move |column| matrix.column(column))
}

/// The same where `data` may be missing; then so are the columns.
pub(super) fn columns_of_some<T: Send + Sync>(
    data: Option<&mut [T]>,
    columns: usize,
    width: usize,
) -> impl IndexedParallelIterator<Item = Option<Column<'_, T>>> {
    let matrix = data.map(|data| Matrix::new(data, columns, width));
    (0..columns).into_par_iter().map(move |column| matrix.as_ref().map(|matrix| matrix.column(column)))
}

/// The whole matrix, made sendable.
struct Matrix<'a, T> {
    first: *mut T,
    rows: usize,
    stride: usize,
    width: usize,
    owner: PhantomData<&'a mut [T]>,
}

#[expect(unsafe_code, reason = "the pointer is turned into disjoint columns only")]
// SAFETY: each index of the parallel range is visited once, so that no two columns share an element; the slice is
// mutably borrowed for as long as any column lives.
unsafe impl<T: Send> Sync for Matrix<'_, T> {}

#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl<T: Send> Send for Matrix<'_, T> {}

impl<'a, T> Matrix<'a, T> {
    fn new(data: &'a mut [T], columns: usize, width: usize) -> Self {
        let stride = columns * width;
        assert!(stride > 0 && data.len().is_multiple_of(stride));
        Self { first: data.as_mut_ptr(), rows: data.len() / stride, stride, width, owner: PhantomData }
    }

    fn column(&self, column: usize) -> Column<'a, T> {
        let Self { first, rows, stride, width, owner } = *self;
        Column { first: first.wrapping_add(column * width), rows, stride, width, owner }
    }
}
