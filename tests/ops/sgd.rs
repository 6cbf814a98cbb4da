//! SGD, through [`Graph::sgd`]: the loss is `Σ r·p + extra`, so that each parameter's gradient is exactly its r.

use moue::{
    exec::{Executor, Program},
    graph::{Graph, Init},
    ops::{Emit, Op, Sgd, TensorId},
};

use crate::support::{
    case::{Cases, text},
    compare::{Tolerance, check},
    data::Array,
    reference::reference,
};

/// A parameter's sizes and the number of its parts.
type Parameter = (&'static [usize], usize);

/// What is trained, and how.
#[derive(Clone)]
struct Setting {
    name: String,
    parameters: Vec<Parameter>,
    momentum: f64,
    nesterov: bool,
    steps: usize,
    /// What is added to the loss before each step.
    extra: Vec<f64>,
    healthy: f64,
}

pub(super) fn cases(cases: &mut Cases) {
    let few: Vec<Parameter> = vec![(&[7], 1)];
    let branches: Vec<Parameter> = vec![(&[8, 3, 3, 3], 1), (&[9 * 5, 7], 9), (&[18], 9), (&[1], 1), (&[3, 257], 3)];
    let wide: Vec<Parameter> = vec![(&[67, 33], 1), (&[15, 131], 15)];
    for (parameters, size) in [(few, "one_vector"), (branches, "parts_of_nine_branches"), (wide, "wide_layers")] {
        for (momentum, nesterov, way) in
            [(0.0, false, "plain"), (0.9, false, "with_momentum"), (0.9, true, "with_nesterov")]
        {
            let name = format!("{way}_on_{size}");
            let healthy = 1.0;
            let setting = Setting {
                name,
                parameters: parameters.clone(),
                momentum,
                nesterov,
                steps: 3,
                extra: vec![0.0],
                healthy,
            };
            add(cases, setting);
        }
    }
    let frozen = |name: &str, extra: &[f64], healthy: f64| Setting {
        name: name.to_owned(),
        parameters: vec![(&[9, 2], 3), (&[5], 1)],
        momentum: 0.9,
        nesterov: false,
        steps: 3,
        extra: extra.to_vec(),
        healthy,
    };
    add(cases, frozen("a_loss_of_nan_freezes", &[0.0, f64::NAN, 0.0], 1.0));
    add(cases, frozen("an_infinite_loss_freezes", &[f64::INFINITY, 0.0, 0.0], 1.0));
    add(cases, frozen("a_loss_of_minus_infinity_freezes", &[0.0, 0.0, f64::NEG_INFINITY], 1.0));
    add(cases, frozen("an_unhealthy_flag_freezes", &[0.0], 0.0));
    cases.add("parameters_that_share_a_gradient", |executor, _| shared_gradient(executor));
    cases.add("a_constant_gradient", |executor, _| constant_gradient(executor));
}

/// One step of lr 1/2 without decay or momentum on parameters that start at 1.
fn one_step(
    executor: &mut dyn Executor,
    graph: &Graph,
    names: &[&str],
    inputs: &[TensorId],
) -> Result<Vec<f32>, String> {
    executor.clear();
    let program = executor.compile(graph).map_err(text)?;
    for (name, value) in [("lr", 0.5), ("decay", 0.0)] {
        write(executor, program, find(graph, name)?, &Array::filled(&[names.len()], value))?;
    }
    executor.write_variable("healthy", &[1.0]).map_err(text)?;
    for &id in inputs {
        write(executor, program, id, &Array::new(&[3], vec![1.0, 2.0, -4.0]))?;
    }
    for name in names {
        let id = find(graph, name)?;
        let count = graph.tensor(id).shape.elements();
        executor.write_variable(name, &vec![1.0; count]).map_err(text)?;
        executor.write_variable(&format!("{name}.momentum"), &vec![0.0; count]).map_err(text)?;
    }
    executor.run(program).map_err(text)?;
    let mut values = Vec::new();
    for name in names {
        values.extend(executor.read_variable(name).map_err(text)?);
    }
    Ok(values)
}

/// Of `r·(a + b)` both gradients are the same tensor.
fn shared_gradient(executor: &mut dyn Executor) -> Result<(), String> {
    let build = || -> moue::Result<(Graph, TensorId)> {
        let mut graph = Graph::new();
        let (a, b) = (graph.parameter("a", 1, [3], Init::Fill(0.0)), graph.parameter("b", 1, [3], Init::Fill(0.0)));
        let r = graph.input("r", [3]);
        let sum = graph.add_tensors(a, b)?;
        let product = graph.multiply(sum, r)?;
        let row = graph.reshape(product, [1, 3].into())?;
        let ones = graph.constant([1, 3].into(), 1.0);
        let loss = graph.linear(row, ones, None, 1)?;
        let loss = graph.reshape(loss, [1].into())?;
        graph.sgd(loss, 0.0, false)?;
        Ok((graph, r))
    };
    let (graph, r) = build().map_err(text)?;
    let found = one_step(executor, &graph, &["a", "b"], &[r])?;
    let expected = [0.5, 0.0, 3.0, 0.5, 0.0, 3.0];
    if found == expected { Ok(()) } else { Err(format!("{found:?}, expected {expected:?}")) }
}

/// Of `2a − b` the gradients are constants.
fn constant_gradient(executor: &mut dyn Executor) -> Result<(), String> {
    let build = || -> moue::Result<Graph> {
        let mut graph = Graph::new();
        let (a, b) = (graph.parameter("a", 1, [1], Init::Fill(0.0)), graph.parameter("b", 1, [1], Init::Fill(0.0)));
        let loss = graph.weighted_sum(&[(a, 2.0), (b, -1.0)])?;
        graph.sgd(loss, 0.0, false)?;
        Ok(graph)
    };
    let found = one_step(executor, &build().map_err(text)?, &["a", "b"], &[])?;
    if found == [0.0, 1.5] { Ok(()) } else { Err(format!("{found:?}, expected [0.0, 1.5]")) }
}

fn add(cases: &mut Cases, setting: Setting) {
    let name = setting.name.clone();
    cases.add(&name, move |executor, unit| train(executor, unit, &setting));
}

/// The graph, and the inputs r of the parameters, the ones that sum, and the extra loss.
struct Network {
    graph: Graph,
    factors: Vec<TensorId>,
    ones: Vec<TensorId>,
    extra: TensorId,
}

fn network(setting: &Setting) -> moue::Result<Network> {
    let mut graph = Graph::new();
    let extra = graph.input("extra", [1]);
    let (mut factors, mut ones, mut loss) = (Vec::new(), Vec::new(), extra);
    for (i, (dims, parts)) in setting.parameters.iter().enumerate() {
        let name = if *parts > 1 { format!("p{i}.*.weight") } else { format!("p{i}.weight") };
        let shape = Array::zeros(dims).shape();
        let count = shape.elements();
        let parameter = graph.parameter(&name, *parts, shape.clone(), Init::Fill(0.0));
        let factor = graph.input(format!("r{i}"), shape);
        let one = graph.input(format!("ones{i}"), [1, count]);
        let product = graph.multiply(parameter, factor)?;
        let row = graph.reshape(product, [1, count].into())?;
        let sum = graph.linear(row, one, None, 1)?;
        let sum = graph.reshape(sum, [1].into())?;
        loss = graph.add_tensors(loss, sum)?;
        factors.push(factor);
        ones.push(one);
    }
    graph.sgd(loss, setting.momentum, setting.nesterov)?;
    Ok(Network { graph, factors, ones, extra })
}

fn find(graph: &Graph, name: &str) -> Result<TensorId, String> {
    graph.find(name).ok_or_else(|| format!("no {name} in the graph"))
}

fn write(executor: &mut dyn Executor, program: Program, id: TensorId, values: &Array) -> Result<(), String> {
    executor.write(program, id, &values.to_f32()).map_err(text)
}

fn train(executor: &mut dyn Executor, unit: f64, setting: &Setting) -> Result<(), String> {
    let Network { graph, factors, ones, extra } = network(setting).map_err(text)?;
    let parameters = graph.parameters();
    let names: Vec<_> = parameters.iter().map(|&id| graph.tensor(id).name.clone()).collect();
    let variables: Vec<String> = std::iter::once("healthy".to_owned())
        .chain(names.iter().cloned())
        .chain(names.iter().map(|name| format!("{name}.momentum")))
        .collect();
    let shapes = || setting.parameters.iter().map(|parameter| parameter.0);
    let random = |what: &str, i: usize, dims: &[usize]| Array::random(&format!("{} {what} {i}", setting.name), dims);
    let mut state = vec![Array::filled(&[1], setting.healthy)];
    state.extend(shapes().enumerate().map(|(i, dims)| random("p", i, dims)));
    state.extend(shapes().enumerate().map(|(i, dims)| random("v", i, dims)));
    let parts: Vec<usize> = setting.parameters.iter().map(|parameter| parameter.1).collect();
    let total = parts.iter().sum();
    // Some parts do not decay, some do not learn.
    let lr = Array::grid("lr", &[total], 0.25, 16.0).map(f64::abs);
    let decay = Array::grid("decay", &[total], 0.5, 4.0).map(f64::abs);
    let op = Op::from(Sgd { momentum: setting.momentum, nesterov: setting.nesterov, parts });

    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    write(executor, program, find(&graph, "lr")?, &lr)?;
    write(executor, program, find(&graph, "decay")?, &decay)?;
    for (&id, dims) in ones.iter().zip(shapes()) {
        write(executor, program, id, &Array::filled(&[dims.iter().product()], 1.0))?;
    }
    for (name, values) in variables.iter().zip(&state) {
        executor.write_variable(name, &values.to_f32()).map_err(text)?;
    }
    for step in 0..setting.steps {
        let extra_loss = setting.extra.get(step).copied().unwrap_or(0.0);
        write(executor, program, extra, &Array::filled(&[1], extra_loss))?;
        let mut inputs = vec![lr.clone(), decay.clone(), Array::filled(&[1], extra_loss)];
        for (i, (&id, dims)) in factors.iter().zip(shapes()).enumerate() {
            let r = random(&format!("r of step {step}"), i, dims);
            write(executor, program, id, &r)?;
            inputs.push(r);
        }
        executor.run(program).map_err(text)?;
        reference(&op, &inputs, &mut state);
    }
    let largest = state.iter().map(Array::max_abs).fold(1.0, f64::max);
    for (i, (name, expected)) in variables.iter().zip(&state).enumerate() {
        let actual = executor.read_variable_f64(name).map_err(text)?;
        // A few roundings a step, each of a number no larger than the largest.
        let moving = Tolerance::new(8.0 * setting.steps as f64 * unit * largest, 0.0);
        let frozen = setting.healthy == 0.0 || setting.extra[0].is_infinite();
        check(name, &actual, expected, if i == 0 || frozen { Tolerance::EXACT } else { moving })?;
    }
    Ok(())
}
