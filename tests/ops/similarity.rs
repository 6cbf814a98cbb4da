//! The pooled RBF similarity.

use moue::ops::{Similarity, SimilarityGrad};

use crate::support::{case::Cases, data::Array, reference::reference};

fn both(cases: &mut Cases, claim: &str, op: Similarity, maps: &Array, gamma: f64) {
    let gamma = Array::filled(&[1], f64::from(gamma as f32));
    let forward = vec![maps.clone(), gamma.clone()];
    let kernel = reference(&op.into(), &forward, &mut [])[1].clone().rounded();
    let ds = Array::random(&format!("{claim} ds"), &[op.learners, op.learners]);
    cases.op(claim, op, forward);
    for (scale, word) in [(1.0, ""), (-0.75, "_of_a_scaled_matrix")] {
        let inputs = vec![ds.clone(), maps.clone(), gamma.clone(), kernel.clone()];
        cases.op(&format!("gradient_{claim}{word}"), SimilarityGrad { similarity: op, scale }, inputs);
    }
}

pub(super) fn cases(cases: &mut Cases) {
    // Images, learners, features of a learner.
    let sizes = [
        ("of_one_learner", [3, 1, 5]),
        ("of_two_learners", [1, 2, 1]),
        ("of_nine_learners", [4, 9, 36]),
        ("of_fifteen_learners", [2, 15, 7]),
        ("of_sixteen_learners", [3, 16, 67]),
        ("of_many_images", [67, 3, 5]),
        ("of_more_features_than_a_workgroup", [2, 4, 521]),
    ];
    for (size, [n, learners, features]) in sizes {
        let maps = Array::uniform(size, &[n, learners * features], 0.0, 1.0);
        let gamma = 3.0 / features as f64;
        for (zero_diagonal, word) in [(false, ""), (true, "_without_diagonal")] {
            let op = Similarity { learners, zero_diagonal };
            both(cases, &format!("{size}{word}"), op, &maps, gamma);
        }
    }
    let op = Similarity { learners: 3, zero_diagonal: false };
    let maps = Array::random("maps", &[2, 3, 4, 5]);
    both(cases, "of_maps_of_four_dimensions", op, &maps, 0.1);
    both(cases, "with_gamma_0_everything_is_alike", op, &maps, 0.0);
    // exp(−3·10⁶) and exp(−110), which only denormals could hold, are 0.
    let far = Array::random("far", &[2, 3 * 7]).map(|value| value * 1000.0);
    both(cases, "of_far_maps_underflows_to_0", op, &far, 1.0);
    let steps = Array::new(&[1, 3], vec![0.0, 10.0, 20.0]);
    both(cases, "of_maps_at_the_edge_of_underflow", op, &steps, 1.1);
    let mut twins = Array::random("twins", &[3, 3 * 67]).map(|value| value * 30.0);
    for image in 0..3 {
        for feature in 0..67 {
            twins.data[image * 201 + 134 + feature] = twins.data[image * 201 + feature];
        }
    }
    // Large equal maps: |a|² + |b|² − 2ab would not give 0.
    both(cases, "equal_maps_are_fully_alike", op, &twins, 1.0);
    both(cases, "of_zeros", op, &Array::zeros(&[2, 3 * 9]), 10.0);
    let mut near = Array::uniform("near", &[2, 3 * 33], 100.0, 101.0);
    for value in &mut near.data {
        *value = (*value * 64.0).round() / 64.0;
    }
    both(cases, "of_near_maps_far_from_zero", op, &near, 0.1);
}
