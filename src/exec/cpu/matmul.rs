//! Matrix products on one thread.

use super::Scalar;

/// A matrix in a slice: element (i, j) stands at `i·row + j·column`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}

impl Layout {
    /// Rows one after another.
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, row: columns, column: 1 }
    }

    /// The transpose.
    pub(super) fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row: self.column, column: self.row }
    }

    /// The elements from the first to the last, both included.
    fn extent(self) -> usize {
        if self.rows * self.columns == 0 {
            0
        } else {
            (self.rows - 1) * self.row + (self.columns - 1) * self.column + 1
        }
    }
}

/// `c = a·b`, or `c += a·b`.
pub(super) fn matmul<T: Scalar>(
    c: &mut [T],
    c_layout: Layout,
    accumulate: bool,
    (a, a_layout): (&[T], Layout),
    (b, b_layout): (&[T], Layout),
) {
    let (m, n, k) = (c_layout.rows, c_layout.columns, a_layout.columns);
    assert!(a_layout.rows == m && b_layout.rows == k && b_layout.columns == n);
    assert!(c.len() >= c_layout.extent() && a.len() >= a_layout.extent() && b.len() >= b_layout.extent());
    let alpha = if accumulate { T::ONE } else { T::ZERO };
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: the slices hold every element that the layouts reach; `c` is mutably borrowed, hence apart from `a`, `b`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_layout.column as isize,
            c_layout.row as isize,
            accumulate,
            a.as_ptr(),
            a_layout.column as isize,
            a_layout.row as isize,
            b.as_ptr(),
            b_layout.column as isize,
            b_layout.row as isize,
            alpha,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
