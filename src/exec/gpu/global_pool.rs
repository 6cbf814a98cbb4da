//! Average and maximum over a map.

use super::{
    lower::Lower,
    shader::{Kernel, folded, one_each, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{GlobalPoolGrad, Pooling},
};

params!(GlobalPoolParams for "global_pool" {
    maps: u32, plane: u32, lanes: u32, all_maps: u32, first: u32, average: u32, maximum: u32, x_at: u32,
});
params!(GlobalPoolGradParams for "global_pool_grad" {
    elements: u32, plane: u32, all_maps: u32, first: u32, average: u32, maximum: u32, adds: u32,
    so_far_at: u32, dx_at: u32,
});

/// How many invocations share a row of `elements`: few enough that each has several, a power of two.
pub(crate) fn lanes_for(elements: usize) -> usize {
    elements.div_ceil(4).next_power_of_two().clamp(8, 256)
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, pooling: Pooling) -> Result<()> {
    let x = node.inputs[0];
    let [n, c, h, w] = cx.nchw(x);
    let lanes = lanes_for(h * w);
    for images in cx.image_chunks(&[x], n)? {
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let maps = images.len() * c;
        let params = GlobalPoolParams {
            maps: maps as u32,
            plane: (h * w) as u32,
            lanes: lanes as u32,
            all_maps: (n * c) as u32,
            first: (images.start * c) as u32,
            average: (pooling != Pooling::Max).into(),
            maximum: (pooling != Pooling::Avg).into(),
            x_at,
        };
        let operands = vec![bound_x, cx.write(node.outputs[0]), cx.write(node.outputs[1])];
        cx.dispatch(Kernel::new("global_pool", "main"), params, operands, folded(maps.div_ceil(256 / lanes)))?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, op: GlobalPoolGrad) -> Result<()> {
    let (dy, positions, dx) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let [n, c, h, w] = op.shape;
    for images in cx.image_chunks(&[dx], n)? {
        let (bound_dx, dx_at) = cx.write_images(dx, n, &images);
        let so_far = node.inputs.get(2).map(|&id| cx.read_images(id, n, &images));
        let adds = so_far.is_some();
        let (bound_so_far, so_far_at) = so_far.unwrap_or_else(|| (cx.read(dy), 0));
        let elements = images.len() * c * h * w;
        let params = GlobalPoolGradParams {
            elements: elements as u32,
            plane: (h * w) as u32,
            all_maps: (n * c) as u32,
            first: (images.start * c) as u32,
            average: (op.pooling != Pooling::Max).into(),
            maximum: (op.pooling != Pooling::Avg).into(),
            adds: adds.into(),
            so_far_at,
            dx_at,
        };
        let operands = vec![cx.read(dy), cx.read(positions), bound_so_far, bound_dx];
        cx.dispatch(Kernel::new("global_pool_grad", "main"), params, operands, one_each(elements))?;
    }
    Ok(())
}
