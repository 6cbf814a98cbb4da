//! Elementwise products.

use super::{
    activation::operands,
    lower::{Lower, Operand},
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node};

params!(MultiplyParams for "multiply" { elements: u32, scalar: u32 });

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let (a, b, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let scalar = cx.elements(b) == 1;
    for range in cx.element_chunks(cx.elements(a)) {
        let mut operands = operands(cx, &[a, if scalar { a } else { b }, y], &range);
        if scalar {
            operands[1] = Operand::read(cx.view(b));
        }
        let params = MultiplyParams { elements: range.len() as u32, scalar: scalar.into() };
        cx.dispatch(Kernel::new("multiply", "main"), params, operands, one_each(range.len()))?;
    }
    Ok(())
}
