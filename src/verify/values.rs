//! Deterministic parameters and batches: the same bits in any language (golden/README.md's rule).

use crate::{
    graph::{Graph, Init},
    nn::variables::{Tensors, stacked},
    rng::Rng,
};

/// `count` values in [0, 1), each a multiple of 2⁻²⁴, from the stream of `name`.
pub fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let mut rng = Rng::new(name);
    (0..count).map(move |_| rng.uniform())
}

/// Every parameter and buffer of a graph from its own name, with `salt` before it.
#[must_use]
pub fn fill(graph: &Graph, salt: &str) -> Tensors {
    let mut tensors = Tensors::new();
    for entry in stacked(graph) {
        let count = entry.part_elements();
        for part in &entry.variable.parts {
            let value: Box<dyn Fn(f64) -> f64> = if entry.part_shape.len() > 1 {
                let fan_in = (count / entry.part_shape[0]) as f64;
                Box::new(move |u| (2.0 * u - 1.0) * (6.0 / fan_in).sqrt())
            } else if part.ends_with("running_var") {
                Box::new(|u| 1.0 + 0.5 * u)
            } else if entry.trained && entry.variable.init == Init::Fill(1.0) {
                // The weight of a batch norm: the only vector that starts at one.
                Box::new(|u| 1.0 + 0.1 * (2.0 * u - 1.0))
            } else {
                Box::new(|u| 0.1 * (2.0 * u - 1.0))
            };
            let values = uniform(&format!("{salt}{part}"), count).map(|u| value(u) as f32).collect();
            tensors.insert(part.clone(), (entry.part_shape.clone(), values));
        }
    }
    tensors
}

/// The labels of a batch: `⌊u·classes⌋`.
#[must_use]
pub fn labels(salt: &str, count: usize, classes: usize) -> Vec<usize> {
    uniform(&format!("{salt}labels"), count).map(|u| (u * classes as f64) as usize).collect()
}

/// Labels as rows of zeros with a one `[N, K]`.
#[must_use]
pub fn one_hot(labels: &[usize], classes: usize) -> Vec<f32> {
    let mut targets = vec![0.0; labels.len() * classes];
    for (row, &label) in targets.chunks_mut(classes).zip(labels) {
        row[label] = 1.0;
    }
    targets
}
