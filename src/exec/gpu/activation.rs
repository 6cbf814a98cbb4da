//! Activation and its gradient: elementwise, split where a tensor is larger than a binding.

use super::{
    lower::{Lower, Operand},
    shader::{Kernel, one_each, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{Function, TensorId},
};

params!(ActivationParams for "activation" { elements: u32 });
params!(ActivationGradParams for "activation_grad" { elements: u32 });

/// How the shaders number the functions; 0 is none.
pub(crate) fn code(function: Option<Function>) -> u32 {
    match function {
        None => 0,
        Some(Function::Relu) => 1,
        Some(Function::Sigmoid) => 2,
    }
}

/// The operands of an elementwise dispatch: all tensors in `range`, the last written.
pub(crate) fn operands(cx: &Lower<'_>, tensors: &[TensorId], range: &std::ops::Range<usize>) -> Vec<Operand> {
    let last = tensors.len() - 1;
    let view = |id: TensorId| cx.view(id).range(range.clone());
    let bind =
        |(i, &id): (usize, &TensorId)| if i == last { Operand::write(view(id)) } else { Operand::read(view(id)) };
    tensors.iter().enumerate().map(bind).collect()
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, function: Function) -> Result<()> {
    let tensors = [node.inputs[0], node.outputs[0]];
    for range in cx.element_chunks(cx.elements(tensors[0])) {
        let kernel = Kernel::new("activation", "main").with("SIGMOID", u32::from(function == Function::Sigmoid));
        let params = ActivationParams { elements: range.len() as u32 };
        let operands = operands(cx, &tensors, &range);
        cx.dispatch(kernel, params, operands, one_each(range.len()))?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, function: Function) -> Result<()> {
    let tensors = [node.inputs[0], node.inputs[1], node.outputs[0]];
    for range in cx.element_chunks(cx.elements(tensors[1])) {
        let kernel = Kernel::new("activation_grad", "main").with("SIGMOID", u32::from(function == Function::Sigmoid));
        let params = ActivationGradParams { elements: range.len() as u32 };
        let operands = operands(cx, &tensors, &range);
        cx.dispatch(kernel, params, operands, one_each(range.len()))?;
    }
    Ok(())
}
