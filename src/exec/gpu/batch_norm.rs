//! Batch normalisation with what follows it: one dispatch for channels of few elements, else statistics and
//! application.

use std::ops::Range;

use super::{
    activation::code,
    global_pool::lanes_for,
    lower::{Lower, Operand},
    partial_sums,
    shader::{Kernel, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{BatchNorm, BatchNormEval, BatchNormGrad, Function},
};

params!(BatchNormParams for "batch_norm" {
    images: u32, channels: u32, plane: u32, width: u32, items: u32, across: u32,
    walk_images: u32, walk_pixels: u32, walk_item_images: u32, walk_items: u32, run: u32, lanes: u32,
    share: u32, first_split: u32, all_splits: u32, leads: u32, first_image: u32, all_images: u32,
    x_at: u32, y_at: u32, weight_at: u32, bias_at: u32, mean_at: u32, variance_at: u32, eps: f32, momentum: f32,
});
params!(BatchNormGradParams for "batch_norm_grad" {
    images: u32, channels: u32, plane: u32, height: u32, width: u32,
    items: u32, across: u32, outputs: u32, out_across: u32,
    walk_images: u32, walk_items: u32, run: u32, lanes: u32, share: u32, first_split: u32, all_splits: u32,
    first_image: u32, all_images: u32, dy_at: u32, x_at: u32, dx_at: u32, weight_at: u32, bias_at: u32, count: f32,
});

/// Invocations of a workgroup.
const WORKGROUP: usize = 256;
/// Elements of a channel up to which one workgroup does all of it.
const WHOLE: usize = 16_384;
/// Elements of such a channel that an invocation has at most, before more than one share a workgroup.
const OWN: usize = 16;
/// Elements of a channel that a workgroup takes otherwise.
const SPLIT: usize = 4096;
/// The most splits of a channel in a dispatch.
const MOST_SPLITS: usize = 64;

/// How some images of a channel are shared out among workgroups.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    splits: usize,
    /// Items, or with descriptors images, of a workgroup.
    share: usize,
    /// Invocations that share a channel.
    run: usize,
    /// Invocations that share a plane.
    lanes: usize,
}

impl Cut {
    /// Items of `per_item` elements, at most `most` splits.
    fn new(items: usize, per_item: usize, most: usize) -> Self {
        let splits = (items * per_item).div_ceil(SPLIT).clamp(1, most);
        let share = items.div_ceil(splits);
        Self { splits: items.div_ceil(share), share, run: WORKGROUP, lanes: WORKGROUP }
    }

    /// Whole images of `plane` elements, for each of which up to `lanes` invocations have work; all planes of a workgroup
    /// at once where that leaves 8 invocations for each.
    fn images(images: usize, plane: usize, lanes: usize, most: usize) -> Self {
        let share = (SPLIT / plane).max(images.div_ceil(most)).clamp(1, images);
        let lanes = (WORKGROUP / share.next_power_of_two().min(32)).min(lanes);
        let share = share.next_multiple_of(WORKGROUP / lanes).min(images);
        Self { splits: images.div_ceil(share), share, run: WORKGROUP, lanes }
    }
}

/// What a forward op does to its map, and how its shader walks there.
#[derive(Clone, Copy)]
struct Layout {
    dims: [usize; 4],
    activation: Option<Function>,
    pool: bool,
    descriptors: bool,
}

impl Layout {
    /// H, W of y.
    fn output(&self) -> [usize; 2] {
        let [.., h, w] = self.dims;
        if self.pool { [h / 2, w / 2] } else { [h, w] }
    }

    fn items(&self) -> usize {
        self.output().iter().product()
    }

    fn plane(&self) -> usize {
        self.dims[2] * self.dims[3]
    }

    /// How many of x's elements the shaders take as one.
    fn unit(&self) -> usize {
        if self.plane().is_multiple_of(4) { 4 } else { 1 }
    }

    /// The same of y's.
    fn item_unit(&self) -> usize {
        if self.pool { 1 } else { self.unit() }
    }

    /// How some images are shared out where each has `items`, and at most `most` workgroups have a channel.
    fn cut(&self, images: usize, items: usize, most: usize) -> Cut {
        let per_item = if self.pool { 4 } else { self.item_unit() };
        if self.descriptors {
            // Of vectors two are enough for an invocation.
            let lanes = lanes_for(if self.item_unit() > 1 { 2 * items } else { items });
            return Cut::images(images, self.plane(), lanes, most);
        }
        Cut::new(images * items, per_item, most)
    }

    /// How all of a channel is done at once, several channels by a workgroup where each has few elements.
    fn whole(&self, items: usize) -> Cut {
        let [n, c, ..] = self.dims;
        let mut run = (n * self.plane()).div_ceil(OWN).next_power_of_two().clamp(8, WORKGROUP);
        while !c.is_multiple_of(WORKGROUP / run) {
            run *= 2;
        }
        let cut = self.cut(n, items, 1);
        Cut { run, lanes: cut.lanes.min(run), ..cut }
    }

    fn params(&self) -> BatchNormParams {
        let [n, c, _, w] = self.dims;
        let (plane, items) = (self.plane(), self.items());
        BatchNormParams {
            images: n as u32,
            channels: c as u32,
            plane: plane as u32,
            width: w as u32,
            items: items as u32,
            across: self.output()[1] as u32,
            all_splits: 1,
            leads: 1,
            all_images: n as u32,
            ..Default::default()
        }
    }

    /// The parameters with how images are shared out, and how far one invocation goes at a time.
    fn with_cut(&self, cut: &Cut, params: BatchNormParams) -> BatchNormParams {
        let (units, items) = (self.plane() / self.unit(), self.items() / self.item_unit());
        BatchNormParams {
            walk_images: (cut.run / units) as u32,
            walk_pixels: (cut.run % units) as u32,
            walk_item_images: (cut.run / items) as u32,
            walk_items: (cut.run % items) as u32,
            run: cut.run as u32,
            lanes: cut.lanes as u32,
            share: cut.share as u32,
            ..params
        }
    }

    fn kernel(&self, shader: &'static str, entry: &'static str) -> Kernel {
        Kernel::new(shader, entry)
            .with("ACTIVATION", code(self.activation))
            .with("POOL", self.pool)
            .with("DESCRIPTORS", self.descriptors)
            .with("ALIGNED", self.unit() > 1)
    }
}

/// Bindings of descriptors and positions, where an op has them.
fn described(cx: &mut Lower<'_>, outputs: &[crate::ops::TensorId]) -> Result<[Operand; 2]> {
    Ok(match *outputs {
        [descriptors, positions] => [cx.write(descriptors), cx.write(positions)],
        [descriptors] => {
            let [positions] = cx.unused()?;
            [cx.write(descriptors), positions]
        }
        _ => cx.unused()?,
    })
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: BatchNorm) -> Result<()> {
    let (x, y, moments) = (node.inputs[0], node.outputs[0], node.outputs[1]);
    let layout = Layout { dims: cx.nchw(x), activation: op.activation, pool: op.pool, descriptors: op.descriptors };
    let [n, c, ..] = layout.dims;
    let (states, state_at) = cx.update_together(&node.updates[..2])?;
    let (affine, affine_at) = cx.read_together(&node.inputs[1..3])?;
    let [descriptors, positions] = described(cx, &node.outputs[2..])?;
    let chunks = cx.image_chunks(&[x], n)?;
    let common = BatchNormParams {
        weight_at: affine_at[0],
        bias_at: affine_at[1],
        mean_at: state_at[0],
        variance_at: state_at[1],
        eps: op.eps as f32,
        momentum: op.momentum as f32,
        ..layout.params()
    };
    if chunks.len() == 1 && n * layout.plane() <= WHOLE {
        let cut = layout.whole(layout.items() / layout.item_unit());
        let params = layout.with_cut(&cut, common);
        let operands = vec![cx.read(x), affine, cx.write(y), descriptors, positions, cx.write(moments), states];
        let workgroups = c / (WORKGROUP / cut.run);
        return cx.dispatch(layout.kernel("batch_norm", "whole"), params, operands, [1, workgroups as u32, 1]);
    }
    let unit = layout.unit();
    let cuts = chunks.iter().map(|images| Cut::new(images.len() * layout.plane() / unit, unit, MOST_SPLITS));
    let cuts: Vec<_> = cuts.collect();
    let all_splits: usize = cuts.iter().map(|cut| cut.splits).sum();
    let partials = cx.partial(3 * c * all_splits)?;
    let mut first_split = 0;
    for (images, cut) in chunks.iter().zip(&cuts) {
        let (bound_x, x_at) = cx.read_images(x, n, images);
        let params = BatchNormParams {
            images: images.len() as u32,
            first_split,
            all_splits: all_splits as u32,
            x_at,
            ..layout.with_cut(cut, common)
        };
        let operands = vec![bound_x, partial_sums::write(partials.clone())];
        let kernel = Kernel::new("batch_norm", "statistics").with("ALIGNED", unit > 1);
        cx.dispatch(kernel, params, operands, [cut.splits as u32, c as u32, 1])?;
        first_split += cut.splits as u32;
    }
    for (i, images) in chunks.iter().enumerate() {
        let (bound_x, x_at) = cx.read_images(x, n, images);
        let (bound_y, y_at) = cx.write_images(y, n, images);
        let cut = layout.cut(images.len(), layout.items() / layout.item_unit(), usize::MAX);
        let params = BatchNormParams {
            images: images.len() as u32,
            all_splits: all_splits as u32,
            leads: (i == 0).into(),
            first_image: images.start as u32,
            x_at,
            y_at,
            ..layout.with_cut(&cut, common)
        };
        let operands = vec![
            bound_x,
            affine.clone(),
            bound_y,
            descriptors.clone(),
            positions.clone(),
            cx.write(moments),
            states.clone(),
            partial_sums::read(partials.clone()),
        ];
        cx.dispatch(layout.kernel("batch_norm", "apply"), params, operands, [cut.splits as u32, c as u32, 1])?;
    }
    Ok(())
}

pub(crate) fn evaluate(cx: &mut Lower<'_>, node: &Node, op: BatchNormEval) -> Result<()> {
    let (x, y) = (node.inputs[0], node.outputs[0]);
    let layout = Layout { dims: cx.nchw(x), activation: op.activation, pool: op.pool, descriptors: op.descriptors };
    let [n, c, ..] = layout.dims;
    let (affine, affine_at) = cx.read_together(&node.inputs[1..3])?;
    let [descriptors, positions] = described(cx, &node.outputs[1..])?;
    for images in cx.image_chunks(&[x], n)? {
        let (bound_x, x_at) = cx.read_images(x, n, &images);
        let (bound_y, y_at) = cx.write_images(y, n, &images);
        // Of channels of few elements a workgroup has several.
        let cut = if images.len() == n && n * layout.plane() <= SPLIT {
            layout.whole(layout.items() / layout.item_unit())
        } else {
            layout.cut(images.len(), layout.items() / layout.item_unit(), usize::MAX)
        };
        let params = BatchNormParams {
            images: images.len() as u32,
            first_image: images.start as u32,
            x_at,
            y_at,
            weight_at: affine_at[0],
            bias_at: affine_at[1],
            eps: op.eps as f32,
            ..layout.with_cut(&cut, layout.params())
        };
        let mut operands = vec![bound_x, affine.clone(), bound_y, descriptors.clone(), positions.clone()];
        operands.extend([cx.read(node.inputs[3]), cx.read(node.inputs[4])]);
        let workgroups = [cut.splits as u32, (c / (WORKGROUP / cut.run)) as u32, 1];
        cx.dispatch(layout.kernel("batch_norm", "evaluate"), params, operands, workgroups)?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, op: BatchNormGrad) -> Result<()> {
    let (dy, x, dx) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let layout = Layout { dims: cx.nchw(x), activation: op.activation, pool: op.pool, descriptors: op.descriptors };
    let [n, c, h, w] = layout.dims;
    // Blocks of 2×2 elements, the last of which an odd side cuts off; else vectors or single elements.
    let (across, items) =
        if op.pool { (w.div_ceil(2), h.div_ceil(2) * w.div_ceil(2)) } else { (w, h * w / layout.item_unit()) };
    let chunks = cx.image_chunks(&[x], n)?;
    let whole = chunks.len() == 1 && n * h * w <= WHOLE;
    let cuts: Vec<_> = if whole {
        vec![layout.whole(items)]
    } else {
        chunks.iter().map(|images| layout.cut(images.len(), items, MOST_SPLITS)).collect()
    };
    let all_splits: usize = cuts.iter().map(|cut| cut.splits).sum();
    let (affine, affine_at) = cx.read_together(&node.inputs[2..4])?;
    let partials = cx.partial(2 * c * all_splits)?;
    let common = BatchNormGradParams {
        images: n as u32,
        channels: c as u32,
        plane: (h * w) as u32,
        height: h as u32,
        width: w as u32,
        items: items as u32,
        across: across as u32,
        outputs: layout.items() as u32,
        out_across: layout.output()[1] as u32,
        all_splits: all_splits as u32,
        all_images: n as u32,
        weight_at: affine_at[0],
        bias_at: affine_at[1],
        count: (n * h * w) as f32,
        ..Default::default()
    };
    let mut vectors = vec![affine.clone(), cx.read(node.inputs[4])];
    vectors.extend(match node.inputs[5..] {
        [descriptors, positions] => [cx.read(descriptors), cx.read(positions)],
        _ => [affine.clone(), affine],
    });
    let some_images = |cx: &Lower<'_>, images: &Range<usize>, cut: &Cut| {
        let ((bound_dy, dy_at), (bound_x, x_at)) = (cx.read_images(dy, n, images), cx.read_images(x, n, images));
        let params = BatchNormGradParams {
            images: images.len() as u32,
            walk_images: (cut.run / items) as u32,
            walk_items: (cut.run % items) as u32,
            run: cut.run as u32,
            lanes: cut.lanes as u32,
            share: cut.share as u32,
            first_image: images.start as u32,
            dy_at,
            x_at,
            ..common
        };
        let mut operands = vec![bound_dy, bound_x];
        operands.extend(vectors.iter().cloned());
        (params, operands)
    };
    if whole {
        let (params, mut operands) = some_images(cx, &(0..n), &cuts[0]);
        operands.extend([partial_sums::write(partials.clone()), cx.write(dx)]);
        let workgroups = c / (WORKGROUP / cuts[0].run);
        cx.dispatch(layout.kernel("batch_norm_grad", "whole"), params, operands, [1, workgroups as u32, 1])?;
    } else {
        let mut first_split = 0;
        for (images, cut) in chunks.iter().zip(&cuts) {
            let (params, mut operands) = some_images(cx, images, cut);
            operands.push(partial_sums::write(partials.clone()));
            let params = BatchNormGradParams { first_split, ..params };
            cx.dispatch(
                layout.kernel("batch_norm_grad", "reduce"),
                params,
                operands,
                [cut.splits as u32, c as u32, 1],
            )?;
            first_split += cut.splits as u32;
        }
        for images in &chunks {
            let cut = layout.cut(images.len(), items, usize::MAX);
            let (params, mut operands) = some_images(cx, images, &cut);
            let (bound_dx, dx_at) = cx.write_images(dx, n, images);
            operands.extend([partial_sums::read(partials.clone()), bound_dx]);
            let params = BatchNormGradParams { dx_at, ..params };
            cx.dispatch(layout.kernel("batch_norm_grad", "apply"), params, operands, [cut.splits as u32, c as u32, 1])?;
        }
    }
    for (i, &gradient) in node.outputs[1..].iter().enumerate() {
        if cx.is_used(gradient) {
            cx.sum_later(gradient, partials.start + i * c, all_splits, 2 * c);
        }
    }
    Ok(())
}
