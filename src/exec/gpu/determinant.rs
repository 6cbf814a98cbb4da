//! The diversity objective of a similarity matrix.

use super::{
    lower::Lower,
    shader::{Kernel, params},
};
use crate::{Result, graph::Node, ops::Objective};

params!(DeterminantParams for "determinant" { learners: u32, objective: u32, eps: f32 });

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, objective: Objective) -> Result<()> {
    let (objective, eps) = match objective {
        Objective::Det => (0, 0.0),
        Objective::LogDet { eps } => (1, eps as f32),
        Objective::Sum => (2, 0.0),
        Objective::ShiftedLogDet { eps } => (3, eps as f32),
    };
    let learners = cx.shape(node.inputs[0]).dims()[0];
    let operands = vec![cx.read(node.inputs[0]), cx.write(node.outputs[0]), cx.write(node.outputs[1])];
    let params = DeterminantParams { learners: learners as u32, objective, eps };
    // Each minor, and the whole.
    cx.dispatch(Kernel::new("determinant", "main"), params, operands, [(learners * learners + 1) as u32, 1, 1])
}
