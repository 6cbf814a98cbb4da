//! Cutting maps into patches and joining them.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node, ops::Patches};

params!(PatchesParams for "patches" {
    elements: u32, channels: u32, height: u32, width: u32, rows: u32, columns: u32, x_at: u32, y_at: u32,
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: Patches) -> Result<()> {
    dispatch(cx, node, "cut", op)
}

pub(crate) fn join(cx: &mut Lower<'_>, node: &Node, op: Patches) -> Result<()> {
    dispatch(cx, node, "join", op)
}

fn dispatch(cx: &mut Lower<'_>, node: &Node, entry: &'static str, op: Patches) -> Result<()> {
    let (x, y) = (node.inputs[0], node.outputs[0]);
    let whole = if entry == "cut" { x } else { y };
    let [n, c, h, w] = cx.nchw(whole);
    for images in cx.image_chunks(&[x, y], n)? {
        let ((bound_x, x_at), (bound_y, y_at)) = (cx.read_images(x, n, &images), cx.write_images(y, n, &images));
        let elements = images.len() * c * h * w;
        let params = PatchesParams {
            elements: elements as u32,
            channels: c as u32,
            height: (h / op.rows) as u32,
            width: (w / op.columns) as u32,
            rows: op.rows as u32,
            columns: op.columns as u32,
            x_at,
            y_at,
        };
        cx.dispatch(Kernel::new("patches", entry), params, vec![bound_x, bound_y], one_each(elements))?;
    }
    Ok(())
}
