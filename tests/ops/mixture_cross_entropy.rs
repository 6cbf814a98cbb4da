//! Cross-entropy of the mean of the branches' answers.

use moue::{
    exec::Executor,
    graph::Graph,
    ops::{MixtureCrossEntropy, MixtureCrossEntropyGrad},
};

use crate::support::{
    case::{Cases, text},
    data::Array,
};

use super::cross_entropy::{one_hot, soft};

fn both(cases: &mut Cases, claim: &str, logits: Array, targets: Array, weights: Array) {
    let dloss = Array::filled(&[1], 0.75);
    let gradient = vec![dloss, logits.clone(), targets.clone(), weights.clone()];
    cases.op(claim, MixtureCrossEntropy, vec![logits, targets, weights]);
    cases.op(&format!("gradient_{claim}"), MixtureCrossEntropyGrad, gradient);
}

/// Branches that say the same: the mixture's cross-entropy is the weighted sum of theirs, and so is the gradient.
fn of_equal_branches(executor: &mut dyn Executor, unit: f64) -> Result<(), String> {
    let (n, b, k) = (5, 3, 8);
    let one = Array::random("one", &[n, k]);
    let logits: Vec<f64> = one.data.chunks(k).flat_map(|row| row.repeat(b)).collect();
    let mut graph = Graph::new();
    let [z, t, w] = [[n, b * k], [n, k], [b, 1]].map(|dims| graph.input("input", dims));
    let w = moue::ops::Emit::reshape(&mut graph, w, [b].into()).map_err(text)?;
    let [own, ..] = graph.cross_entropy(z, t, w).map_err(text)?;
    let mixed = graph.mixture_cross_entropy(z, t, w).map_err(text)?;
    let gradients = [own, mixed].map(|loss| graph.gradients(loss, &[z]));
    let gradients = gradients.into_iter().collect::<moue::Result<Vec<_>>>().map_err(text)?;
    let read = [own, mixed, gradients[0][0], gradients[1][0]];
    read.iter().for_each(|id| graph.output(*id));
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    let weights = Array::new(&[b], vec![1.0, 0.5, 0.25]);
    for (id, values) in [(z, &Array::new(&[n, b * k], logits)), (t, &soft("equal", n, k)), (graph.root(w), &weights)] {
        executor.write(program, id, &values.to_f32()).map_err(text)?;
    }
    executor.run(program).map_err(text)?;
    let [own, mixed, by_own, by_mixed] = read.map(|id| executor.read_f64(program, id));
    let close =
        |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 64.0 * unit * (1.0 + b.abs()));
    if close(own.map_err(text)?, mixed.map_err(text)?) && close(by_own.map_err(text)?, by_mixed.map_err(text)?) {
        Ok(())
    } else {
        Err("the mixture of equal answers is not each of them".into())
    }
}

pub(super) fn cases(cases: &mut Cases) {
    cases.add("of_equal_branches_is_the_sum_of_theirs", of_equal_branches);
    let sizes = [
        ("of_one_class", [1, 1, 1]),
        ("of_one_branch", [5, 1, 8]),
        ("of_nine_branches", [7, 9, 8]),
        ("of_sixteen_branches_and_seven_classes", [3, 16, 7]),
        ("of_one_image", [1, 10, 8]),
        ("of_more_images_than_a_workgroup", [259, 3, 7]),
        ("of_67_classes", [5, 2, 67]),
    ];
    for (size, [n, b, k]) in sizes {
        let logits = Array::grid(size, &[n, b * k], 2.0, 4.0);
        let weights = Array::uniform(&format!("{size} weights"), &[b], 0.25, 1.0);
        both(cases, &format!("{size}_with_labels"), logits.clone(), one_hot(size, n, k), weights.clone());
        both(cases, &format!("{size}_with_distributions"), logits, soft(size, n, k), weights);
    }
    // A class that all branches think impossible, or all but one.
    let large = Array::grid("large", &[6, 3 * 8], 1.0, 1.0).map(|value| value * 80.0);
    both(cases, "of_logits_of_80", large, one_hot("large", 6, 8), Array::filled(&[3], 1.0));
    let mut weights = Array::filled(&[5], 1.0);
    for dropped in [1, 4] {
        weights.data[dropped] = 0.0;
    }
    let logits = Array::grid("dropped", &[33, 5 * 3], 1.0, 1.0);
    both(cases, "branches_of_weight_0_take_no_part", logits.clone(), one_hot("dropped", 33, 3), weights);
    both(cases, "without_any_branch_of_weight", logits, one_hot("none", 33, 3), Array::zeros(&[5]));
    let masses = Array::uniform("masses", &[5, 8], 0.0, 1.0);
    both(cases, "targets_need_not_sum_to_1", Array::random("z", &[5, 16]), masses, Array::filled(&[2], 0.5));
}
