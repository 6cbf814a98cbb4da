//! The matrix products of convolutions, over vectors of 16 channels.

use std::slice::Chunks;

use crate::exec::cpu::{
    Scalar,
    simd::{LANES, Lanes, Vector, lanes_times_lanes, rows_times_lanes},
};

/// Where the vectors of a matrix [blocks of 16 columns, rows] begin in a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    pub(super) blocks: usize,
    pub(super) rows: usize,
    /// Vectors from one block to the next.
    pub(super) step: usize,
}

/// Blocks of 16 inputs that are multiplied at once: those of all rows and of the filters stay in the second-level cache.
const DEPTH: usize = 64;

/// `products[o][row] = Σ_k inputs[k/16][row][k%16] · filters[o][k]` for each block o of 16 output channels.
///
/// `filters` holds, for each o, `depth` vectors, of which the first 16 for each block of inputs count. Rows are
/// padded to a multiple of [`ROWS`](crate::exec::cpu::simd::ROWS), output blocks to an even number. While some filters
/// are at work the next ones are asked for, at the end those of the product that comes `next`: few rows would have to
/// wait for them.
#[inline(always)]
pub(super) fn multiply<T: Scalar, V: Vector<T>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(
    inputs: &[Lanes<T>],
    from: Blocked,
    filters: &[Lanes<T>],
    depth: usize,
    products: &mut [Lanes<T>],
    to: Blocked,
    next: &[Lanes<T>],
) {
    let tiles = from.rows.div_ceil(ROWS);
    let once = from.blocks.div_ceil(from.blocks.div_ceil(DEPTH).max(1)).max(1);
    for first in (0..from.blocks).step_by(once) {
        let blocks = once.min(from.blocks - first);
        let inputs = &inputs[first * from.step..];
        for out in (0..to.blocks).step_by(BLOCKS) {
            let (later, at) = if out + BLOCKS < to.blocks {
                (filters, (out + BLOCKS) * depth + first * LANES)
            } else if first + blocks < from.blocks {
                (filters, (first + blocks) * LANES)
            } else {
                (next, 0)
            };
            let mut b: [&[[Lanes<T>; LANES]]; BLOCKS] = [&[]; BLOCKS];
            let mut ahead: [Chunks<'_, Lanes<T>>; BLOCKS] = std::array::from_fn(|_| [].chunks(1));
            for (j, (b, ahead)) in b.iter_mut().zip(&mut ahead).enumerate() {
                *b = filters[(out + j) * depth + first * LANES..][..blocks * LANES].as_chunks().0;
                let later = later.get(at + j * depth..).unwrap_or_default();
                *ahead = later[..later.len().min(blocks * LANES)].chunks(LANES.div_ceil(tiles));
            }
            let products = &mut products[out * to.step..];
            let mut row = 0;
            while row + FEW < from.rows {
                multiply_rows::<T, V, ROWS, BLOCKS>(
                    &inputs[row..],
                    from.step,
                    b,
                    &mut products[row..],
                    to.step,
                    first > 0,
                    &mut ahead,
                );
                row += ROWS;
            }
            if row < from.rows {
                multiply_rows::<T, V, FEW, BLOCKS>(
                    &inputs[row..],
                    from.step,
                    b,
                    &mut products[row..],
                    to.step,
                    first > 0,
                    &mut ahead,
                );
            }
        }
    }
}

/// One tile of [`multiply`]; `add`: to the products that are there.
#[inline(always)]
fn multiply_rows<T: Scalar, V: Vector<T>, const R: usize, const BLOCKS: usize>(
    inputs: &[Lanes<T>],
    from: usize,
    filters: [&[[Lanes<T>; LANES]]; BLOCKS],
    products: &mut [Lanes<T>],
    to: usize,
    add: bool,
    ahead: &mut [Chunks<'_, Lanes<T>>; BLOCKS],
) {
    let sums: [[V; BLOCKS]; R] = rows_times_lanes(inputs, from, filters, ahead);
    for (i, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            let product = &mut products[j * to + i];
            let sum = if add { V::load(product).add(sum) } else { sum };
            sum.store(product);
        }
    }
}

/// `sums[c][o] += Σ_row outputs[o/16][row][o%16] · inputs[c][row]` for each output channel o and each block c of 16
/// input channels, an even number.
#[inline(always)]
pub(super) fn accumulate<T: Scalar, V: Vector<T>, const FEW: usize, const BLOCKS: usize>(
    outputs: &[Lanes<T>],
    left: Blocked,
    inputs: &[Lanes<T>],
    right: Blocked,
    sums: &mut [Lanes<T>],
    step: usize,
) {
    for c in (0..right.blocks).step_by(BLOCKS) {
        let mut b: [&[Lanes<T>]; BLOCKS] = [&[]; BLOCKS];
        for (j, b) in b.iter_mut().enumerate() {
            *b = &inputs[(c + j) * right.step..][..right.rows];
        }
        for o in (0..left.blocks * LANES).step_by(FEW) {
            let a = &outputs[o / LANES * left.step..][..left.rows];
            let products: [[V; BLOCKS]; FEW] = lanes_times_lanes(a, o % LANES, b);
            for (i, products) in products.into_iter().enumerate() {
                for (j, product) in products.into_iter().enumerate() {
                    let sum = &mut sums[(c + j) * step + o + i];
                    V::load(sum).add(product).store(sum);
                }
            }
        }
    }
}

/// `sums[j][o] = Σ_row outputs[row][o] · inputs[j][row]` for 16 output channels o and each of a few blocks j of 16 input
/// channels, `step` vectors apart.
#[inline(always)]
pub(super) fn multiply_transposed<T: Scalar, V: Vector<T>, const FEW: usize, const BLOCKS: usize>(
    outputs: &[Lanes<T>],
    inputs: &[Lanes<T>],
    step: usize,
    sums: &mut [Lanes<T>],
) {
    let mut b: [&[Lanes<T>]; BLOCKS] = [&[]; BLOCKS];
    for (j, b) in b.iter_mut().enumerate() {
        *b = &inputs[j * step..][..outputs.len()];
    }
    for o in (0..LANES).step_by(FEW) {
        let products: [[V; BLOCKS]; FEW] = lanes_times_lanes(outputs, o, b);
        for (i, products) in products.into_iter().enumerate() {
            for (j, product) in products.into_iter().enumerate() {
                product.store(&mut sums[j * LANES + o + i]);
            }
        }
    }
}
