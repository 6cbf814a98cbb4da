//! Pooling over windows.

use moue::ops::{Pool2d, Pool2dGrad, PoolKind};

use super::{super::data::Array, beats};

/// Visits every window: the output's offset, and the offsets of the window's elements inside the map, row by row.
fn each_window(op: &Pool2d, x: &Array, mut visit: impl FnMut(&[usize])) {
    let [images, channels, height, width] = x.nchw();
    let out_h = (height + 2 * op.padding - op.size) / op.stride + 1;
    let out_w = (width + 2 * op.padding - op.size) / op.stride + 1;
    for n in 0..images {
        for c in 0..channels {
            for h in 0..out_h {
                for w in 0..out_w {
                    let mut window = Vec::new();
                    for i in 0..op.size {
                        for j in 0..op.size {
                            let row = (h * op.stride + i).checked_sub(op.padding).filter(|&row| row < height);
                            let column = (w * op.stride + j).checked_sub(op.padding).filter(|&column| column < width);
                            if let (Some(row), Some(column)) = (row, column) {
                                window.push(x.offset(n, c, row, column));
                            }
                        }
                    }
                    visit(&window);
                }
            }
        }
    }
}

/// The first largest element of a window, or its first NaN.
fn first_largest(x: &Array, window: &[usize]) -> usize {
    let mut best = window[0];
    for &i in window {
        if beats(x.data[i], x.data[best]) {
            best = i;
        }
    }
    best
}

/// y.
pub(super) fn forward(op: &Pool2d, inputs: &[Array]) -> Vec<Array> {
    let x = &inputs[0];
    let [images, channels, height, width] = x.nchw();
    let mut y = Vec::new();
    each_window(op, x, |window| {
        y.push(match op.kind {
            PoolKind::Max => x.data[first_largest(x, window)],
            PoolKind::Avg => window.iter().map(|&i| x.data[i]).sum::<f64>() / (op.size * op.size) as f64,
        });
    });
    let out = |side: usize| (side + 2 * op.padding - op.size) / op.stride + 1;
    vec![Array::new(&[images, channels, out(height), out(width)], y)]
}

/// dx.
pub(super) fn grad(op: &Pool2dGrad, inputs: &[Array]) -> Vec<Array> {
    let (dy, x) = (&inputs[0], &inputs[1]);
    let mut dx = Array::zeros(&x.dims);
    let mut place = 0;
    each_window(&op.pool, x, |window| {
        let gradient = dy.data[place];
        place += 1;
        match op.pool.kind {
            PoolKind::Max => dx.data[first_largest(x, window)] += gradient,
            PoolKind::Avg => {
                for &i in window {
                    dx.data[i] += gradient / (op.pool.size * op.pool.size) as f64;
                }
            }
        }
    });
    vec![dx]
}
