//! Cross-entropy and hits.

use moue::ops::{CrossEntropy, CrossEntropyGrad};

use crate::support::{case::Cases, data::Array};

/// One-hot rows.
pub(super) fn one_hot(name: &str, n: usize, k: usize) -> Array {
    let labels = Array::uniform(&format!("{name} labels"), &[n], 0.0, k as f64);
    let mut targets = Array::zeros(&[n, k]);
    for (image, label) in labels.data.iter().enumerate() {
        targets.data[image * k + *label as usize] = 1.0;
    }
    targets
}

/// Rows that sum to 1, in eighths; the largest may occur twice.
pub(super) fn soft(name: &str, n: usize, k: usize) -> Array {
    let draws = Array::uniform(&format!("{name} draws"), &[n, 8], 0.0, k as f64);
    let mut targets = Array::zeros(&[n, k]);
    for (i, class) in draws.data.iter().enumerate() {
        targets.data[i / 8 * k + *class as usize] += 0.125;
    }
    targets
}

fn both(cases: &mut Cases, claim: &str, logits: Array, targets: Array, weights: Array) {
    let dloss = Array::filled(&[1], 0.75);
    let gradient = vec![dloss, logits.clone(), targets.clone(), weights.clone()];
    cases.op(claim, CrossEntropy, vec![logits, targets, weights]);
    cases.op(&format!("gradient_{claim}"), CrossEntropyGrad, gradient);
}

pub(super) fn cases(cases: &mut Cases) {
    let sizes = [
        ("of_one_class", [1, 1, 1]),
        ("of_one_branch", [5, 1, 8]),
        ("of_nine_branches", [7, 9, 8]),
        ("of_fifteen_branches_and_seven_classes", [3, 15, 7]),
        ("of_one_image", [1, 10, 8]),
        ("of_more_images_than_a_workgroup", [259, 3, 7]),
        ("of_67_classes", [5, 2, 67]),
    ];
    for (size, [n, b, k]) in sizes {
        // A grid, so that logits tie often and exactly.
        let logits = Array::grid(size, &[n, b * k], 2.0, 4.0);
        let weights = Array::uniform(&format!("{size} weights"), &[b], 0.25, 1.0);
        both(cases, &format!("{size}_with_labels"), logits.clone(), one_hot(size, n, k), weights.clone());
        both(cases, &format!("{size}_with_distributions"), logits.clone(), soft(size, n, k), weights.clone());
        let mut own = soft(&format!("{size} own"), n * b, k);
        own.dims = vec![n, b * k];
        both(cases, &format!("{size}_with_targets_of_their_own"), logits, own, weights);
    }
    let large = Array::grid("large", &[6, 3 * 8], 1.0, 1.0).map(|value| value * 80.0);
    both(cases, "of_logits_of_80", large, one_hot("large", 6, 8), Array::filled(&[3], 1.0));
    let mut weights = Array::filled(&[5], 1.0);
    for dropped in [1, 4] {
        weights.data[dropped] = 0.0;
    }
    let logits = Array::grid("dropped", &[33, 5 * 3], 1.0, 1.0);
    both(cases, "branches_of_weight_0_do_not_vote", logits.clone(), one_hot("dropped", 33, 3), weights);
    both(cases, "without_any_branch_of_weight", logits, one_hot("none", 33, 3), Array::zeros(&[5]));
    // Two branches each for classes 2 and 1: the vote ties, and falls to class 1.
    let mut votes = Array::zeros(&[2, 4 * 3]);
    for (branch, class) in [2, 1, 2, 1].into_iter().enumerate() {
        votes.data[branch * 3 + class] = 1.0;
        votes.data[12 + branch * 3 + class] = 1.0;
    }
    let truth = Array::new(&[2, 3], vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    both(cases, "tied_votes_go_to_the_lowest_class", votes, truth, Array::filled(&[4], 1.0));
    both(
        cases,
        "equal_logits_go_to_the_lowest_class",
        Array::zeros(&[3, 16]),
        one_hot("equal", 3, 8),
        Array::filled(&[2], 1.0),
    );
    let masses = Array::uniform("masses", &[5, 8], 0.0, 1.0);
    both(cases, "targets_need_not_sum_to_1", Array::random("z", &[5, 16]), masses, Array::filled(&[2], 0.5));
}
