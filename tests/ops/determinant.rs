//! Determinants, their logarithms, sums, and gradients.

use moue::{
    exec::Executor,
    graph::Graph,
    ops::{Determinant, Objective, Op, Similarity},
};

use crate::support::{
    case::{Cases, text},
    data::Array,
    reference::{determinant, reference},
};

/// A similarity matrix of random maps; a small `gamma` makes learners alike.
fn similar(name: &str, learners: usize, gamma: f64) -> Array {
    let maps = Array::random(name, &[3, learners * 5]);
    let op = Similarity { learners, zero_diagonal: false };
    reference(&op.into(), &[maps, Array::filled(&[1], gamma)], &mut [])[0].clone().rounded()
}

fn every_objective(cases: &mut Cases, claim: &str, s: &Array) {
    let value = determinant(s.dims[0], &s.data);
    cases.op(&format!("det_{claim}"), Determinant { objective: Objective::Det }, vec![s.clone()]);
    cases.op(&format!("sum_{claim}"), Determinant { objective: Objective::Sum }, vec![s.clone()]);
    // Far from the determinant on both sides: the gradient jumps there.
    let above = Objective::LogDet { eps: value.abs() * 4.0 + 0.5 };
    cases.op(&format!("logdet_below_eps_{claim}"), Determinant { objective: above }, vec![s.clone()]);
    if value > 1e-3 {
        let below = Objective::LogDet { eps: value / 4.0 };
        cases.op(&format!("logdet_{claim}"), Determinant { objective: below }, vec![s.clone()]);
    }
}

/// S + εI may have a determinant that f32 has no number for: 4 learners that are nearly alike have ε³, 16 have ε¹⁵.
fn shifted(cases: &mut Cases, claim: &str, s: &Array) {
    for (word, eps) in [("a_tenth", 0.125), ("a_hundredth", 1.0 / 128.0), ("a_thousandth", 1.0 / 1024.0)] {
        let objective = Objective::ShiftedLogDet { eps };
        cases.op(&format!("logdet_shifted_by_{word}_{claim}"), Determinant { objective }, vec![s.clone()]);
    }
}

/// A matrix with one entry that is not finite, of which a column of zeros would make the determinant 0: the objective and
/// its gradient are not finite either, on the device and in the reference.
fn flaw_is_seen(executor: &mut dyn Executor, objective: Objective, size: usize, flaw: f32) -> Result<(), String> {
    let op = Determinant { objective };
    for place in 0..size * size {
        let mut s = similar("flaw", size, 1.0);
        (0..size).for_each(|row| s.data[row * size] = 0.0);
        s.data[place] = f64::from(flaw);
        let mut graph = Graph::new();
        let input = graph.input("s", [size, size]);
        let outputs = graph.push(Op::from(op), &[input], &[]).map_err(text)?;
        outputs.iter().for_each(|&id| graph.output(id));
        executor.clear();
        let program = executor.compile(&graph).map_err(text)?;
        executor.write(program, input, &s.to_f32()).map_err(text)?;
        executor.run(program).map_err(text)?;
        for (id, expected) in outputs.iter().zip(reference(&op.into(), &[s.clone()], &mut [])) {
            let found = executor.read(program, *id).map_err(text)?;
            let hidden = found.iter().any(|value| value.is_finite());
            if hidden || expected.data.iter().any(|value| value.is_finite()) {
                return Err(format!("{flaw} at {place}: {found:?}, by the reference {:?}", expected.data));
            }
        }
    }
    Ok(())
}

/// Three rows whose elimination leaves f32's range, and makes an infinity of which another is subtracted: the logarithm
/// of the determinant 4m² is right or not finite, and no device takes it for that of eps.
fn range_is_not_left_unseen(executor: &mut dyn Executor) -> Result<(), String> {
    let m = f64::from(3e38_f32);
    let s = Array::new(&[3, 3], vec![1.0, m, m, -1.0, m, -m, -1.0, m, m]);
    let op = Determinant { objective: Objective::LogDet { eps: 1e-6 } };
    let mut graph = Graph::new();
    let input = graph.input("s", [3, 3]);
    let outputs = graph.push(Op::from(op), &[input], &[]).map_err(text)?;
    graph.output(outputs[0]);
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    executor.write(program, input, &s.to_f32()).map_err(text)?;
    executor.run(program).map_err(text)?;
    let (found, expected) = (executor.read_f64(program, outputs[0]).map_err(text)?[0], (4.0 * m * m).ln());
    let by_reference = reference(&op.into(), &[s], &mut [])[0].data[0];
    let right = |value: f64| (value - expected).abs() < 1e-3;
    if right(by_reference) && (!found.is_finite() || right(found)) {
        return Ok(());
    }
    Err(format!("{found}, by the reference {by_reference}, expected {expected} or what is not finite"))
}

pub(super) fn cases(cases: &mut Cases) {
    cases.add("logdet_does_not_hide_nan_of_infinities", |executor, _| range_is_not_left_unseen(executor));
    for size in [1, 2, 5] {
        for (what, flaw) in [("nan", f32::NAN), ("infinity", f32::INFINITY)] {
            for (name, objective) in [
                ("det", Objective::Det),
                ("logdet", Objective::LogDet { eps: 1e-6 }),
                ("shifted_logdet", Objective::ShiftedLogDet { eps: 1e-2 }),
            ] {
                let claim = format!("{name}_of_{size}_learners_does_not_hide_{what}");
                cases.add(&claim, move |executor, _| flaw_is_seen(executor, objective, size, flaw));
            }
        }
    }
    for learners in [1, 2, 3, 4, 9, 15, 16] {
        let claim = format!("of_{learners}_learners");
        every_objective(cases, &claim, &similar(&claim, learners, 1.0));
        if [1, 2, 3, 9, 16].contains(&learners) {
            shifted(cases, &claim, &similar(&claim, learners, 1.0));
        }
    }
    shifted(cases, "of_alike_learners", &similar("alike", 9, 0.01));
    for learners in [2, 9, 16] {
        shifted(cases, &format!("of_{learners}_equal_learners"), &Array::filled(&[learners, learners], 1.0));
    }
    // No similarity matrix: as rounding could make one, its determinant is below ε^L, also with the shift.
    let below = Objective::ShiftedLogDet { eps: 0.25 };
    let negative = Array::new(&[2, 2], vec![0.25, 1.0, 1.0, 0.25]);
    cases.op("logdet_shifted_below_its_least_value", Determinant { objective: below }, vec![negative]);
    let singular = Array::new(&[2, 2], vec![0.75, 1.0, 1.0, 0.75]);
    cases.op("logdet_shifted_to_a_singular_matrix", Determinant { objective: below }, vec![singular]);
    every_objective(cases, "of_alike_learners", &similar("alike", 9, 0.01));
    let identity = |size: usize| {
        let mut s = Array::zeros(&[size, size]);
        for i in 0..size {
            s.data[i * size + i] = 1.0;
        }
        s
    };
    every_objective(cases, "of_unlike_learners", &identity(16));
    // Learners 1 and 3 are the same: S is singular, some cofactors are not 0.
    let mut twins = similar("twins", 5, 1.0);
    for k in 0..5 {
        twins.data[3 * 5 + k] = twins.data[5 + k];
    }
    for k in 0..5 {
        twins.data[k * 5 + 3] = twins.data[k * 5 + 1];
    }
    every_objective(cases, "of_two_equal_learners", &twins);
    every_objective(cases, "of_nine_equal_learners", &Array::filled(&[9, 9], 1.0));
    every_objective(cases, "of_two_learners_that_are_equal", &Array::filled(&[2, 2], 1.0));
    let v = Array::grid("rank", &[6], 1.0, 8.0);
    let product = (0..36).map(|i| v.data[i / 6] * v.data[i % 6]).collect();
    every_objective(cases, "of_rank_1", &Array::new(&[6, 6], product));
    every_objective(cases, "of_zeros", &Array::zeros(&[9, 9]));
    // The released code leaves the diagonal at 0: every first pivot is elsewhere.
    let mut hollow = similar("hollow", 9, 0.5);
    for i in 0..9 {
        hollow.data[i * 10] = 0.0;
    }
    every_objective(cases, "of_a_hollow_matrix", &hollow);
    // Rows in reverse: eliminated only with row exchanges; the sign of the permutation of 7 is −1.
    let mut reversed = identity(7);
    reversed.data.reverse();
    for i in 0..7 {
        reversed.data.swap(i * 7 + i, i * 7 + (6 - i));
    }
    every_objective(cases, "of_a_permutation", &reversed);
    let skew = Array::random("skew", &[8, 8]);
    every_objective(cases, "of_a_matrix_without_symmetry", &skew);
    every_objective(cases, "of_a_negative_number", &Array::filled(&[1, 1], -0.5));
}
