//! Softmax cross-entropy of the weighted mean of the branches' answers.

use super::super::data::Array;

/// The answers of an image's branches and their mixture.
fn answers(z: &Array, weights: &Array, image: usize, classes: usize) -> (Vec<Vec<f64>>, Vec<f64>, f64) {
    let branches = weights.data.len();
    let mut all = Vec::new();
    for b in 0..branches {
        let logits = &z.data[(image * branches + b) * classes..][..classes];
        let top = logits.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logits.iter().map(|z| (z - top).exp()).sum();
        all.push(logits.iter().map(|z| (z - top).exp() / sum).collect::<Vec<f64>>());
    }
    let total: f64 = weights.data.iter().sum();
    let mixed = (0..classes).map(|k| (0..branches).map(|b| weights.data[b] * all[b][k]).sum::<f64>() / total).collect();
    (all, mixed, total)
}

/// loss.
pub(super) fn forward(inputs: &[Array]) -> Vec<Array> {
    let [z, t, weights] = inputs else { panic!("three inputs") };
    let (images, classes) = (t.dims[0], t.dims[1]);
    let mut loss = 0.0;
    for n in 0..images {
        let (_, mixed, total) = answers(z, weights, n, classes);
        for k in 0..classes {
            let share = t.data[n * classes + k];
            if share != 0.0 && total > 0.0 {
                loss -= total / images as f64 * share * mixed[k].ln();
            }
        }
    }
    vec![Array::new(&[1], vec![loss])]
}

/// dz, by the chain rule: through the mixture, the branch's answer, its logits.
pub(super) fn grad(inputs: &[Array]) -> Vec<Array> {
    let [dloss, z, t, weights] = inputs else { panic!("four inputs") };
    let (images, classes, branches) = (t.dims[0], t.dims[1], weights.data.len());
    let mut dz = Array::zeros(&z.dims);
    for n in 0..images {
        let (answers, mixed, _) = answers(z, weights, n, classes);
        for b in (0..branches).filter(|&b| weights.data[b] > 0.0) {
            for j in 0..classes {
                let mut sum = 0.0;
                for k in 0..classes {
                    let share = t.data[n * classes + k];
                    if share == 0.0 {
                        continue;
                    }
                    let slope = -share / images as f64 / mixed[k] * weights.data[b];
                    let through = answers[b][k] * (if j == k { 1.0 } else { 0.0 } - answers[b][j]);
                    sum += slope * through;
                }
                dz.data[(n * branches + b) * classes + j] = dloss.data[0] * sum;
            }
        }
    }
    vec![dz]
}
