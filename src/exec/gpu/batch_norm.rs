//! Batch normalisation: one dispatch for channels of few elements, else statistics and application.

use super::{
    activation::code,
    lower::{Lower, Operand, Source},
    partial_sums,
    shader::{Kernel, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{BatchNorm, BatchNormEval, BatchNormGrad},
};

params!(BatchNormParams for "batch_norm" {
    images: u32, channels: u32, plane: u32, walk_images: u32, walk_pixels: u32,
    split_length: u32, first_split: u32, all_splits: u32, leads: u32,
    x_at: u32, y_at: u32, mean_at: u32, variance_at: u32, eps: f32, momentum: f32,
});
params!(BatchNormGradParams for "batch_norm_grad" {
    images: u32, channels: u32, plane: u32, walk_images: u32, walk_pixels: u32,
    split_length: u32, first_split: u32, all_splits: u32,
    dy_at: u32, x_at: u32, dx_at: u32, count: f32,
});

/// Elements of a channel up to which one workgroup does all of it.
const WHOLE: usize = 16_384;
/// Elements of a channel that a workgroup takes otherwise.
const SPLIT: usize = 4096;
/// The most splits of a channel in a dispatch.
const MOST_SPLITS: usize = 64;

/// How the elements of a channel are cut for a number of images.
struct Cut {
    splits: usize,
    length: usize,
}

impl Cut {
    fn new(elements: usize, most: usize) -> Self {
        let splits = elements.div_ceil(SPLIT).clamp(1, most);
        let length = elements.div_ceil(splits);
        Self { splits: elements.div_ceil(length), length }
    }
}

fn base_params(images: usize, [_, c, h, w]: [usize; 4]) -> BatchNormParams {
    let plane = h * w;
    BatchNormParams {
        images: images as u32,
        channels: c as u32,
        plane: plane as u32,
        walk_images: (256 / plane) as u32,
        walk_pixels: (256 % plane) as u32,
        split_length: (images * plane) as u32,
        first_split: 0,
        all_splits: 1,
        leads: 1,
        x_at: 0,
        y_at: 0,
        mean_at: 0,
        variance_at: 0,
        eps: 0.0,
        momentum: 0.0,
    }
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: BatchNorm) -> Result<()> {
    let (x, weight, bias) = (node.inputs[0], node.inputs[1], node.inputs[2]);
    let (y, mean, rstd) = (node.outputs[0], node.outputs[1], node.outputs[2]);
    let dims @ [n, c, h, w] = cx.nchw(x);
    let (states, at) = cx.update_together(&node.updates[..2])?;
    let activation = code(op.activation);
    let chunks = cx.image_chunks(&[x], n)?;
    let common = BatchNormParams {
        mean_at: at[0],
        variance_at: at[1],
        eps: op.eps as f32,
        momentum: op.momentum as f32,
        ..base_params(n, dims)
    };
    if chunks.len() == 1 && n * h * w <= WHOLE {
        let kernel = Kernel::new("batch_norm", "whole").with("ACTIVATION", activation);
        let operands =
            vec![cx.read(x), cx.read(weight), cx.read(bias), cx.write(y), cx.write(mean), cx.write(rstd), states];
        return cx.dispatch(kernel, common, operands, [1, c as u32, 1]);
    }
    let cuts: Vec<_> = chunks.iter().map(|images| Cut::new(images.len() * h * w, MOST_SPLITS)).collect();
    let all_splits: usize = cuts.iter().map(|cut| cut.splits).sum();
    let partials = cx.partial(3 * c * all_splits)?;
    let mut first_split = 0;
    for (images, cut) in chunks.iter().zip(&cuts) {
        let (bound_x, x_at) = cx.read_images(x, n, images);
        let params = BatchNormParams {
            images: images.len() as u32,
            split_length: cut.length as u32,
            first_split,
            all_splits: all_splits as u32,
            x_at,
            ..common
        };
        let operands = vec![bound_x, partial_sums::write(partials.clone())];
        cx.dispatch(Kernel::new("batch_norm", "statistics"), params, operands, [cut.splits as u32, c as u32, 1])?;
        first_split += cut.splits as u32;
    }
    for (i, images) in chunks.iter().enumerate() {
        let (bound_x, x_at) = cx.read_images(x, n, images);
        let (bound_y, y_at) = cx.write_images(y, n, images);
        let cut = Cut::new(images.len() * h * w, usize::MAX);
        let params = BatchNormParams {
            images: images.len() as u32,
            split_length: cut.length as u32,
            all_splits: all_splits as u32,
            leads: (i == 0).into(),
            x_at,
            y_at,
            ..common
        };
        let operands = vec![
            bound_x,
            cx.read(weight),
            cx.read(bias),
            bound_y,
            cx.write(mean),
            cx.write(rstd),
            states.clone(),
            partial_sums::read(partials.clone()),
        ];
        let kernel = Kernel::new("batch_norm", "apply").with("ACTIVATION", activation);
        cx.dispatch(kernel, params, operands, [cut.splits as u32, c as u32, 1])?;
    }
    Ok(())
}

pub(crate) fn evaluate(cx: &mut Lower<'_>, node: &Node, op: BatchNormEval) -> Result<()> {
    let (x, y) = (node.inputs[0], node.outputs[0]);
    let dims @ [n, c, h, w] = cx.nchw(x);
    for images in cx.image_chunks(&[x], n)? {
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let (bound_y, y_at) = cx.write_images(y, n, &images);
        let cut = Cut::new(images.len() * h * w, usize::MAX);
        let params = BatchNormParams {
            split_length: cut.length as u32,
            x_at,
            y_at,
            eps: op.eps as f32,
            ..base_params(images.len(), dims)
        };
        let mut operands = vec![bound_x, cx.read(node.inputs[1]), cx.read(node.inputs[2]), bound_y];
        operands.extend([cx.read(node.inputs[3]), cx.read(node.inputs[4])]);
        let kernel = Kernel::new("batch_norm", "evaluate").with("ACTIVATION", code(op.activation));
        cx.dispatch(kernel, params, operands, [cut.splits as u32, c as u32, 1])?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, op: BatchNormGrad) -> Result<()> {
    let (dy, x, dx) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let dims @ [n, c, h, w] = cx.nchw(x);
    let activation = code(op.activation);
    let chunks = cx.image_chunks(&[dy, x, dx], n)?;
    let whole = chunks.len() == 1 && n * h * w <= WHOLE;
    let cuts: Vec<_> =
        chunks.iter().map(|images| Cut::new(images.len() * h * w, if whole { 1 } else { MOST_SPLITS })).collect();
    let all_splits: usize = cuts.iter().map(|cut| cut.splits).sum();
    let partials = cx.partial(2 * c * all_splits)?;
    let base = base_params(n, dims);
    let common = BatchNormGradParams {
        images: n as u32,
        channels: base.channels,
        plane: base.plane,
        walk_images: base.walk_images,
        walk_pixels: base.walk_pixels,
        split_length: base.split_length,
        first_split: 0,
        all_splits: all_splits as u32,
        dy_at: 0,
        x_at: 0,
        dx_at: 0,
        count: (n * h * w) as f32,
    };
    let vectors: Vec<_> = node.inputs[2..6].iter().map(|&id| cx.read(id)).collect();
    if whole {
        let mut operands = vec![cx.read(dy), cx.read(x)];
        operands.extend(vectors);
        operands.extend([partial_sums::write(partials.clone()), cx.write(dx)]);
        let kernel = Kernel::new("batch_norm_grad", "whole").with("ACTIVATION", activation);
        cx.dispatch(kernel, common, operands, [1, c as u32, 1])?;
    } else {
        let mut first_split = 0;
        for (images, cut) in chunks.iter().zip(&cuts) {
            let (bound_dy, dy_at) = cx.read_images(dy, n, images);
            let (bound_x, x_at) = cx.read_images(x, n, images);
            let params = BatchNormGradParams {
                images: images.len() as u32,
                split_length: cut.length as u32,
                first_split,
                dy_at,
                x_at,
                ..common
            };
            let mut operands = vec![bound_dy, bound_x];
            operands.extend(vectors.iter().cloned());
            operands.push(partial_sums::write(partials.clone()));
            let kernel = Kernel::new("batch_norm_grad", "reduce").with("ACTIVATION", activation);
            cx.dispatch(kernel, params, operands, [cut.splits as u32, c as u32, 1])?;
            first_split += cut.splits as u32;
        }
        for images in &chunks {
            let (bound_dy, dy_at) = cx.read_images(dy, n, images);
            let (bound_x, x_at) = cx.read_images(x, n, images);
            let (bound_dx, dx_at) = cx.write_images(dx, n, images);
            let cut = Cut::new(images.len() * h * w, usize::MAX);
            let params = BatchNormGradParams {
                images: images.len() as u32,
                split_length: cut.length as u32,
                dy_at,
                x_at,
                dx_at,
                ..common
            };
            let mut operands = vec![bound_dy, bound_x];
            operands.extend(vectors.iter().cloned());
            operands.push(Operand { source: Source::Partials(partials.clone()), writes: false });
            operands.push(bound_dx);
            let kernel = Kernel::new("batch_norm_grad", "apply").with("ACTIVATION", activation);
            cx.dispatch(kernel, params, operands, [cut.splits as u32, c as u32, 1])?;
        }
    }
    for (i, &gradient) in node.outputs[1..].iter().enumerate() {
        if cx.is_used(gradient) {
            cx.sum_later(gradient, partials.start + i * c, all_splits, 2 * c);
        }
    }
    Ok(())
}
