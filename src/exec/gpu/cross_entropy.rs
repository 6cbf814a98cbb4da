//! Softmax cross-entropy of every branch, and hits.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node, ops::TensorId};

params!(CrossEntropyParams for "cross_entropy" { images: u32, branches: u32, classes: u32 });
params!(CrossEntropyGradParams for "cross_entropy_grad" { images: u32, branches: u32, classes: u32 });

/// N, B, K.
pub(super) fn sizes(cx: &Lower<'_>, targets: TensorId, weights: TensorId) -> [usize; 3] {
    let dims = cx.shape(targets).dims();
    [dims[0], cx.elements(weights), dims[1]]
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let [n, b, k] = sizes(cx, node.inputs[1], node.inputs[2]);
    let params = CrossEntropyParams { images: n as u32, branches: b as u32, classes: k as u32 };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.extend(node.outputs.iter().map(|&id| cx.write(id)));
    cx.dispatch(Kernel::new("cross_entropy", "main"), params, operands, [1, 1, 1])
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let [n, b, k] = sizes(cx, node.inputs[2], node.inputs[3]);
    let params = CrossEntropyGradParams { images: n as u32, branches: b as u32, classes: k as u32 };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.push(cx.write(node.outputs[0]));
    cx.dispatch(Kernel::new("cross_entropy_grad", "main"), params, operands, one_each(n * b))
}
