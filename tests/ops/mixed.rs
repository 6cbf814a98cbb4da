//! Mixed precision: all cases of the convolution with the tolerance of operands in f16, and what makes the mode.

use moue::{
    exec::Executor,
    graph::Graph,
    ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Op},
};

use super::conv2d;
use crate::support::{
    case::{Case, Cases, text},
    data::Array,
};

/// The cases for devices in mixed precision.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Cases::new("conv2d");
    conv2d::cases(&mut cases);
    cases.add("mixed_operands_are_rounded_to_f16", |executor, _| operands_are_rounded_to_f16(executor));
    cases.add("mixed_sums_stay_f32", |executor, _| sums_stay_f32(executor));
    cases.add("mixed_gradients_too_small_for_f16_are_kept", |executor, _| small_gradients_are_kept(executor));
    cases.add("mixed_values_beyond_f16_become_its_largest", |executor, _| large_values_are_limited(executor));
    cases.add("mixed_values_that_are_not_finite_stay_so", |executor, _| what_is_not_finite_stays_so(executor));
    cases.add("mixed_groups_of_8_outputs_stay_f32", |executor, _| few_outputs_stay_f32(executor));
    cases.list
}

/// The first result of an op on inputs that are each of one value.
fn run(executor: &mut dyn Executor, op: impl Into<Op>, inputs: [([usize; 4], f64); 2]) -> Result<Vec<f64>, String> {
    let mut graph = Graph::new();
    let ids = [0, 1].map(|i| graph.input(format!("input{i}"), inputs[i].0));
    let output = graph.push(op.into(), &ids, &[]).map_err(text)?[0];
    graph.output(output);
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    for (id, (dims, value)) in ids.into_iter().zip(inputs) {
        let count = dims.iter().product();
        let array = Array::new(&dims, vec![value; count]);
        executor.write(program, id, &array.to_f32()).map_err(text)?;
    }
    executor.run(program).map_err(text)?;
    executor.read_f64(program, output).map_err(text)
}

fn expect(found: &[f64], expected: f64) -> Result<(), String> {
    match found.iter().find(|value| **value != expected) {
        Some(value) => Err(format!("{value:e} where {expected:e} was expected")),
        None => Ok(()),
    }
}

/// Above 1 numbers of f16 are 2⁻¹⁰ apart: 1 + 2⁻¹² becomes 1, and 3·(1 + 2⁻¹⁰) is exact.
fn operands_are_rounded_to_f16(executor: &mut dyn Executor) -> Result<(), String> {
    let (map, filters) = ([2, 5, 3, 3], [20, 5, 1, 1]);
    let near = 1.0 + 1.0 / 4096.0;
    expect(&run(executor, Conv2d::default(), [(map, near), (filters, 3.0)])?, 15.0)?;
    expect(&run(executor, Conv2d::default(), [(map, 3.0), (filters, near)])?, 15.0)?;
    expect(&run(executor, Conv2d::default(), [(map, 3.0), (filters, 1.0 + 1.0 / 1024.0)])?, 15.0 + 15.0 / 1024.0)
}

/// f16 has no 2049 and nothing above 65504; the product of two numbers of 11 bits has 22.
fn sums_stay_f32(executor: &mut dyn Executor) -> Result<(), String> {
    let (map, filters) = ([1, 2049, 2, 2], [9, 2049, 1, 1]);
    expect(&run(executor, Conv2d::default(), [(map, 1.0), (filters, 1.0)])?, 2049.0)?;
    expect(&run(executor, Conv2d::default(), [(map, 64.0), (filters, 64.0)])?, 2049.0 * 4096.0)?;
    let (map, filters) = ([1, 1, 2, 2], [9, 1, 1, 1]);
    expect(&run(executor, Conv2d::default(), [(map, 2047.0), (filters, 2047.0)])?, 2047.0 * 2047.0)
}

/// The least normal number of f16 is 2⁻¹⁴, the least of all 2⁻²⁴.
fn small_gradients_are_kept(executor: &mut dyn Executor) -> Result<(), String> {
    let small = 3.0 * f64::powi(2.0, -27);
    let (dy, x, weight) = ([2, 20, 3, 3], [2, 10, 3, 3], [20, 10, 1, 1]);
    let conv = Conv2d::default();
    expect(&run(executor, Conv2dGradInput { conv, size: [3, 3] }, [(dy, small), (weight, 0.5)])?, 10.0 * small)?;
    let op = Conv2dGradWeight { conv, kernel: [1, 1], bias: false };
    expect(&run(executor, op, [(dy, small), (x, 0.5)])?, 9.0 * small)
}

fn large_values_are_limited(executor: &mut dyn Executor) -> Result<(), String> {
    let (map, filters) = ([1, 2, 2, 2], [9, 2, 1, 1]);
    expect(&run(executor, Conv2d::default(), [(map, 1e6), (filters, -1.0)])?, -2.0 * 65504.0)?;
    let (dy, weight) = ([1, 9, 2, 2], [9, 9, 1, 1]);
    let op = Conv2dGradInput { conv: Conv2d::default(), size: [2, 2] };
    expect(&run(executor, op, [(dy, -1e3), (weight, 1.0)])?, -9.0 * 65504.0 / 8192.0)
}

/// So that a training that fails is seen to.
fn what_is_not_finite_stays_so(executor: &mut dyn Executor) -> Result<(), String> {
    let (map, filters) = ([1, 2, 2, 2], [9, 2, 1, 1]);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let found = run(executor, Conv2d::default(), [(map, value), (filters, 1.0)])?;
        if let Some(finite) = found.iter().find(|value| value.is_finite()) {
            return Err(format!("{value} became {finite}"));
        }
    }
    Ok(())
}

fn few_outputs_stay_f32(executor: &mut dyn Executor) -> Result<(), String> {
    let near = 1.0 + 1.0 / 4096.0;
    expect(&run(executor, Conv2d::default(), [([2, 5, 3, 3], near), ([8, 5, 1, 1], 3.0)])?, 15.0 * near)
}
