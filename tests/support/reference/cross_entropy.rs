//! Softmax cross-entropy of the branches, and hits.

use super::super::data::Array;

/// The first largest of some numbers.
fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > values[best] {
            best = i;
        }
    }
    best
}

/// `log Σ exp(z)`, shifted by the largest.
fn log_sum_exp(z: &[f64]) -> f64 {
    let top = z[argmax(z)];
    top + z.iter().map(|value| (value - top).exp()).sum::<f64>().ln()
}

/// loss, each branch's cross-entropy, hits.
pub(super) fn forward(inputs: &[Array]) -> Vec<Array> {
    let (z, t, weights) = (&inputs[0], &inputs[1], &inputs[2]);
    let (images, classes, branches) = (t.dims[0], t.dims[1], weights.data.len());
    let mut own = Array::zeros(&[branches]);
    let mut hits = Array::zeros(&[branches + 1]);
    for n in 0..images {
        let target = &t.data[n * classes..][..classes];
        let truth = argmax(target);
        let mut votes = vec![0.0; classes];
        for b in 0..branches {
            let logits = &z.data[(n * branches + b) * classes..][..classes];
            let norm = log_sum_exp(logits);
            for k in 0..classes {
                own.data[b] -= target[k] * (logits[k] - norm) / images as f64;
            }
            let guess = argmax(logits);
            if guess == truth {
                hits.data[b] += 1.0;
            }
            if weights.data[b] > 0.0 {
                votes[guess] += 1.0;
            }
        }
        if argmax(&votes) == truth {
            hits.data[branches] += 1.0;
        }
    }
    let loss = (0..branches).map(|b| weights.data[b] * own.data[b]).sum();
    vec![Array::new(&[1], vec![loss]), own, hits]
}

/// dz.
pub(super) fn grad(inputs: &[Array]) -> Vec<Array> {
    let [dloss, z, t, weights] = inputs else { panic!("four inputs") };
    let (images, classes, branches) = (t.dims[0], t.dims[1], weights.data.len());
    let mut dz = Array::zeros(&z.dims);
    for n in 0..images {
        let target = &t.data[n * classes..][..classes];
        let mass: f64 = target.iter().sum();
        for b in 0..branches {
            let start = (n * branches + b) * classes;
            let logits = &z.data[start..][..classes];
            let norm = log_sum_exp(logits);
            for k in 0..classes {
                let softmax = (logits[k] - norm).exp();
                dz.data[start + k] = dloss.data[0] * weights.data[b] / images as f64 * (softmax * mass - target[k]);
            }
        }
    }
    vec![dz]
}
