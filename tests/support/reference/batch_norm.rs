//! Batch normalisation in training and evaluation mode, and its gradient.

use moue::ops::{BatchNorm, BatchNormEval, BatchNormGrad, Function};

use super::{super::data::Array, activation::derivative, apply_function};

fn activate(activation: Option<Function>, value: f64) -> f64 {
    activation.map_or(value, |function| apply_function(function, value))
}

/// The elements of channel `c`, as offsets.
fn channel(x: &Array, c: usize) -> Vec<usize> {
    let [images, _, height, width] = x.nchw();
    let mut offsets = Vec::new();
    for n in 0..images {
        for h in 0..height {
            for w in 0..width {
                offsets.push(x.offset(n, c, h, w));
            }
        }
    }
    offsets
}

/// y, mean, 1/√(variance + eps); updates the running mean and variance.
pub(super) fn train(op: &BatchNorm, inputs: &[Array], updates: &mut [Array]) -> Vec<Array> {
    let (x, weight, bias) = (&inputs[0], &inputs[1], &inputs[2]);
    let channels = x.nchw()[1];
    let (mut y, mut mean, mut rstd) = (x.clone(), Array::zeros(&[channels]), Array::zeros(&[channels]));
    for c in 0..channels {
        let places = channel(x, c);
        let count = places.len() as f64;
        let average = places.iter().map(|&i| x.data[i]).sum::<f64>() / count;
        let squares = places.iter().map(|&i| (x.data[i] - average).powi(2)).sum::<f64>();
        mean.data[c] = average;
        rstd.data[c] = 1.0 / (squares / count + op.eps).sqrt();
        for &i in &places {
            let normal = (x.data[i] - average) * rstd.data[c] * weight.data[c] + bias.data[c];
            y.data[i] = activate(op.activation, normal);
        }
        let m = op.momentum;
        updates[0].data[c] = (1.0 - m) * updates[0].data[c] + m * average;
        updates[1].data[c] = (1.0 - m) * updates[1].data[c] + m * squares / (count - 1.0);
    }
    vec![y, mean, rstd]
}

/// y from the running estimates.
pub(super) fn eval(op: &BatchNormEval, inputs: &[Array]) -> Vec<Array> {
    let [x, weight, bias, mean, variance] = inputs else { panic!("five inputs") };
    let mut y = x.clone();
    for c in 0..x.nchw()[1] {
        for i in channel(x, c) {
            let normal = (x.data[i] - mean.data[c]) / (variance.data[c] + op.eps).sqrt();
            y.data[i] = activate(op.activation, normal * weight.data[c] + bias.data[c]);
        }
    }
    vec![y]
}

/// dx, dweight, dbias. With t the gradient before the activation and x̂ the normalised values, μ and r being
/// functions of x: `dx = w·r·(t − mean(t) − x̂·mean(t·x̂))`.
pub(super) fn grad(op: &BatchNormGrad, inputs: &[Array]) -> Vec<Array> {
    let [dy, x, weight, bias, mean, rstd] = inputs else { panic!("six inputs") };
    let channels = x.nchw()[1];
    let (mut dx, mut dweight, mut dbias) = (x.clone(), Array::zeros(&[channels]), Array::zeros(&[channels]));
    for c in 0..channels {
        let places = channel(x, c);
        let hat = |i: usize| (x.data[i] - mean.data[c]) * rstd.data[c];
        let before = |i: usize| {
            let y = activate(op.activation, hat(i) * weight.data[c] + bias.data[c]);
            dy.data[i] * op.activation.map_or(1.0, |function| derivative(function, y))
        };
        for &i in &places {
            dweight.data[c] += before(i) * hat(i);
            dbias.data[c] += before(i);
        }
        let count = places.len() as f64;
        for &i in &places {
            let centred = before(i) - dbias.data[c] / count - hat(i) * dweight.data[c] / count;
            dx.data[i] = weight.data[c] * rstd.data[c] * centred;
        }
    }
    vec![dx, dweight, dbias]
}
