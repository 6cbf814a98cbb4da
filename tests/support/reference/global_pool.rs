//! The mean and the maximum of each channel.

use moue::ops::{GlobalPool, GlobalPoolGrad, Pooling};

use super::{super::data::Array, beats};

/// Descriptors, positions of the first maxima.
pub(super) fn forward(op: &GlobalPool, inputs: &[Array]) -> Vec<Array> {
    let x = &inputs[0];
    let [images, channels, height, width] = x.nchw();
    let mut averages = Vec::new();
    let mut maxima = Vec::new();
    let mut positions = Array::zeros(&[images, channels]);
    for n in 0..images {
        for c in 0..channels {
            let (mut sum, mut best, mut position) = (0.0, f64::NEG_INFINITY, 0);
            for h in 0..height {
                for w in 0..width {
                    let value = x.at(n, c, h, w);
                    sum += value;
                    if beats(value, best) {
                        (best, position) = (value, h * width + w);
                    }
                }
            }
            averages.push(sum / (height * width) as f64);
            maxima.push(best);
            if op.pooling != Pooling::Avg {
                positions.data[n * channels + c] = position as f64;
            }
        }
    }
    let descriptors = match op.pooling {
        Pooling::Avg => averages,
        Pooling::Max => maxima,
        Pooling::AvgMax => [averages, maxima].concat(),
    };
    vec![Array::new(&[op.pooling.count(), images, channels], descriptors), positions]
}

/// dx, on top of the gradient so far.
pub(super) fn grad(op: &GlobalPoolGrad, inputs: &[Array]) -> Vec<Array> {
    let (dy, positions) = (&inputs[0], &inputs[1]);
    let [images, channels, height, width] = op.shape;
    let mut dx = inputs.get(2).cloned().unwrap_or_else(|| Array::zeros(&op.shape));
    let area = (height * width) as f64;
    for n in 0..images {
        for c in 0..channels {
            let first = dy.data[n * channels + c];
            let (average, maximum) = match op.pooling {
                Pooling::Avg => (first, 0.0),
                Pooling::Max => (0.0, first),
                Pooling::AvgMax => (first, dy.data[(images + n) * channels + c]),
            };
            for h in 0..height {
                for w in 0..width {
                    let place = dx.offset(n, c, h, w);
                    dx.data[place] += average / area;
                    if positions.data[n * channels + c] == (h * width + w) as f64 {
                        dx.data[place] += maximum;
                    }
                }
            }
        }
    }
    vec![dx]
}
