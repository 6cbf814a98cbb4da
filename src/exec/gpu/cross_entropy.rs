//! Softmax cross-entropy of every branch, and hits.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node, ops::cross_entropy::Sizes};

params!(CrossEntropyParams for "cross_entropy", "cross_entropy_grad" {
    images: u32, branches: u32, classes: u32, rows: u32
});

/// Of the logits among an op's inputs, behind which targets and weights follow.
pub(super) fn sizes(cx: &Lower<'_>, node: &Node, logits: usize) -> Result<Sizes> {
    let [logits, targets, weights] = [0, 1, 2].map(|i| cx.shape(node.inputs[logits + i]));
    Sizes::new(node.op.contract().stem(), logits, targets, weights)
}

fn params(sizes: Sizes) -> CrossEntropyParams {
    let Sizes { images, branches, classes, rows } = sizes;
    CrossEntropyParams { images: images as u32, branches: branches as u32, classes: classes as u32, rows: rows as u32 }
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let params = params(sizes(cx, node, 0)?);
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.extend(node.outputs.iter().map(|&id| cx.write(id)));
    cx.dispatch(Kernel::new("cross_entropy", "main"), params, operands, [1, 1, 1])
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let sizes = sizes(cx, node, 1)?;
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.push(cx.write(node.outputs[0]));
    let grid = one_each(sizes.images * sizes.branches);
    cx.dispatch(Kernel::new("cross_entropy_grad", "main"), params(sizes), operands, grid)
}
