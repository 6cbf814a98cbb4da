//! Batch normalisation in training and evaluation mode, with pooling and descriptors, and its gradient.

use moue::ops::{BatchNorm, BatchNormEval, BatchNormGrad, Function};

use super::{super::data::Array, activation::derivative, apply_function, beats};

fn activate(activation: Option<Function>, value: f64) -> f64 {
    activation.map_or(value, |function| apply_function(function, value))
}

/// A sum that carries its rounding errors along (Neumaier): those of many equal terms are equal, and add up.
fn total(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for term in terms {
        let next = sum + term;
        lost += if sum.abs() >= term.abs() { (sum - next) + term } else { (term - next) + sum };
        sum = next;
    }
    sum + lost
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

/// For each element of y the element of z that it is: itself, or the first largest of a window, or its first NaN.
fn chosen(z: &Array, pool: bool) -> (Vec<usize>, Vec<usize>) {
    let [images, channels, height, width] = z.nchw();
    if !pool {
        return ((0..z.data.len()).collect(), z.dims.clone());
    }
    let mut all = Vec::new();
    for n in 0..images {
        for c in 0..channels {
            for h in 0..height / 2 {
                for w in 0..width / 2 {
                    let mut best = z.offset(n, c, 2 * h, 2 * w);
                    for (i, j) in [(0, 1), (1, 0), (1, 1)] {
                        let other = z.offset(n, c, 2 * h + i, 2 * w + j);
                        if beats(z.data[other], z.data[best]) {
                            best = other;
                        }
                    }
                    all.push(best);
                }
            }
        }
    }
    (all, vec![images, channels, height / 2, width / 2])
}

fn pooled(z: &Array, pool: bool) -> Array {
    let (chosen, dims) = chosen(z, pool);
    Array::new(&dims, chosen.into_iter().map(|i| z.data[i]).collect())
}

/// Average and maximum of each plane, and the position of each first maximum.
fn describe(y: &Array) -> [Array; 2] {
    let [images, channels, height, width] = y.nchw();
    let (mut descriptors, mut positions) = (Array::zeros(&[2, images, channels]), Array::zeros(&[images, channels]));
    for n in 0..images {
        for c in 0..channels {
            let (mut best, mut position) = (y.at(n, c, 0, 0), 0);
            for h in 0..height {
                for w in 0..width {
                    if beats(y.at(n, c, h, w), best) {
                        (best, position) = (y.at(n, c, h, w), h * width + w);
                    }
                }
            }
            let plane = &y.data[y.offset(n, c, 0, 0)..][..height * width];
            descriptors.data[n * channels + c] = total(plane.iter().copied()) / (height * width) as f64;
            descriptors.data[(images + n) * channels + c] = best;
            positions.data[n * channels + c] = position as f64;
        }
    }
    [descriptors, positions]
}

/// y, moments: mean and 1/√(variance + eps), then descriptors and positions; updates the running mean and variance.
pub(super) fn train(op: &BatchNorm, inputs: &[Array], updates: &mut [Array]) -> Vec<Array> {
    let (x, weight, bias) = (&inputs[0], &inputs[1], &inputs[2]);
    let channels = x.nchw()[1];
    let (mut z, mut moments) = (x.clone(), Array::zeros(&[2, channels]));
    for c in 0..channels {
        let places = channel(x, c);
        let count = places.len() as f64;
        let average = total(places.iter().map(|&i| x.data[i])) / count;
        let squares = total(places.iter().map(|&i| (x.data[i] - average).powi(2)));
        let rstd = 1.0 / (squares / count + op.eps).sqrt();
        moments.data[c] = average;
        moments.data[channels + c] = rstd;
        for &i in &places {
            z.data[i] = activate(op.activation, (x.data[i] - average) * rstd * weight.data[c] + bias.data[c]);
        }
        let m = op.momentum;
        updates[0].data[c] = (1.0 - m) * updates[0].data[c] + m * average;
        updates[1].data[c] = (1.0 - m) * updates[1].data[c] + m * squares / (count - 1.0);
    }
    let y = pooled(&z, op.pool);
    let described = op.descriptors.then(|| describe(&y));
    let mut outputs = vec![y, moments];
    outputs.extend(described.into_iter().flatten());
    outputs
}

/// y from the running estimates, then descriptors.
pub(super) fn eval(op: &BatchNormEval, inputs: &[Array]) -> Vec<Array> {
    let [x, weight, bias, mean, variance] = inputs else { panic!("five inputs") };
    let mut z = x.clone();
    for c in 0..x.nchw()[1] {
        for i in channel(x, c) {
            let normal = (x.data[i] - mean.data[c]) / (variance.data[c] + op.eps).sqrt();
            z.data[i] = activate(op.activation, normal * weight.data[c] + bias.data[c]);
        }
    }
    let y = pooled(&z, op.pool);
    let described = op.descriptors.then(|| describe(&y));
    let mut outputs = vec![y];
    outputs.extend(described.into_iter().flatten().take(1));
    outputs
}

/// The gradient of z: that of y and of the descriptors, at the elements that y took.
fn before_pooling(op: &BatchNormGrad, z: &Array, inputs: &[Array]) -> Array {
    let mut gradient = inputs[0].clone();
    if op.descriptors {
        let (descriptors, positions) = (&inputs[5], &inputs[6]);
        let [images, channels, height, width] = gradient.nchw();
        let area = height * width;
        for plane in 0..images * channels {
            for i in 0..area {
                gradient.data[plane * area + i] += descriptors.data[plane] / area as f64;
                if positions.data[plane] == i as f64 {
                    gradient.data[plane * area + i] += descriptors.data[images * channels + plane];
                }
            }
        }
    }
    let mut dz = Array::zeros(&z.dims);
    for (i, place) in chosen(z, op.pool).0.into_iter().enumerate() {
        dz.data[place] += gradient.data[i];
    }
    dz
}

/// dx, dweight, dbias. With t the gradient before the activation and x̂ the normalised values, μ and r being
/// functions of x: `dx = w·r·(t − mean(t) − x̂·mean(t·x̂))`.
pub(super) fn grad(op: &BatchNormGrad, inputs: &[Array]) -> Vec<Array> {
    let [_, x, weight, bias, moments, ..] = inputs else { panic!("five or seven inputs") };
    let channels = x.nchw()[1];
    let hat = |i: usize, c: usize| (x.data[i] - moments.data[c]) * moments.data[channels + c];
    let mut z = x.clone();
    for c in 0..channels {
        for i in channel(x, c) {
            z.data[i] = activate(op.activation, hat(i, c) * weight.data[c] + bias.data[c]);
        }
    }
    let dz = before_pooling(op, &z, inputs);
    let before = |i: usize| dz.data[i] * op.activation.map_or(1.0, |function| derivative(function, z.data[i]));
    let (mut dx, mut dweight, mut dbias) = (x.clone(), Array::zeros(&[channels]), Array::zeros(&[channels]));
    for c in 0..channels {
        let places = channel(x, c);
        dweight.data[c] = total(places.iter().map(|&i| before(i) * hat(i, c)));
        dbias.data[c] = total(places.iter().map(|&i| before(i)));
        let count = places.len() as f64;
        for &i in &places {
            let centred = before(i) - dbias.data[c] / count - hat(i, c) * dweight.data[c] / count;
            dx.data[i] = weight.data[c] * moments.data[channels + c] * centred;
        }
    }
    vec![dx, dweight, dbias]
}
