//! Maps at unit length.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node, ops::UnitLength};

params!(UnitLengthParams for "unit_length", "unit_length_grad" { rows: u32, features: u32, eps: f32 });

/// The invocations that share a row.
const LANES: usize = 8;

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: UnitLength) -> Result<()> {
    dispatch(cx, node, op, "unit_length")
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, op: UnitLength) -> Result<()> {
    dispatch(cx, node, op, "unit_length_grad")
}

fn dispatch(cx: &mut Lower<'_>, node: &Node, op: UnitLength, shader: &'static str) -> Result<()> {
    let [rows, features] = op.sizes(cx.shape(node.outputs[0]))?;
    let params = UnitLengthParams { rows: rows as u32, features: features as u32, eps: op.eps as f32 };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.push(cx.write(node.outputs[0]));
    cx.dispatch(Kernel::new(shader, "main"), params, operands, one_each(rows * LANES))
}
