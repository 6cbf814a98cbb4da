//! The channel gate.

use moue::ops::{ChannelGate, ChannelGateGrad};

use super::{super::data::Array, beats};

/// y, pooled, and the group-local index of each first maximal channel.
pub(super) fn forward(op: &ChannelGate, inputs: &[Array]) -> Vec<Array> {
    let (x, a) = (&inputs[0], &inputs[1]);
    let [images, channels, height, width] = x.nchw();
    let each = channels / op.groups;
    let mut y = x.clone();
    let mut pooled = Array::zeros(&[images, 2 * op.groups, height, width]);
    let mut largest = Array::zeros(&[images, op.groups, height, width]);
    for n in 0..images {
        for g in 0..op.groups {
            for h in 0..height {
                for w in 0..width {
                    let (mut best, mut index, mut sum) = (f64::NEG_INFINITY, 0, 0.0);
                    for c in 0..each {
                        let value = x.at(n, g * each + c, h, w) * a.data[n * channels + g * each + c];
                        y.data[x.offset(n, g * each + c, h, w)] = value;
                        sum += value;
                        if beats(value, best) {
                            (best, index) = (value, c);
                        }
                    }
                    let place = pooled.offset(n, 2 * g, h, w);
                    pooled.data[place] = best;
                    let place = pooled.offset(n, 2 * g + 1, h, w);
                    pooled.data[place] = sum / each as f64;
                    let place = largest.offset(n, g, h, w);
                    largest.data[place] = index as f64;
                }
            }
        }
    }
    vec![y, pooled, largest]
}

/// dx, da.
pub(super) fn grad(op: &ChannelGateGrad, inputs: &[Array]) -> Vec<Array> {
    let [dy, dpooled, largest, x, a, so_far @ ..] = inputs else { panic!("five or six inputs") };
    let [images, channels, height, width] = x.nchw();
    let each = channels / op.groups;
    let (mut dx, mut da) = (x.clone(), so_far.first().cloned().unwrap_or_else(|| Array::zeros(&[images, channels])));
    for n in 0..images {
        for c in 0..channels {
            let g = c / each;
            for h in 0..height {
                for w in 0..width {
                    let mut t = dy.at(n, c, h, w) + dpooled.at(n, 2 * g + 1, h, w) / each as f64;
                    if largest.at(n, g, h, w) == (c % each) as f64 {
                        t += dpooled.at(n, 2 * g, h, w);
                    }
                    dx.data[x.offset(n, c, h, w)] = t * a.data[n * channels + c];
                    da.data[n * channels + c] += t * x.at(n, c, h, w);
                }
            }
        }
    }
    vec![dx, da]
}
