//! A test case: what is built, run and compared, on any device.

use std::sync::Arc;

use moue::{
    exec::Executor,
    graph::{Graph, Init},
    ops::Op,
};

use super::{
    compare::{check, parts, tolerances},
    data::Array,
    reference::reference,
};

/// What runs on a device with a unit roundoff.
pub(crate) type Run = dyn Fn(&mut dyn Executor, f64) -> Result<(), String> + Send + Sync;

/// A named claim about an op.
pub(crate) struct Case {
    /// The op's stem and the claim.
    pub(crate) name: String,
    /// Fails with a sentence.
    pub(crate) run: Arc<Run>,
}

/// The cases of one op.
pub(crate) struct Cases {
    stem: &'static str,
    /// All so far.
    pub(crate) list: Vec<Case>,
}

impl Cases {
    /// None yet.
    pub(crate) fn new(stem: &'static str) -> Self {
        Self { stem, list: Vec::new() }
    }

    /// A case of any kind.
    pub(crate) fn add(
        &mut self,
        claim: &str,
        run: impl Fn(&mut dyn Executor, f64) -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.list.push(Case { name: format!("{}::{claim}", self.stem), run: Arc::new(run) });
    }

    /// One op on these inputs agrees with its reference loop.
    pub(crate) fn op(&mut self, claim: &str, op: impl Into<Op>, inputs: Vec<Array>) {
        self.op_with_updates(claim, op, inputs, Vec::new(), 1);
    }

    /// The same for an op that updates variables, run several times.
    pub(crate) fn op_with_updates(
        &mut self,
        claim: &str,
        op: impl Into<Op>,
        inputs: Vec<Array>,
        updates: Vec<Array>,
        runs: usize,
    ) {
        let op = op.into();
        assert_eq!(op.contract().stem(), self.stem, "{claim} is a case of another op");
        let all = inputs.iter().chain(&updates).flat_map(|array| &array.data);
        assert!(all.into_iter().all(|value| f64::from(*value as f32) == *value), "{claim}: inputs exact in f32");
        self.add(claim, move |executor, unit| one_op(executor, unit, &op, &inputs, &updates, runs));
    }
}

/// Text of an error of the crate.
pub(crate) fn text(error: moue::Error) -> String {
    error.to_string()
}

/// Builds a graph of one op, runs it and compares all outputs and updates.
fn one_op(
    executor: &mut dyn Executor,
    unit: f64,
    op: &Op,
    inputs: &[Array],
    updates: &[Array],
    runs: usize,
) -> Result<(), String> {
    let mut graph = Graph::new();
    let ids: Vec<_> =
        inputs.iter().enumerate().map(|(i, array)| graph.input(format!("input{i}"), array.shape())).collect();
    let states: Vec<_> = updates
        .iter()
        .enumerate()
        .map(|(i, array)| graph.state(&format!("state{i}"), 1, array.shape(), Init::Fill(0.0)))
        .collect();
    let outputs = graph.push(op.clone(), &ids, &states).map_err(text)?;
    for &output in &outputs {
        graph.output(output);
    }
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    for (array, &id) in inputs.iter().zip(&ids) {
        executor.write(program, id, &array.to_f32()).map_err(text)?;
    }
    for (i, array) in updates.iter().enumerate() {
        executor.write_variable(&format!("state{i}"), &array.to_f32()).map_err(text)?;
    }
    let mut changed = updates.to_vec();
    let mut expected = Vec::new();
    for _ in 0..runs {
        executor.run(program).map_err(text)?;
        expected = reference(op, inputs, &mut changed);
    }
    expected.extend(changed);
    let mut tolerances = tolerances(op, inputs, &expected, unit).into_iter();
    let mut next = || tolerances.next().ok_or_else(|| "an output without a tolerance".to_owned());
    for (i, (&id, array)) in outputs.iter().zip(&expected).enumerate() {
        if graph.tensor(id).shape != array.shape() {
            return Err(format!("output {i} has shape {}, expected {:?}", graph.tensor(id).shape, array.dims));
        }
        let actual = executor.read_f64(program, id).map_err(text)?;
        if actual.len() != array.data.len() {
            return Err(format!("output {i} has {} values, expected {}", actual.len(), array.data.len()));
        }
        let size = array.data.len() / parts(op, i);
        for (part, (actual, expected)) in actual.chunks(size).zip(array.data.chunks(size)).enumerate() {
            check(&format!("output {i}, part {part}"), actual, &Array::new(&[size], expected.to_vec()), next()?)?;
        }
    }
    for (i, array) in expected[outputs.len()..].iter().enumerate() {
        let actual = executor.read_variable_f64(&format!("state{i}")).map_err(text)?;
        check(&format!("update {i}"), &actual, array, next()?)?;
    }
    match tolerances.next() {
        Some(_) => Err("a tolerance without an output".to_owned()),
        None => Ok(()),
    }
}
