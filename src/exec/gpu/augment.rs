//! Training images out of a pool: one dispatch, an invocation a pixel.

use super::{
    lower::Lower,
    shader::{Kernel, params},
};
use crate::{
    Result,
    graph::Node,
    ops::augment::{Augment, MAX_RANGES},
};

params!(AugmentParams for "augment" {
    first: u32, size: u32, y_at: u32, bgr: u32,
    mean_red: f32, mean_green: f32, mean_blue: f32, std_red: f32, std_green: f32, std_blue: f32,
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: &Augment) -> Result<()> {
    let (records, pool, y) = (node.inputs[0], &node.inputs[1..], node.outputs[0]);
    let n = cx.shape(y).dims()[0];
    let ([mean_red, mean_green, mean_blue], [std_red, std_green, std_blue]) = (op.mean, op.std);
    for range in cx.image_chunks(&[y], n)? {
        let (to, y_at) = cx.write_images(y, n, &range);
        let params = AugmentParams {
            first: range.start as u32,
            size: op.size as u32,
            y_at,
            bgr: op.bgr.into(),
            mean_red,
            mean_green,
            mean_blue,
            std_red,
            std_green,
            std_blue,
        };
        let mut operands = vec![cx.read(records)];
        // A pool of fewer tensors fills the bindings with its first.
        operands.extend((0..MAX_RANGES).map(|i| cx.read(*pool.get(i).unwrap_or(&pool[0]))));
        operands.push(to);
        let kernel = Kernel::new("augment", "main").with("RANGES", pool.len() as u32);
        let groups = [(op.size * op.size).div_ceil(256) as u32, range.len() as u32, 1];
        cx.dispatch(kernel, params, operands, groups)?;
    }
    Ok(())
}
