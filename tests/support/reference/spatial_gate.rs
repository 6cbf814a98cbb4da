//! CBAM's spatial gate in training and evaluation mode, and its gradient.

use moue::ops::{SpatialGate, SpatialGateEval, SpatialGateGrad};

use super::{super::data::Array, apply_function};

/// One product of the convolution: offsets into the pooled maps, the filters and z.
struct Tap {
    pooled: usize,
    filter: usize,
    z: usize,
}

/// Visits every product of a pooled value and a filter's element that goes into z.
fn each_tap(pooled: &Array, filters: &Array, mut visit: impl FnMut(Tap)) {
    let ([images, _, height, width], [groups, _, kernel, _]) = (pooled.nchw(), filters.nchw());
    for n in 0..images {
        for g in 0..groups {
            for h in 0..height {
                for w in 0..width {
                    for d in 0..2 {
                        for i in 0..kernel {
                            for j in 0..kernel {
                                let (row, column) = (h + i, w + j);
                                let border = kernel / 2;
                                if row < border || column < border {
                                    continue;
                                }
                                let (row, column) = (row - border, column - border);
                                if row >= height || column >= width {
                                    continue;
                                }
                                visit(Tap {
                                    pooled: pooled.offset(n, 2 * g + d, row, column),
                                    filter: filters.offset(g, d, i, j),
                                    z: ((n * groups + g) * height + h) * width + w,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
}

/// z.
pub(crate) fn scores(pooled: &Array, filters: &Array) -> Array {
    let [images, channels, height, width] = pooled.nchw();
    let mut z = Array::zeros(&[images, channels / 2, height, width]);
    each_tap(pooled, filters, |tap| z.data[tap.z] += pooled.data[tap.pooled] * filters.data[tap.filter]);
    z
}

/// The group of each element of an attention map.
fn group_of(a: &Array, place: usize) -> usize {
    let [_, groups, height, width] = a.nchw();
    place / (height * width) % groups
}

fn sigmoid(value: f64) -> f64 {
    apply_function(moue::ops::Function::Sigmoid, value)
}

/// Visits each element of x with its offset and that of its attention.
fn each_element(x: &Array, a: &Array, mut visit: impl FnMut(usize, usize)) {
    let ([images, channels, height, width], [_, groups, ..]) = (x.nchw(), a.nchw());
    for n in 0..images {
        for c in 0..channels {
            for h in 0..height {
                for w in 0..width {
                    visit(x.offset(n, c, h, w), a.offset(n, c / (channels / groups), h, w));
                }
            }
        }
    }
}

fn multiply(x: &Array, a: &Array) -> Array {
    let mut y = x.clone();
    each_element(x, a, |i, at| y.data[i] = x.data[i] * a.data[at]);
    y
}

/// y, a, x̂, r; updates the running mean and variance. Of one element a group the unbiased variance is 0.
pub(super) fn train(op: &SpatialGate, inputs: &[Array], updates: &mut [Array]) -> Vec<Array> {
    let [x, pooled, filters, weight, bias] = inputs else { panic!("five inputs") };
    let z = scores(pooled, filters);
    let (mut a, mut hat, mut rstd) = (z.clone(), z.clone(), Array::zeros(&[op.groups]));
    for g in 0..op.groups {
        let places: Vec<usize> = (0..z.data.len()).filter(|&i| group_of(&z, i) == g).collect();
        let count = places.len() as f64;
        let mean = places.iter().map(|&i| z.data[i]).sum::<f64>() / count;
        let squares = places.iter().map(|&i| (z.data[i] - mean).powi(2)).sum::<f64>();
        rstd.data[g] = 1.0 / (squares / count + op.eps).sqrt();
        for i in places {
            hat.data[i] = (z.data[i] - mean) * rstd.data[g];
            a.data[i] = sigmoid(weight.data[g] * hat.data[i] + bias.data[g]);
        }
        let m = op.momentum;
        updates[0].data[g] = (1.0 - m) * updates[0].data[g] + m * mean;
        updates[1].data[g] = (1.0 - m) * updates[1].data[g] + m * squares / (count - 1.0).max(1.0);
    }
    vec![multiply(x, &a), a, hat, rstd]
}

/// y, a from the running estimates.
pub(super) fn eval(op: &SpatialGateEval, inputs: &[Array]) -> Vec<Array> {
    let [x, pooled, filters, weight, bias, mean, variance] = inputs else { panic!("seven inputs") };
    let mut a = scores(pooled, filters);
    for i in 0..a.data.len() {
        let g = group_of(&a, i);
        let hat = (a.data[i] - mean.data[g]) / (variance.data[g] + op.eps).sqrt();
        a.data[i] = sigmoid(weight.data[g] * hat + bias.data[g]);
    }
    vec![multiply(x, &a), a]
}

/// dx, dpooled, dfilters, dweight, dbias, t.
pub(super) fn grad(op: &SpatialGateGrad, inputs: &[Array]) -> Vec<Array> {
    let [dy, x, pooled, filters, weight, bias, hat, rstd, direct @ ..] = inputs else { panic!("eight inputs") };
    let mut a = hat.clone();
    for i in 0..a.data.len() {
        let g = group_of(hat, i);
        a.data[i] = sigmoid(weight.data[g] * hat.data[i] + bias.data[g]);
    }
    let mut t = direct.first().cloned().unwrap_or_else(|| Array::zeros(&hat.dims));
    each_element(x, &a, |i, at| t.data[at] += dy.data[i] * x.data[i]);
    for i in 0..t.data.len() {
        t.data[i] *= a.data[i] * (1.0 - a.data[i]);
    }
    let (mut dweight, mut dbias) = (Array::zeros(&[op.groups]), Array::zeros(&[op.groups]));
    for i in 0..t.data.len() {
        dweight.data[group_of(hat, i)] += t.data[i] * hat.data[i];
        dbias.data[group_of(hat, i)] += t.data[i];
    }
    let count = (t.data.len() / op.groups) as f64;
    let mut dz = t.clone();
    for i in 0..t.data.len() {
        let g = group_of(hat, i);
        let centred = t.data[i] - (dbias.data[g] + hat.data[i] * dweight.data[g]) / count;
        dz.data[i] = weight.data[g] * rstd.data[g] * centred;
    }
    let (mut dpooled, mut dfilters) = (Array::zeros(&pooled.dims), Array::zeros(&filters.dims));
    each_tap(pooled, filters, |tap| {
        dpooled.data[tap.pooled] += dz.data[tap.z] * filters.data[tap.filter];
        dfilters.data[tap.filter] += dz.data[tap.z] * pooled.data[tap.pooled];
    });
    vec![multiply(dy, &a), dpooled, dfilters, dweight, dbias, t]
}
