//! A test case: what is built, run and compared, on any device.

use std::sync::Arc;

use moue::{
    exec::Executor,
    graph::{Graph, Init},
    ops::Op,
};

use super::{
    compare::{Tolerance, check, parts, tolerances},
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
        self.add(claim, move |executor, unit| one_op(executor, unit, &op, &inputs, &updates, runs, &[]));
    }

    /// One op on inputs of which some are NaN: its reference loop gives what is `expected`, and NaN nowhere else, and the
    /// device agrees.
    pub(crate) fn op_on_nan(&mut self, claim: &str, op: impl Into<Op>, inputs: Vec<Array>, expected: Vec<Element>) {
        self.op_on_nan_with_updates(claim, op, inputs, Vec::new(), expected);
    }

    /// The same for an op that updates variables.
    pub(crate) fn op_on_nan_with_updates(
        &mut self,
        claim: &str,
        op: impl Into<Op>,
        inputs: Vec<Array>,
        updates: Vec<Array>,
        expected: Vec<Element>,
    ) {
        let op = op.into();
        assert!(!expected.is_empty(), "{claim}: something is expected");
        self.add(claim, move |executor, unit| one_op(executor, unit, &op, &inputs, &updates, 1, &expected));
    }
}

/// An element of an output, or of an update, which count on after them, and what it must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    /// The output.
    pub(crate) output: usize,
    /// The element's place in it.
    pub(crate) place: usize,
    /// NaN, or a number that the reference loop gives exactly.
    pub(crate) value: f64,
}

impl Element {
    /// An element and its value.
    pub(crate) fn new(output: usize, place: usize, value: f64) -> Self {
        Self { output, place, value }
    }

    /// Elements that are NaN.
    pub(crate) fn nan(output: usize, places: impl IntoIterator<Item = usize>) -> Vec<Self> {
        places.into_iter().map(|place| Self::new(output, place, f64::NAN)).collect()
    }
}

/// Checks that the reference's results are NaN where that is expected and nowhere else, and have the other values that
/// are.
fn check_reference(results: &[Array], expected: &[Element]) -> Result<(), String> {
    for Element { output, place, value } in expected {
        let found = results[*output].data[*place];
        if found != *value && !(found.is_nan() && value.is_nan()) {
            return Err(format!("the reference's output {output} has {found} at {place}, expected {value}"));
        }
    }
    let found = results.iter().flat_map(|result| &result.data).filter(|value| value.is_nan()).count();
    let nan = expected.iter().filter(|element| element.value.is_nan()).count();
    if found == nan { Ok(()) } else { Err(format!("the reference gives {found} NaN, expected {nan}")) }
}

/// The elements with 0 for NaN.
fn without_nan(array: &Array) -> Array {
    let data = array.data.iter().map(|value| if value.is_nan() { 0.0 } else { *value });
    Array::new(&array.dims, data.collect())
}

/// Checks values against what is expected; where that is NaN they must be too.
fn check_with_nan(what: &str, actual: &[f64], expected: &[f64], tolerance: Tolerance) -> Result<(), String> {
    let mut actual = actual.to_vec();
    for (i, (actual, expected)) in actual.iter_mut().zip(expected).enumerate() {
        if expected.is_nan() {
            if !actual.is_nan() {
                return Err(format!("{what}: {actual:e} at {i}, where NaN was expected"));
            }
            *actual = 0.0;
        }
    }
    check(what, &actual, &without_nan(&Array::new(&[expected.len()], expected.to_vec())), tolerance)
}

/// Text of an error of the crate.
pub(crate) fn text(error: moue::Error) -> String {
    error.to_string()
}

/// Builds a graph of one op, runs it and compares all outputs and updates. Where inputs are NaN, `nan` has the results
/// that are too, and others that must be met.
fn one_op(
    executor: &mut dyn Executor,
    unit: f64,
    op: &Op,
    inputs: &[Array],
    updates: &[Array],
    runs: usize,
    nan: &[Element],
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
    check_reference(&expected, nan)?;
    let numbers = |arrays: &[Array]| arrays.iter().map(without_nan).collect::<Vec<_>>();
    let mut tolerances = tolerances(op, &numbers(inputs), &numbers(&expected), unit).into_iter();
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
            check_with_nan(&format!("output {i}, part {part}"), actual, expected, next()?)?;
        }
    }
    for (i, array) in expected[outputs.len()..].iter().enumerate() {
        let actual = executor.read_variable_f64(&format!("state{i}")).map_err(text)?;
        check_with_nan(&format!("update {i}"), &actual, &array.data, next()?)?;
    }
    match tolerances.next() {
        Some(_) => Err("a tolerance without an output".to_owned()),
        None => Ok(()),
    }
}
