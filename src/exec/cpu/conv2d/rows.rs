//! Rows of maps that parallel tasks write.

use std::{marker::PhantomData, ops::Range};

/// Hands out rows of the planes of a tensor.
pub(in crate::exec::cpu) struct Rows<'a, T> {
    first: *mut T,
    rows: usize,
    w: usize,
    owner: PhantomData<&'a mut [T]>,
}

#[expect(unsafe_code, reason = "tasks write rows of many planes, which no slice of slices describes")]
// SAFETY: rows are reached through `Rows::row` alone, whose callers keep them apart.
unsafe impl<T: Send> Sync for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// The rows of `w` elements of `data`.
    pub(in crate::exec::cpu) fn new(data: &'a mut [T], w: usize) -> Self {
        Self { first: data.as_mut_ptr(), rows: data.len() / w, w, owner: PhantomData }
    }

    /// One row, counted through all planes.
    ///
    /// # Safety
    /// While the row is in use nobody else asks for it.
    #[expect(unsafe_code, clippy::mut_from_ref, reason = "the caller keeps rows apart")]
    #[inline(always)]
    pub(in crate::exec::cpu) unsafe fn row(&self, row: usize) -> &mut [T] {
        // SAFETY: the caller's.
        unsafe { self.rows(row..row + 1) }
    }

    /// Some rows, counted through all planes.
    ///
    /// # Safety
    /// While the rows are in use nobody else asks for one of them.
    #[expect(unsafe_code, clippy::mut_from_ref, reason = "the caller keeps rows apart")]
    #[inline(always)]
    pub(in crate::exec::cpu) unsafe fn rows(&self, rows: Range<usize>) -> &mut [T] {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        // SAFETY: the rows lie within the slice of `new`; the caller says that they are not in use.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(rows.start * self.w), rows.len() * self.w) }
    }
}
