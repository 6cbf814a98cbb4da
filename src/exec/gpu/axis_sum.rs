//! Sums over one axis, and repetition along a new one.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{AxisRepeat, AxisSum, TensorId},
};

params!(AxisSumParams for "axis_sum" {
    elements: u32, inner: u32, length: u32, x_at: u32, y_at: u32, scale: f32,
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: AxisSum) -> Result<()> {
    let along = cx.shape(node.inputs[0]).dims().to_vec();
    dispatch(cx, node, "sum", &along, op.axis, op.scale)
}

pub(crate) fn repeat(cx: &mut Lower<'_>, node: &Node, op: AxisRepeat) -> Result<()> {
    let along = cx.shape(node.outputs[0]).dims().to_vec();
    dispatch(cx, node, "repeat", &along, op.axis, op.scale)
}

/// `along`: the dimensions of the tensor that has the axis.
fn dispatch(
    cx: &mut Lower<'_>,
    node: &Node,
    entry: &'static str,
    along: &[usize],
    axis: usize,
    scale: f64,
) -> Result<()> {
    let (x, y): (TensorId, TensorId) = (node.inputs[0], node.outputs[0]);
    let (outer, inner): (usize, usize) = (along[..axis].iter().product(), along[axis + 1..].iter().product());
    for rows in cx.image_chunks(&[x, y], outer)? {
        let ((bound_x, x_at), (bound_y, y_at)) = (cx.read_images(x, outer, &rows), cx.write_images(y, outer, &rows));
        let elements = rows.len() * (cx.elements(y) / outer);
        let params = AxisSumParams {
            elements: elements as u32,
            inner: inner as u32,
            length: along[axis] as u32,
            x_at,
            y_at,
            scale: scale as f32,
        };
        cx.dispatch(Kernel::new("axis_sum", entry), params, vec![bound_x, bound_y], one_each(elements))?;
    }
    Ok(())
}
