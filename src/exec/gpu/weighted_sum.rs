//! Sums of tensors with fixed weights, and an activation of the sum.

use super::{
    activation::{code, operands},
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node, ops::WeightedSum};

params!(WeightedSumParams for "weighted_sum" {
    elements: u32, count: u32, weight0: f32, weight1: f32, weight2: f32, weight3: f32,
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: &WeightedSum) -> Result<()> {
    let input = |i: usize| *node.inputs.get(i).unwrap_or(&node.inputs[0]);
    let weight = |i: usize| op.weights.get(i).map_or(0.0, |&weight| weight as f32);
    let tensors = [input(0), input(1), input(2), input(3), node.outputs[0]];
    for range in cx.element_chunks(cx.elements(tensors[0])) {
        let params = WeightedSumParams {
            elements: range.len() as u32,
            count: op.weights.len() as u32,
            weight0: weight(0),
            weight1: weight(1),
            weight2: weight(2),
            weight3: weight(3),
        };
        let operands = operands(cx, &tensors, &range);
        let kernel = Kernel::new("weighted_sum", "main").with("ACTIVATION", code(op.activation));
        cx.dispatch(kernel, params, operands, one_each(range.len()))?;
    }
    Ok(())
}
