//! Softmax cross-entropy of the branches' mixture.

use super::{
    cross_entropy::sizes,
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node, ops::cross_entropy::Sizes};

params!(MixtureCrossEntropyParams for "mixture_cross_entropy", "mixture_cross_entropy_grad" {
    images: u32, branches: u32, classes: u32
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let Sizes { images: n, branches: b, classes: k, .. } = sizes(cx, node, 0)?;
    let params = MixtureCrossEntropyParams { images: n as u32, branches: b as u32, classes: k as u32 };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.push(cx.write(node.outputs[0]));
    cx.dispatch(Kernel::new("mixture_cross_entropy", "main"), params, operands, [1, 1, 1])
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let Sizes { images: n, branches: b, classes: k, .. } = sizes(cx, node, 1)?;
    let params = MixtureCrossEntropyParams { images: n as u32, branches: b as u32, classes: k as u32 };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.push(cx.write(node.outputs[0]));
    cx.dispatch(Kernel::new("mixture_cross_entropy_grad", "main"), params, operands, one_each(n * b))
}
