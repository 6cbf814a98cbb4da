//! CBAM's spatial gate.

use super::{
    lower::Lower,
    shader::{Kernel, folded, one_each, params},
};
use crate::{Result, graph::Node};

params!(SpatialGateParams for "spatial_gate" {
    elements: u32, channels: u32, plane: u32, x_at: u32, a_at: u32, y_at: u32,
});
params!(SpatialGateGradParams for "spatial_gate_grad" {
    sets: u32, channels: u32, plane: u32, dy_at: u32, x_at: u32, a_at: u32, dx_at: u32, da_at: u32,
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, groups: usize) -> Result<()> {
    let (x, a, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let [n, c, h, w] = cx.nchw(x);
    for images in cx.image_chunks(&[x, a, y], n)? {
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let (bound_a, a_at) = cx.read_images(a, n, &images);
        let (bound_y, y_at) = cx.write_images(y, n, &images);
        let elements = images.len() * c * h * w;
        let params = SpatialGateParams {
            elements: elements as u32,
            channels: (c / groups) as u32,
            plane: (h * w) as u32,
            x_at,
            a_at,
            y_at,
        };
        let operands = vec![bound_x, bound_a, bound_y];
        cx.dispatch(Kernel::new("spatial_gate", "main"), params, operands, one_each(elements))?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, groups: usize) -> Result<()> {
    let (dy, x, a) = (node.inputs[0], node.inputs[1], node.inputs[2]);
    let (dx, da) = (node.outputs[0], node.outputs[1]);
    let [n, c, h, w] = cx.nchw(x);
    for images in cx.image_chunks(&[dy, x, a, dx, da], n)? {
        let (bound_dy, dy_at) = cx.read_images(dy, n, &images);
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let (bound_a, a_at) = cx.read_images(a, n, &images);
        let (bound_dx, dx_at) = cx.write_images(dx, n, &images);
        let (bound_da, da_at) = cx.write_images(da, n, &images);
        let sets = images.len() * groups;
        let params = SpatialGateGradParams {
            sets: sets as u32,
            channels: (c / groups) as u32,
            plane: (h * w) as u32,
            dy_at,
            x_at,
            a_at,
            dx_at,
            da_at,
        };
        let operands = vec![bound_dy, bound_x, bound_a, bound_dx, bound_da];
        let workgroups = folded((sets * h * w).div_ceil(32));
        cx.dispatch(Kernel::new("spatial_gate_grad", "main"), params, operands, workgroups)?;
    }
    Ok(())
}
