//! The pooled RBF similarity between the learners' maps.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{Similarity, SimilarityGrad},
};

params!(SimilarityParams for "similarity" { images: u32, learners: u32, features: u32, zero_diagonal: u32 });
params!(SimilarityGradParams for "similarity_grad" { images: u32, learners: u32, features: u32, scale: f32 });

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: Similarity) -> Result<()> {
    let [n, f] = op.sizes(cx.shape(node.inputs[0]))?;
    let l = op.learners as u32;
    let params =
        SimilarityParams { images: n as u32, learners: l, features: f as u32, zero_diagonal: op.zero_diagonal.into() };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.extend(node.outputs.iter().map(|&id| cx.write(id)));
    cx.dispatch(Kernel::new("similarity", "main"), params, operands, [l, l, 1])
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, op: SimilarityGrad) -> Result<()> {
    let SimilarityGrad { similarity, scale } = op;
    let [n, f] = similarity.sizes(cx.shape(node.inputs[1]))?;
    let l = similarity.learners;
    let params = SimilarityGradParams { images: n as u32, learners: l as u32, features: f as u32, scale: scale as f32 };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.push(cx.write(node.outputs[0]));
    let elements = n * l * f;
    cx.dispatch(Kernel::new("similarity_grad", "main"), params, operands, one_each(elements))
}
