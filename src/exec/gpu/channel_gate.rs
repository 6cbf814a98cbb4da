//! CBAM's channel gate.

use super::{
    global_pool::lanes_for,
    lower::Lower,
    shader::{Kernel, folded, params},
};
use crate::{Result, graph::Node};

params!(ChannelGateParams for "channel_gate" {
    images: u32, groups: u32, channels: u32, plane: u32, first_image: u32,
    x_at: u32, y_at: u32, pooled_at: u32, largest_at: u32,
});
params!(ChannelGateGradParams for "channel_gate_grad" {
    quads: u32, channels: u32, plane: u32, lanes: u32, first_map: u32,
    dy_at: u32, dpooled_at: u32, largest_at: u32, x_at: u32, dx_at: u32, adds: u32,
});

/// Pixels beside each other that an invocation takes at once.
pub(crate) const RUN: usize = 4;

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, groups: usize) -> Result<()> {
    let (x, a) = (node.inputs[0], node.inputs[1]);
    let (y, pooled, largest) = (node.outputs[0], node.outputs[1], node.outputs[2]);
    let [n, c, h, w] = cx.nchw(x);
    for images in cx.image_chunks(&[x, y, pooled], n)? {
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let (bound_y, y_at) = cx.write_images(y, n, &images);
        let (bound_pooled, pooled_at) = cx.write_images(pooled, n, &images);
        let (bound_largest, largest_at) = cx.write_images(largest, n, &images);
        let params = ChannelGateParams {
            images: images.len() as u32,
            groups: groups as u32,
            channels: (c / groups) as u32,
            plane: (h * w) as u32,
            first_image: images.start as u32,
            x_at,
            y_at,
            pooled_at,
            largest_at,
        };
        let operands = vec![bound_x, cx.read(a), bound_y, bound_pooled, bound_largest];
        let runs = images.len() * groups * (h * w).div_ceil(RUN);
        let kernel = Kernel::new("channel_gate", "main").with("ALIGNED", (h * w).is_multiple_of(RUN));
        cx.dispatch(kernel, params, operands, folded(runs.div_ceil(32)))?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, groups: usize) -> Result<()> {
    let [dy, dpooled, largest, x, a, ref so_far @ ..] = node.inputs[..] else {
        unreachable!("invariant: five or six inputs")
    };
    let (dx, da) = (node.outputs[0], node.outputs[1]);
    let [n, c, h, w] = cx.nchw(x);
    // Of runs two are enough for an invocation.
    let lanes = lanes_for(2 * (h * w).div_ceil(RUN));
    for images in cx.image_chunks(&[dy, dpooled, x, dx], n)? {
        let (bound_dy, dy_at) = cx.read_images(dy, n, &images);
        let (bound_dpooled, dpooled_at) = cx.read_images(dpooled, n, &images);
        let (bound_largest, largest_at) = cx.read_images(largest, n, &images);
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let (bound_dx, dx_at) = cx.write_images(dx, n, &images);
        let quads = images.len() * groups * (c / groups).div_ceil(4);
        let params = ChannelGateGradParams {
            quads: quads as u32,
            channels: (c / groups) as u32,
            plane: (h * w) as u32,
            lanes: lanes as u32,
            first_map: (images.start * c) as u32,
            dy_at,
            dpooled_at,
            largest_at,
            x_at,
            dx_at,
            adds: (!so_far.is_empty()).into(),
        };
        let so_far = cx.read(*so_far.first().unwrap_or(&a));
        let operands =
            vec![bound_dy, bound_dpooled, bound_largest, bound_x, cx.read(a), so_far, bound_dx, cx.write(da)];
        let workgroups = folded(quads.div_ceil(256 / lanes));
        let kernel = Kernel::new("channel_gate_grad", "main").with("ALIGNED", (h * w).is_multiple_of(RUN));
        cx.dispatch(kernel, params, operands, workgroups)?;
    }
    Ok(())
}
