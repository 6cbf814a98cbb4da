//! Sums over the runs of a program.

use moue::{exec::Executor, graph::Graph, ops::RunningSums};

use crate::support::{
    case::{Cases, text},
    compare::UNIT_F32,
    data::Array,
};

pub(super) fn cases(cases: &mut Cases) {
    let sizes: [(&str, &[&[usize]]); 4] = [
        ("one_number", &[&[1]]),
        ("as_many_as_two_workgroups_and_one", &[&[2, 257], &[3]]),
        ("all_seven_inputs", &[&[1], &[9], &[10], &[9, 9], &[1], &[9, 9], &[1]]),
        ("an_input_that_crosses_workgroups", &[&[200], &[7, 31], &[400], &[2, 2]]),
    ];
    for (size, inputs) in sizes {
        let elements: usize = inputs.iter().map(|dims| dims.iter().product::<usize>()).sum();
        let inputs = inputs.iter().enumerate().map(|(i, dims)| Array::grid(&format!("{size} {i}"), dims, 4.0, 16.0));
        let mut sums = Array::grid(&format!("{size} sums"), &[2, elements], 4.0, 16.0);
        sums.data[elements..].fill(0.0);
        cases.op_with_updates(&format!("of_{size}"), RunningSums, inputs.collect(), vec![sums], 3);
    }
    cases.add("a_count_goes_on_past_two_to_the_24", |executor, _| {
        let mut values = vec![f64::from(1 << 24)];
        values.extend([1.0; 101]);
        sum_is(executor, &values, 0.0)
    });
    cases.add("a_small_number_survives_between_two_large_ones", |executor, _| {
        sum_is(executor, &[1e8, 0.125, 3.0, -1e8], 0.0)
    });
    cases.add("what_five_hundred_additions_round_off_is_kept", |executor, _| {
        let values = Array::uniform("values of an epoch", &[500], 0.0, 9.0).rounded();
        // The rounding of what was rounded off: n additions of at most n·u·s.
        let allowed = (500.0 * UNIT_F32).powi(2) * values.data.iter().sum::<f64>();
        sum_is(executor, &values.data, allowed)
    });
    cases.add("more_tensors_than_an_op_takes_have_sums_of_their_own", |executor, _| nine_inputs(executor));
}

/// Sums numbers, one a run, and compares with their sum in float64.
fn sum_is(executor: &mut dyn Executor, values: &[f64], allowed: f64) -> Result<(), String> {
    let mut graph = Graph::new();
    let x = graph.input("x", [1]);
    let states = graph.running_sums("sums", &[x]).map_err(text)?;
    assert_eq!(states.len(), 1);
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    executor.write_variable("sums", &[0.0; 2]).map_err(text)?;
    for value in values {
        executor.write(program, x, &[*value as f32]).map_err(text)?;
        executor.run(program).map_err(text)?;
    }
    let both = executor.read_variable_f64("sums").map_err(text)?;
    let (found, expected) = (both[0] + both[1], values.iter().sum::<f64>());
    if (found - expected).abs() <= allowed { Ok(()) } else { Err(format!("{found}, expected {expected}: {both:?}")) }
}

fn nine_inputs(executor: &mut dyn Executor) -> Result<(), String> {
    let mut graph = Graph::new();
    let inputs: Vec<_> = (0..9).map(|i| graph.input(format!("x{i}"), [1 + i])).collect();
    let states = graph.running_sums("sums", &inputs).map_err(text)?;
    let states: Vec<_> = states.iter().map(|id| graph.tensor(*id).clone()).collect();
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    let mut found = Vec::new();
    for state in &states {
        executor.write_variable(&state.name, &vec![0.0; state.shape.elements()]).map_err(text)?;
    }
    for (i, &id) in inputs.iter().enumerate() {
        executor.write(program, id, &vec![i as f32; 1 + i]).map_err(text)?;
    }
    for _ in 0..2 {
        executor.run(program).map_err(text)?;
    }
    for state in &states {
        let values = executor.read_variable(&state.name).map_err(text)?;
        found.extend_from_slice(&values[..values.len() / 2]);
    }
    let expected: Vec<f32> = (0..9u8).flat_map(|i| vec![2.0 * f32::from(i); 1 + usize::from(i)]).collect();
    if found == expected { Ok(()) } else { Err(format!("{found:?}, expected {expected:?}")) }
}
