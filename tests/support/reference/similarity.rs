//! The pooled RBF similarity of the learners' maps.

use moue::ops::{Similarity, SimilarityGrad};

use super::super::data::Array;

/// N and F.
fn sizes(op: &Similarity, maps: &Array) -> [usize; 2] {
    let images = maps.dims[0];
    [images, maps.data.len() / images / op.learners]
}

/// S, kernel values.
pub(super) fn forward(op: &Similarity, inputs: &[Array]) -> Vec<Array> {
    let (maps, gamma) = (&inputs[0], inputs[1].data[0]);
    let ([images, features], learners) = (sizes(op, maps), op.learners);
    let mut similarity = Array::zeros(&[learners, learners]);
    let mut kernel = Array::zeros(&[images, learners, learners]);
    for n in 0..images {
        for l in 0..learners {
            for k in 0..learners {
                let mut distance = 0.0;
                for f in 0..features {
                    let a = maps.data[(n * learners + l) * features + f];
                    let b = maps.data[(n * learners + k) * features + f];
                    distance += (a - b) * (a - b);
                }
                let value = if l == k && op.zero_diagonal { 0.0 } else { (-gamma * distance).exp() };
                kernel.data[(n * learners + l) * learners + k] = value;
                similarity.data[l * learners + k] += value / images as f64;
            }
        }
    }
    vec![similarity, kernel]
}

/// dφ.
pub(super) fn grad(op: &SimilarityGrad, inputs: &[Array]) -> Vec<Array> {
    let [ds, maps, gamma, kernel] = inputs else { panic!("four inputs") };
    let learners = op.similarity.learners;
    let [images, features] = sizes(&op.similarity, maps);
    let mut dmaps = Array::zeros(&maps.dims);
    for n in 0..images {
        for l in 0..learners {
            for k in (0..learners).filter(|&k| k != l) {
                let both = op.scale * (ds.data[l * learners + k] + ds.data[k * learners + l]);
                let pull = both * kernel.data[(n * learners + l) * learners + k];
                for f in 0..features {
                    let a = (n * learners + l) * features + f;
                    let b = (n * learners + k) * features + f;
                    dmaps.data[a] -= 2.0 * gamma.data[0] / images as f64 * pull * (maps.data[a] - maps.data[b]);
                }
            }
        }
    }
    vec![dmaps]
}
