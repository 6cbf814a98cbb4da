//! The spatial gate.

use moue::ops::{SpatialGate, SpatialGateGrad};

use super::super::data::Array;

/// y.
pub(super) fn forward(op: &SpatialGate, inputs: &[Array]) -> Vec<Array> {
    let (x, a) = (&inputs[0], &inputs[1]);
    let [images, channels, height, width] = x.nchw();
    let mut y = x.clone();
    for n in 0..images {
        for c in 0..channels {
            for h in 0..height {
                for w in 0..width {
                    y.data[x.offset(n, c, h, w)] = x.at(n, c, h, w) * a.at(n, c / (channels / op.groups), h, w);
                }
            }
        }
    }
    vec![y]
}

/// dx, da.
pub(super) fn grad(op: &SpatialGateGrad, inputs: &[Array]) -> Vec<Array> {
    let (dy, x, a) = (&inputs[0], &inputs[1], &inputs[2]);
    let [images, channels, height, width] = x.nchw();
    let (mut dx, mut da) = (x.clone(), Array::zeros(&a.dims));
    for n in 0..images {
        for c in 0..channels {
            let g = c / (channels / op.groups);
            for h in 0..height {
                for w in 0..width {
                    dx.data[x.offset(n, c, h, w)] = dy.at(n, c, h, w) * a.at(n, g, h, w);
                    da.data[a.offset(n, g, h, w)] += dy.at(n, c, h, w) * x.at(n, c, h, w);
                }
            }
        }
    }
    vec![dx, da]
}
