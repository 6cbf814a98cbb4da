//! The determinant and its cofactors, by elimination with full pivoting of every matrix and minor anew.

use moue::ops::{Determinant, Objective};

use super::super::data::Array;

/// The determinant of a row-major square matrix.
pub(crate) fn determinant(size: usize, matrix: &[f64]) -> f64 {
    let mut m = matrix.to_vec();
    let mut product = 1.0;
    for step in 0..size {
        let (mut row, mut column) = (step, step);
        for i in step..size {
            for j in step..size {
                if m[i * size + j].abs() > m[row * size + column].abs() {
                    (row, column) = (i, j);
                }
            }
        }
        let pivot = m[row * size + column];
        if pivot == 0.0 {
            return 0.0;
        }
        for j in 0..size {
            m.swap(step * size + j, row * size + j);
        }
        for i in 0..size {
            m.swap(i * size + step, i * size + column);
        }
        product *= if (row != step) == (column != step) { pivot } else { -pivot };
        for i in step + 1..size {
            let factor = m[i * size + step] / pivot;
            for j in step..size {
                m[i * size + j] -= factor * m[step * size + j];
            }
        }
    }
    product
}

/// The matrix without one row and one column.
fn minor(size: usize, matrix: &[f64], row: usize, column: usize) -> Vec<f64> {
    let mut minor = Vec::new();
    for i in (0..size).filter(|&i| i != row) {
        for j in (0..size).filter(|&j| j != column) {
            minor.push(matrix[i * size + j]);
        }
    }
    minor
}

fn cofactor(size: usize, matrix: &[f64], row: usize, column: usize) -> f64 {
    let sign = if (row + column).is_multiple_of(2) { 1.0 } else { -1.0 };
    sign * determinant(size - 1, &minor(size, matrix, row, column))
}

/// `Σ |cofactor|·|entry|`: how far the determinant moves when every entry moves by its own size, to first order.
pub(crate) fn first_order_slack(size: usize, matrix: &[f64]) -> f64 {
    let mut sum = 0.0;
    for row in 0..size {
        for column in 0..size {
            sum += (cofactor(size, matrix, row, column) * matrix[row * size + column]).abs();
        }
    }
    sum
}

/// The same for each cofactor, as the determinant of its minor.
pub(crate) fn cofactor_slack(size: usize, matrix: &[f64]) -> Vec<f64> {
    (0..size * size)
        .map(|place| first_order_slack(size - 1, &minor(size, matrix, place / size, place % size)))
        .collect()
}

/// D, C.
pub(super) fn forward(op: &Determinant, inputs: &[Array]) -> Vec<Array> {
    let mut s = inputs[0].clone();
    let size = s.dims[0];
    if let Objective::ShiftedLogDet { eps } = op.objective {
        for i in 0..size {
            s.data[i * size + i] += eps;
        }
    }
    let mut gradient = Array::zeros(&[size, size]);
    for row in 0..size {
        for column in 0..size {
            gradient.data[row * size + column] = cofactor(size, &s.data, row, column);
        }
    }
    let det = determinant(size, &s.data);
    // Elimination ends at a pivot of 0, and `f64::max` takes the number.
    let flaw = s.data.iter().copied().find(|entry| !entry.is_finite());
    if let (Some(flaw), true) = (flaw, op.objective != Objective::Sum) {
        return vec![Array::filled(&[1], flaw), Array::filled(&[size, size], flaw)];
    }
    let value = match op.objective {
        Objective::Det => det,
        Objective::LogDet { eps } => {
            let scale = if det > eps { 1.0 / det } else { 0.0 };
            for entry in &mut gradient.data {
                *entry *= scale;
            }
            if det < eps { eps.ln() } else { det.ln() }
        }
        Objective::ShiftedLogDet { eps } => {
            let least = eps.powi(size as i32);
            for entry in &mut gradient.data {
                *entry = if det < least { 0.0 } else { *entry / det / size as f64 };
            }
            if det < least { eps.ln() } else { det.ln() / size as f64 }
        }
        Objective::Sum => {
            let mut sum = 0.0;
            for row in 0..size {
                for column in 0..size {
                    let off = if row == column { 0.0 } else { 1.0 };
                    gradient.data[row * size + column] = off;
                    sum += off * s.data[row * size + column];
                }
            }
            sum
        }
    };
    vec![Array::new(&[1], vec![value]), gradient]
}
