//! The determinant of a similarity matrix and its cofactors, in double precision.

use super::{
    Scalar,
    kernel::{Io, Kernel},
};
use crate::ops::{Objective, similarity::MAX_LEARNERS};

type Matrix = [[f64; MAX_LEARNERS]; MAX_LEARNERS];

pub(super) struct Forward {
    pub(super) objective: Objective,
    pub(super) size: usize,
}

/// The determinant of the leading `size`×`size` block, by elimination with row exchange; 1 for an empty one.
fn determinant(mut a: Matrix, size: usize) -> f64 {
    let mut det = 1.0;
    for k in 0..size {
        let pivot = (k..size).max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs())).unwrap_or(k);
        if a[pivot][k] == 0.0 {
            return 0.0;
        }
        if pivot != k {
            a.swap(pivot, k);
            det = -det;
        }
        det *= a[k][k];
        let row = a[k];
        for below in &mut a[k + 1..size] {
            let factor = below[k] / row[k];
            for (below, &row) in below[k..size].iter_mut().zip(&row[k..size]) {
                *below -= factor * row;
            }
        }
    }
    det
}

/// The matrix without one row and one column.
fn minor(a: &Matrix, size: usize, row: usize, column: usize) -> Matrix {
    let mut out = Matrix::default();
    for (i, from) in (0..size).filter(|i| *i != row).enumerate() {
        for (j, to) in (0..size).filter(|j| *j != column).enumerate() {
            out[i][j] = a[from][to];
        }
    }
    out
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let size = self.size;
        let mut s = Matrix::default();
        for (to, from) in s.iter_mut().zip(io.input(0).chunks_exact(size)) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from.wide());
        }
        let flaw = s.iter().flatten().copied().find(|entry| !entry.is_finite());
        let ([value, gradient], _) = io.write();
        // A pivot of 0 would end the elimination before it is seen.
        if let Some(flaw) = flaw.filter(|_| !matches!(self.objective, Objective::Sum)) {
            value[0] = T::of(flaw);
            gradient.fill(T::of(flaw));
            return;
        }
        if let Objective::ShiftedLogDet { eps } = self.objective {
            (0..size).for_each(|i| s[i][i] += eps);
        }
        let entries = gradient.iter_mut().enumerate().map(|(i, gradient)| (i / size, i % size, gradient));
        let cofactor = |row: usize, column: usize| {
            let sign = if (row + column).is_multiple_of(2) { 1.0 } else { -1.0 };
            sign * determinant(minor(&s, size, row, column), size - 1)
        };
        match self.objective {
            Objective::Det => {
                value[0] = T::of(determinant(s, size));
                entries.for_each(|(row, column, gradient)| *gradient = T::of(cofactor(row, column)));
            }
            Objective::LogDet { eps } => {
                let det = determinant(s, size);
                // Not max(): a NaN must stay one.
                value[0] = T::of(if det < eps { eps } else { det }.ln());
                for (row, column, gradient) in entries {
                    *gradient = if det <= eps { T::ZERO } else { T::of(cofactor(row, column) / det) };
                }
            }
            Objective::ShiftedLogDet { eps } => {
                let (det, least) = (determinant(s, size), eps.powi(size as i32));
                // Not max(): a NaN must stay one.
                value[0] = T::of(if det < least { least } else { det }.ln() / size as f64);
                for (row, column, gradient) in entries {
                    let slope = cofactor(row, column) / det / size as f64;
                    *gradient = if det < least { T::ZERO } else { T::of(slope) };
                }
            }
            Objective::Sum => {
                let off = (0..size).flat_map(|i| (0..size).filter(move |j| *j != i).map(move |j| (i, j)));
                value[0] = T::of(off.map(|(i, j)| s[i][j]).sum());
                entries.for_each(|(row, column, gradient)| *gradient = if row == column { T::ZERO } else { T::ONE });
            }
        }
    }
}
