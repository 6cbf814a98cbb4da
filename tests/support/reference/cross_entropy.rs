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

/// What a branch's answer to an image is compared with: one target for all, or its own.
fn target(t: &Array, image: usize, branch: usize, branches: usize, classes: usize) -> &[f64] {
    let place = if t.dims[1] == classes { image } else { image * branches + branch };
    &t.data[place * classes..][..classes]
}

/// loss, each branch's cross-entropy, hits.
pub(super) fn forward(inputs: &[Array]) -> Vec<Array> {
    let (z, t, weights) = (&inputs[0], &inputs[1], &inputs[2]);
    let (images, branches) = (t.dims[0], weights.data.len());
    let classes = z.data.len() / images / branches;
    let mut own = Array::zeros(&[branches]);
    let mut hits = Array::zeros(&[branches + 1]);
    for n in 0..images {
        let mut votes = vec![0.0; classes];
        let mut together = vec![0.0; classes];
        for b in 0..branches {
            let target = target(t, n, b, branches, classes);
            for k in 0..classes {
                together[k] += target[k];
            }
            let truth = argmax(target);
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
        if argmax(&votes) == argmax(&together) {
            hits.data[branches] += 1.0;
        }
    }
    let loss = (0..branches).map(|b| weights.data[b] * own.data[b]).sum();
    vec![Array::new(&[1], vec![loss]), own, hits]
}

/// dz.
pub(super) fn grad(inputs: &[Array]) -> Vec<Array> {
    let [dloss, z, t, weights] = inputs else { panic!("four inputs") };
    let (images, branches) = (t.dims[0], weights.data.len());
    let classes = z.data.len() / images / branches;
    let mut dz = Array::zeros(&z.dims);
    for n in 0..images {
        for b in 0..branches {
            let target = target(t, n, b, branches, classes);
            let mass: f64 = target.iter().sum();
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
