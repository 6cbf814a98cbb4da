//! Pooling over windows.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{Pool2d, PoolKind},
};

params!(Pool2dParams for "pool2d" {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    size: u32, stride: u32, padding: u32, average: u32, x_at: u32, y_at: u32,
});
params!(Pool2dGradParams for "pool2d_grad" {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    size: u32, stride: u32, padding: u32, average: u32, dy_at: u32, x_at: u32, dx_at: u32,
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: Pool2d) -> Result<()> {
    let (x, y) = (node.inputs[0], node.outputs[0]);
    let ([n, c, height, width], [_, _, out_height, out_width]) = (cx.nchw(x), cx.nchw(y));
    for images in cx.image_chunks(&[x, y], n)? {
        let ((bound_x, x_at), (bound_y, y_at)) = (cx.read_images(x, n, &images), cx.write_images(y, n, &images));
        let elements = images.len() * c * out_height * out_width;
        let params = Pool2dParams {
            elements: elements as u32,
            height: height as u32,
            width: width as u32,
            out_height: out_height as u32,
            out_width: out_width as u32,
            size: op.size as u32,
            stride: op.stride as u32,
            padding: op.padding as u32,
            average: (op.kind == PoolKind::Avg).into(),
            x_at,
            y_at,
        };
        cx.dispatch(Kernel::new("pool2d", "main"), params, vec![bound_x, bound_y], one_each(elements))?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, op: Pool2d) -> Result<()> {
    let (dy, x, dx) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let ([n, c, height, width], [_, _, out_height, out_width]) = (cx.nchw(x), cx.nchw(dy));
    for images in cx.image_chunks(&[dy, x, dx], n)? {
        let (bound_dy, dy_at) = cx.read_images(dy, n, &images);
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let (bound_dx, dx_at) = cx.write_images(dx, n, &images);
        let elements = images.len() * c * height * width;
        let params = Pool2dGradParams {
            elements: elements as u32,
            height: height as u32,
            width: width as u32,
            out_height: out_height as u32,
            out_width: out_width as u32,
            size: op.size as u32,
            stride: op.stride as u32,
            padding: op.padding as u32,
            average: (op.kind == PoolKind::Avg).into(),
            dy_at,
            x_at,
            dx_at,
        };
        let operands = vec![bound_dy, bound_x, bound_dx];
        cx.dispatch(Kernel::new("pool2d_grad", "main"), params, operands, one_each(elements))?;
    }
    Ok(())
}
