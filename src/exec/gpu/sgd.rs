//! One SGD step over all parameters: a dispatch for each segment of the arena.

use std::collections::BTreeMap;

use super::{
    concat,
    lower::{Lower, Operand},
    shader::{Kernel, folded, params},
};
use crate::{Result, graph::Node, ops::Sgd};

params!(SgdParams for "sgd" { rows: u32, momentum: f32, nesterov: u32 });

/// Elements that a workgroup takes.
const CHUNK: usize = 1024;

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: &Sgd) -> Result<()> {
    let (lr, decay, loss, healthy) = (node.inputs[0], node.inputs[1], node.inputs[2], node.updates[0]);
    let parameters = &node.updates[1..=op.parts.len()];
    // Rows (first element, elements, part) of each segment.
    let mut tables: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    let mut part = 0;
    for ((&parameter, &gradient), &parts) in parameters.iter().zip(&node.inputs[3..]).zip(&op.parts) {
        let spot = cx.variables.spot(&cx.graph.tensor(parameter).name);
        let elements = cx.elements(parameter);
        let home = cx.gradients(spot.segment)?.range(spot.at..spot.at + elements);
        let view = cx.view(gradient);
        if view != home {
            // A gradient that is a constant, or the gradient of two parameters at once.
            concat::copy(cx, view, home)?;
        }
        let table = tables.entry(spot.segment).or_default();
        let length = elements / parts;
        for i in 0..parts {
            for start in (0..length).step_by(CHUNK) {
                let row = [spot.at + i * length + start, CHUNK.min(length - start), part + i];
                table.extend(row.map(|number| number as u32));
            }
        }
        part += parts;
    }
    for (segment, table) in tables {
        let rows = table.len() / 3;
        let table = cx.table(&table);
        let gradients = cx.gradients(segment)?;
        let (parameters, momenta) = cx.variables.segment(segment);
        let momenta = momenta.expect("invariant: momenta are declared with the program");
        let mut operands = vec![table, cx.read(lr), cx.read(decay), cx.read(loss), Operand::read(gradients)];
        operands.extend([Operand::write(parameters), Operand::write(momenta), cx.write(healthy)]);
        let params = SgdParams { rows: rows as u32, momentum: op.momentum as f32, nesterov: op.nesterov.into() };
        cx.dispatch(Kernel::new("sgd", "main"), params, operands, folded(rows))?;
    }
    Ok(())
}
