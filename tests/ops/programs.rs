//! What every executor does with whole programs: memory, variables, order, refusals.

use std::collections::BTreeMap;

use moue::{
    Error, Result,
    exec::{Executor, Program},
    graph::{
        Graph, Init, Role,
        plan::{Place, Plan},
    },
    ops::{Conv2d, Emit, TensorId},
};

use crate::support::{
    case::{Cases, text},
    compare::{Tolerance, check},
    data::Array,
    graphs::{evaluate, random_graph, value},
};

/// What holds on an executor.
type Claim = fn(&mut dyn Executor) -> std::result::Result<(), String>;

pub(super) fn cases(cases: &mut Cases) {
    for seed in 0..16 {
        cases.add(&format!("random_graph_{seed}"), move |executor, unit| graph_agrees(executor, unit, seed));
    }
    let all: [(&str, Claim); 13] = [
        ("one_tensor_in_every_place", |e| finish(one_tensor_in_every_place(e))),
        ("inputs_views_and_constants_can_be_read", |e| finish(outputs_of_every_role(e))),
        ("two_programs_share_their_variables", |e| finish(shared_variables(e))),
        ("a_program_that_reads_what_nobody_wrote_does_not_run", |e| finish(unwritten(e))),
        ("running_estimates_and_momenta_have_to_be_written", |e| finish(unwritten_updates(e))),
        ("a_handle_from_before_clear_names_no_program", |e| finish(stale_handle(e))),
        ("a_handle_of_another_executor_names_no_program", |e| finish(foreign_handle(e))),
        ("a_second_run_gives_the_same_bits", |e| finish(same_bits(e))),
        ("an_input_that_no_op_uses_can_be_written", |e| finish(unused_input(e))),
        ("clear_forgets_variables", |e| finish(cleared(e))),
        ("wrong_sizes_and_names_are_refused", |e| finish(refusals(e))),
        ("the_first_value_that_is_not_finite_is_named", |e| finish(not_finite(e))),
        ("the_statistics_count", |e| finish(statistics(e))),
    ];
    for (claim, run) in all {
        cases.add(claim, move |executor, _| run(executor));
    }
}

/// Errors of the crate and of the check, as one sentence.
fn finish(result: Result<std::result::Result<(), String>>) -> std::result::Result<(), String> {
    result.map_err(text)?
}

fn expect_equal(what: &str, actual: &[f32], expected: &[f32]) -> std::result::Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{what}: {actual:?}, expected {expected:?}")) }
}

/// All outputs and variables of a random graph after two steps.
fn graph_agrees(executor: &mut dyn Executor, unit: f64, seed: u64) -> std::result::Result<(), String> {
    let mut graph = random_graph(seed);
    if graph.outputs().is_empty() {
        let last = graph.nodes().last().map(|node| node.outputs.clone()).unwrap_or_default();
        last.into_iter().for_each(|id| graph.output(id));
    }
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    let plan = Plan::new(&graph);
    let mut values = BTreeMap::new();
    let given = graph.select(|role| !matches!(role, Role::Activation | Role::View(_) | Role::Constant(_)));
    for &id in &given {
        let tensor = graph.tensor(id);
        let dims = tensor.shape.dims();
        let array = match tensor.name.as_str() {
            "ones" | "healthy" => Array::filled(dims, 1.0),
            "lr" | "decay" => Array::filled(dims, 0.125),
            name => Array::random(&format!("{name} {seed}"), dims),
        };
        match (plan.places[id.index()], &tensor.role) {
            (Place::Unused, _) => {}
            (_, Role::Input) => executor.write(program, id, &array.to_f32()).map_err(text)?,
            _ => executor.write_variable(&tensor.name, &array.to_f32()).map_err(text)?,
        }
        values.insert(id, array);
    }
    for _ in 0..2 {
        executor.run(program).map_err(text)?;
        evaluate(&graph, &mut values);
    }
    // Values of at most 1 through at most 40 ops, none of which magnifies; sums over 96 elements.
    let tolerance = Tolerance::new(512.0 * unit, 64.0 * unit);
    for &id in graph.outputs() {
        let expected = value(&graph, &values, id);
        let what = format!("{} {id:?}", graph.tensor(id).name);
        check(&what, &executor.read_f64(program, id).map_err(text)?, &expected, tolerance)?;
    }
    if graph.find("healthy").is_some() {
        for name in ["w", "w.momentum", "healthy"] {
            let id = graph.find(name).ok_or("a variable of SGD")?;
            check(name, &executor.read_variable_f64(name).map_err(text)?, &values[&id], tolerance)?;
        }
    }
    Ok(())
}

/// Compiles anew and writes the inputs in order.
fn start(executor: &mut dyn Executor, graph: &Graph, inputs: &[(TensorId, &[f32])]) -> Result<Program> {
    let program = executor.compile(graph)?;
    for (id, values) in inputs {
        executor.write(program, *id, values)?;
    }
    Ok(program)
}

fn one_tensor_in_every_place(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let mut graph = Graph::new();
    let x = graph.input("x", [4]);
    let outputs = [
        graph.multiply(x, x)?,
        graph.concat(&[x, x, x], 0)?,
        graph.weighted_sum(&[(x, 1.0), (x, 2.0), (x, 4.0), (x, 8.0)])?,
    ];
    outputs.into_iter().for_each(|id| graph.output(id));
    let program = start(executor, &graph, &[(x, &[1.0, -2.0, 3.0, 0.5])])?;
    executor.run(program)?;
    let expected: [&[f32]; 3] = [
        &[1.0, 4.0, 9.0, 0.25],
        &[1.0, -2.0, 3.0, 0.5, 1.0, -2.0, 3.0, 0.5, 1.0, -2.0, 3.0, 0.5],
        &[15.0, -30.0, 45.0, 7.5],
    ];
    for (id, expected) in outputs.into_iter().zip(expected) {
        let name = &graph.tensor(id).name;
        if let Err(error) = expect_equal(name, &executor.read(program, id)?, expected) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn outputs_of_every_role(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3]);
    let constant = graph.constant([5].into(), 0.25);
    let y = graph.relu(x)?;
    let view = graph.reshape(y, [3, 2].into())?;
    for id in [x, constant, view] {
        graph.output(id);
    }
    let values = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0];
    let program = start(executor, &graph, &[(x, &values)])?;
    executor.run(program)?;
    let results = [
        expect_equal("an input", &executor.read(program, x)?, &values),
        expect_equal("a constant", &executor.read(program, constant)?, &[0.25; 5]),
        expect_equal("a view", &executor.read(program, view)?, &[1.0, 0.0, 3.0, 0.0, 5.0, 0.0]),
    ];
    Ok(results.into_iter().collect())
}

/// `w·x`, with w a parameter; the loss of a trained copy is x·w.
fn scaled(train: bool, size: usize) -> Result<(Graph, TensorId, TensorId)> {
    let mut graph = Graph::new();
    let x = graph.input("x", [size]);
    let w = graph.parameter("w", 1, [size], Init::Fill(1.0));
    let y = graph.multiply(w, x)?;
    if train {
        graph.sgd(y, 0.0, false)?;
    }
    graph.output(y);
    Ok((graph, x, y))
}

fn shared_variables(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (train, train_x, _) = scaled(true, 1)?;
    let (eval, eval_x, eval_y) = scaled(false, 1)?;
    let first = start(executor, &train, &[(train_x, &[4.0])])?;
    for (name, value) in [("w", 3.0), ("w.momentum", 0.0), ("healthy", 1.0)] {
        executor.write_variable(name, &[value])?;
    }
    for (name, value) in [("lr", 0.5), ("decay", 0.0)] {
        let id = train.find(name).expect("SGD adds it");
        executor.write(first, id, &[value])?;
    }
    // Compiled later, it must find what was written before.
    let second = start(executor, &eval, &[(eval_x, &[10.0])])?;
    executor.run(second)?;
    let before = expect_equal("before the step", &executor.read(second, eval_y)?, &[30.0]);
    executor.run(first)?;
    executor.run(second)?;
    // w = 3 − 0.5·4 = 1.
    let after = expect_equal("after the step", &executor.read(second, eval_y)?, &[10.0]);
    let variable = expect_equal("the variable", &executor.read_variable("w")?, &[1.0]);
    Ok(before.and(after).and(variable))
}

/// An error of the shapes whose sentence has all of these.
fn expect_refused<T: std::fmt::Debug>(
    what: &str,
    result: Result<T>,
    parts: &[&str],
) -> std::result::Result<(), String> {
    match &result {
        Err(error @ Error::Shape { .. }) if parts.iter().all(|part| error.to_string().contains(part)) => Ok(()),
        _ => Err(format!("{what}: {result:?}, expected a shape error with {parts:?}")),
    }
}

fn unwritten(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (graph, x, y) = scaled(false, 67)?;
    let program = executor.compile(&graph)?;
    let mut checks = vec![
        expect_refused("nothing written", executor.run(program), &["values of x, w"]),
        expect_refused("the search for NaN", executor.first_not_finite(program), &["values of x, w"]),
        expect_refused("a profile", executor.profile(program, 1), &["values of x, w"]),
    ];
    // Of another size, so nothing is written.
    checks.push(expect_refused("a short input", executor.write(program, x, &[2.0; 66]), &["67"]));
    checks.push(expect_refused("a short variable", executor.write_variable("w", &[2.0; 66]), &["67"]));
    checks.push(expect_refused("after refused values", executor.run(program), &["values of x, w"]));
    executor.write(program, x, &[2.0; 67])?;
    checks.push(expect_refused("no variable", executor.run(program), &["no values of w;"]));
    executor.write_variable("w", &[3.0; 67])?;
    executor.run(program)?;
    checks.push(expect_equal("the product", &executor.read(program, y)?, &[6.0; 67]));
    // The variable is there for this one too, its own input is not.
    let second = executor.compile(&graph)?;
    checks.push(expect_refused("a second program", executor.run(second), &["no values of x;"]));
    executor.clear();
    let third = start(executor, &graph, &[(x, &[2.0; 67])])?;
    checks.push(expect_refused("after clear", executor.run(third), &["no values of w;"]));
    Ok(checks.into_iter().collect())
}

/// What an op changes in place; an input that is written through a view; a variable that is not written as an input.
fn unwritten_updates(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (graph, ..) = scaled(true, 1)?;
    let program = executor.compile(&graph)?;
    let names = ["x", "lr", "decay", "healthy", "w", "w.momentum"];
    let mut checks = vec![expect_refused("a step of SGD", executor.run(program), &names)];
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3]);
    let view = graph.reshape(x, [6].into())?;
    let y = graph.relu(view)?;
    graph.output(y);
    let program = start(executor, &graph, &[(view, &[-1.0, 2.0, -3.0, 4.0, -5.0, 6.0])])?;
    executor.run(program)?;
    checks.push(expect_equal("of a view", &executor.read(program, y)?, &[0.0, 2.0, 0.0, 4.0, 0.0, 6.0]));
    let (graph, ..) = scaled(false, 1)?;
    let program = executor.compile(&graph)?;
    let w = graph.find("w").expect("a parameter");
    checks.push(expect_refused("a variable", executor.write(program, w, &[0.0]), &["an input"]));
    Ok(checks.into_iter().collect())
}

/// Whether an executor refuses all that can be done with a program.
fn expect_unknown(
    executor: &mut dyn Executor,
    program: Program,
    [x, y]: [TensorId; 2],
) -> std::result::Result<(), String> {
    let parts = ["a program that this executor compiled", "compile the graph again"];
    let refused = [
        expect_refused("write", executor.write(program, x, &[1.0; 3]), &parts),
        expect_refused("run", executor.run(program), &parts),
        expect_refused("read", executor.read(program, y), &parts),
        expect_refused("first_not_finite", executor.first_not_finite(program), &parts),
        expect_refused("costs", executor.costs(program), &parts),
        expect_refused("profile", executor.profile(program, 1), &parts),
    ];
    if executor.has(program) {
        return Err("the executor has the program".to_owned());
    }
    refused.into_iter().collect()
}

fn stale_handle(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (graph, x, y) = scaled(false, 3)?;
    let stale = start(executor, &graph, &[(x, &[1.0; 3])])?;
    executor.clear();
    let after = expect_unknown(executor, stale, [x, y]);
    // The same place is taken again.
    let program = start(executor, &graph, &[(x, &[1.0; 3])])?;
    executor.write_variable("w", &[2.0; 3])?;
    executor.run(program)?;
    let again = expect_unknown(executor, stale, [x, y]);
    let known = if executor.has(program) { Ok(()) } else { Err("the new program is unknown".to_owned()) };
    Ok(after.and(again).and(known).and(expect_equal("the product", &executor.read(program, y)?, &[2.0; 3])))
}

fn foreign_handle(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (graph, x, y) = scaled(false, 3)?;
    start(executor, &graph, &[(x, &[1.0; 3])])?;
    executor.write_variable("w", &[2.0; 3])?;
    #[cfg(feature = "cpu")]
    let mut other = moue::exec::cpu::CpuExecutor::<f32>::new(Some(1))?;
    #[cfg(not(feature = "cpu"))]
    let mut other = moue::exec::gpu::GpuExecutor::new(&moue::exec::gpu::Selector::Auto)?;
    let foreign = start(&mut other, &graph, &[(x, &[1.0; 3])])?;
    Ok(expect_unknown(executor, foreign, [x, y]))
}

fn same_bits(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let mut graph = Graph::new();
    let x = graph.input("x", [3, 6, 19, 17]);
    let weight = graph.input("weight", [8, 6, 3, 3]);
    let y = graph.conv2d(x, weight, None, Conv2d { padding: 1, ..Conv2d::default() })?;
    let pooled = graph.global_avg_pool(y)?;
    let squares = graph.multiply(pooled, pooled)?;
    let row = graph.reshape(squares, [1, 24].into())?;
    let ones = graph.constant([1, 24].into(), 1.0);
    let loss = graph.linear(row, ones, None, 1)?;
    let gradients = graph.gradients(loss, &[x, weight])?;
    gradients.iter().for_each(|&id| graph.output(id));
    let (x_values, weight_values) =
        (Array::random("bits x", &[3, 6, 19, 17]).to_f32(), Array::random("bits w", &[8, 6, 3, 3]).to_f32());
    let program = start(executor, &graph, &[(x, &x_values), (weight, &weight_values)])?;
    let mut runs = Vec::new();
    for _ in 0..3 {
        executor.run(program)?;
        executor.synchronize()?;
        let read = gradients.iter().map(|&id| executor.read_f64(program, id)).collect::<Result<Vec<_>>>()?;
        runs.push(read);
    }
    let moving = runs[0].iter().flatten().any(|&value| value != 0.0);
    let same = runs[1] == runs[0] && runs[2] == runs[0];
    Ok(if moving && same { Ok(()) } else { Err(format!("not zero: {moving}, the same: {same}")) })
}

/// As the targets where only logits are asked for: its size is still checked.
fn unused_input(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (mut graph, x, y) = scaled(false, 3)?;
    let targets = graph.input("targets", [5]);
    let dead = graph.relu(targets)?;
    let program = start(executor, &graph, &[(x, &[1.0; 3]), (targets, &[1.0; 5])])?;
    executor.write_variable("w", &[2.0; 3])?;
    executor.run(program)?;
    if !matches!(executor.write(program, targets, &[1.0; 4]), Err(Error::Shape { .. })) {
        return Ok(Err("a short unused input was accepted".to_owned()));
    }
    if !matches!(executor.read(program, dead), Err(Error::Shape { .. })) {
        return Ok(Err("a tensor that is no output was read".to_owned()));
    }
    Ok(expect_equal("the product", &executor.read(program, y)?, &[2.0; 3]))
}

fn cleared(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (small, ..) = scaled(false, 3)?;
    let (large, ..) = scaled(false, 5)?;
    executor.compile(&small)?;
    if !matches!(executor.compile(&large), Err(Error::Shape { .. })) {
        return Ok(Err("a variable of another size was accepted".to_owned()));
    }
    executor.clear();
    executor.compile(&large)?;
    Ok(expect_equal("the new variable", &executor.read_variable("w")?, &[0.0; 5]))
}

fn refusals(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (graph, x, y) = scaled(false, 3)?;
    let program = start(executor, &graph, &[(x, &[1.0; 3])])?;
    let refused = [
        ("a short input", executor.write(program, x, &[1.0; 2])),
        ("a long input", executor.write(program, x, &[1.0; 4])),
        ("a long variable", executor.write_variable("w", &[1.0; 4])),
        ("an unknown variable", executor.write_variable("v", &[1.0; 3])),
        ("an unknown variable to read", executor.read_variable("v").map(|_| ())),
    ];
    for (what, result) in refused {
        if !matches!(result, Err(Error::Shape { .. })) {
            return Ok(Err(format!("{what}: {result:?}, expected a shape error")));
        }
    }
    // Nothing of it was written.
    executor.write_variable("w", &[2.0; 3])?;
    executor.run(program)?;
    Ok(expect_equal("the product", &executor.read(program, y)?, &[2.0; 3]))
}

fn not_finite(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (mut graph, x, y) = scaled(false, 3)?;
    graph.set_scope("late");
    let square = graph.multiply(y, y)?;
    graph.output(square);
    let program = start(executor, &graph, &[(x, &[1.0; 3])])?;
    let mut found = Vec::new();
    for (w, value) in [(1.0, 1.0), (f32::NAN, 1.0), (1.0, f32::INFINITY), (1e30, 1e30)] {
        executor.write_variable("w", &[1.0, w, 1.0])?;
        executor.write(program, x, &[1.0, 1.0, value])?;
        if w > 1.0 {
            // Finite at first, infinite in f32 once multiplied, in f64 once squared often enough.
            executor.write_variable("w", &[1e30; 3])?;
            executor.write(program, x, &[1e30; 3])?;
        }
        executor.run(program)?;
        found.push(executor.first_not_finite(program)?);
    }
    let names = |i: usize, part: &str| found[i].as_ref().is_some_and(|text: &String| text.contains(part));
    let overflow = names(3, "Multiply") || executor.device().detail.contains("f64");
    let good = found[0].is_none() && names(1, "w") && names(2, "x") && overflow;
    Ok(if good { Ok(()) } else { Err(format!("{found:?}")) })
}

fn statistics(executor: &mut dyn Executor) -> Result<std::result::Result<(), String>> {
    executor.clear();
    let (graph, x, _) = scaled(false, 67)?;
    let program = start(executor, &graph, &[(x, &[1.0; 67])])?;
    executor.write_variable("w", &[1.0; 67])?;
    executor.run(program)?;
    let before = executor.stats(program);
    for _ in 0..5 {
        executor.run(program)?;
    }
    executor.synchronize()?;
    let after = executor.stats(program);
    // x, w and y, 67 numbers each.
    let good = before == after && before.dispatches > 0 && before.bytes >= 3 * 67 * 4;
    Ok(if good { Ok(()) } else { Err(format!("{before:?}, after more runs {after:?}")) })
}
