//! Convolution and its gradients: tiled implicit matrix products, or one element an invocation for few channels.

use super::{
    lower::Lower,
    memory::ALIGNMENT,
    partial_sums,
    shader::{Kernel, folded, one_each, params},
    tile::Tiling,
    tile_search::shape_of,
};
use crate::{
    Result,
    graph::{Graph, Node},
    ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Op, TensorId, shape_error},
};

params!(Conv2dParams for "conv2d", "conv2d_coop", "conv2d_f16" {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, padding: u32, has_bias: u32, row_tiles: u32,
    weight_row: u32, weight_channel: u32, x_at: u32, y_at: u32,
});
params!(Conv2dGradWeightParams for "conv2d_grad_weight", "conv2d_grad_weight_coop", "conv2d_grad_weight_f16" {
    images: u32, groups: u32, inputs: u32, outputs: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, padding: u32, has_bias: u32, column_tiles: u32,
    split_length: u32, first_split: u32, dw_stride: u32, db_stride: u32, dy_at: u32, x_at: u32,
});

/// Rows and columns of a filter whose places inside the map a shader keeps as bits.
const MOST_TAPS: usize = 32;
/// Rows of a group up to which a tile would be mostly empty.
const FEW_ROWS: usize = 8;
/// Workgroups that keep a GPU busy: weight gradients are split until there are as many.
const ENOUGH: usize = 512;
/// The least pixels of a split, and the most splits.
const LEAST_PIXELS: usize = 256;
const MOST_SPLITS: usize = 128;

/// The sizes of a convolution.
struct Sizes {
    n: usize,
    /// Input and output channels of a group.
    inputs: usize,
    outputs: usize,
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
}

impl Sizes {
    fn new(conv: Conv2d, x: [usize; 4], y: [usize; 4], kernel: [usize; 2]) -> Self {
        Self {
            n: x[0],
            inputs: x[1] / conv.groups,
            outputs: y[1] / conv.groups,
            input: [x[2], x[3]],
            output: [y[2], y[3]],
            kernel,
        }
    }

    fn pixels_out(&self) -> usize {
        self.output[0] * self.output[1]
    }
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, conv: Conv2d) -> Result<()> {
    let (x, weight, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    convolve(cx, conv, false, [x, weight, y], node.inputs.get(2).copied(), &shape_of(cx.graph, node))
}

pub(crate) fn grad_input(cx: &mut Lower<'_>, node: &Node, op: Conv2dGradInput) -> Result<()> {
    let tensors = [node.inputs[0], node.inputs[1], node.outputs[0]];
    convolve(cx, op.conv, true, tensors, None, &shape_of(cx.graph, node))
}

/// Whether a node is a convolution, or a gradient of one, that is computed by tiles.
pub(crate) fn is_tiled(graph: &Graph, node: &Node) -> bool {
    let (rows, conv) = match &node.op {
        Op::Conv2d(conv) => (node.outputs[0], *conv),
        Op::Conv2dGradInput(op) => (node.outputs[0], op.conv),
        Op::Conv2dGradWeight(op) => (node.inputs[0], op.conv),
        _ => return false,
    };
    graph.tensor(rows).shape.nchw().is_some_and(|[_, channels, ..]| channels / conv.groups > FEW_ROWS)
}

/// The convolution, or the transposed one, from x and the weight to y.
fn convolve(
    cx: &mut Lower<'_>,
    conv: Conv2d,
    transposed: bool,
    [x, weight, y]: [TensorId; 3],
    bias: Option<TensorId>,
    shape: &str,
) -> Result<()> {
    let [_, _, kh, kw] = cx.nchw(weight);
    if kh.max(kw) > MOST_TAPS {
        let found = format!("{kh}×{kw}");
        let hint = "use a smaller filter, or --device cpu";
        return Err(shape_error(
            "Conv2d",
            format!("a filter of at most {MOST_TAPS}×{MOST_TAPS} on a GPU"),
            found,
            hint,
        ));
    }
    let s = Sizes::new(conv, cx.nchw(x), cx.nchw(y), [kh, kw]);
    let filter = kh * kw;
    for images in cx.image_chunks(&[x, y], s.n)? {
        let (bound_x, x_at) = cx.read_images(x, s.n, &images);
        let (bound_y, y_at) = cx.write_images(y, s.n, &images);
        let pixels = images.len() * s.pixels_out();
        let tiles = Tiling::new(cx.gpu.tiles_of(shape), s.outputs, pixels);
        let params = Conv2dParams {
            images: images.len() as u32,
            groups: conv.groups as u32,
            inputs: s.inputs as u32,
            outputs: s.outputs as u32,
            height: s.input[0] as u32,
            width: s.input[1] as u32,
            out_height: s.output[0] as u32,
            out_width: s.output[1] as u32,
            kernel_h: kh as u32,
            kernel_w: kw as u32,
            padding: conv.padding as u32,
            has_bias: bias.is_some().into(),
            row_tiles: tiles.rows as u32,
            weight_row: if transposed { filter } else { s.inputs * filter } as u32,
            weight_channel: if transposed { s.outputs * filter } else { filter } as u32,
            x_at,
            y_at,
        };
        let operands = vec![bound_x, cx.read(weight), cx.read(bias.unwrap_or(weight)), bound_y];
        let (kernel, grid) = if s.outputs <= FEW_ROWS {
            (Kernel::new("conv2d", "direct"), one_each(pixels * conv.groups * s.outputs))
        } else {
            let [x, y, _] = folded(tiles.columns);
            (cx.gpu.variant.convolution(tiles.tile, transposed), [x, y, (conv.groups * tiles.rows) as u32])
        };
        let kernel = kernel
            .with("TRANSPOSED", transposed)
            .with("STRIDE", conv.stride as u32)
            .with("PADDED", transposed || conv.padding > 0);
        cx.dispatch(kernel, params, operands, grid)?;
    }
    Ok(())
}

pub(crate) fn grad_weight(cx: &mut Lower<'_>, node: &Node, op: Conv2dGradWeight) -> Result<()> {
    let (dy, x, dw) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let conv = op.conv;
    let s = Sizes::new(conv, cx.nchw(x), cx.nchw(dy), op.kernel);
    let columns = s.inputs * s.kernel[0] * s.kernel[1];
    let direct = s.outputs <= FEW_ROWS;
    let tiles = Tiling::new(cx.gpu.tiles_of(&shape_of(cx.graph, node)), s.outputs, columns);
    let across = |tiles: Tiling| {
        if direct { (s.outputs * (columns + 1)).div_ceil(64) } else { tiles.rows * tiles.columns }
    };
    // Splits depend on the device only, so that another tile gives the same bits.
    let usual = across(Tiling::new(&cx.gpu.tiles[..1], s.outputs, columns));
    let chunks = cx.image_chunks(&[dy, x], s.n)?;
    let most = (partial_sums::MOST_OF_AN_OP / cx.elements(dw)).clamp(1, MOST_SPLITS);
    let wanted = ENOUGH.div_ceil(usual * conv.groups).min(most);
    let lengths: Vec<_> = chunks
        .iter()
        .map(|images| {
            let pixels = images.len() * s.pixels_out();
            // Whole steps of every tile.
            pixels.div_ceil(wanted).next_multiple_of(32).max(LEAST_PIXELS).min(pixels)
        })
        .collect();
    let splits: Vec<_> =
        chunks.iter().zip(&lengths).map(|(images, &length)| (images.len() * s.pixels_out()).div_ceil(length)).collect();
    let all_splits: usize = splits.iter().sum();
    let (weights, biases) = (cx.elements(dw), if op.bias { s.outputs * conv.groups } else { 0 });
    let db = node.outputs.get(1).copied();
    // With one split results go straight to their place; where there is no bias, its binding shows scratch memory.
    let dw_stride = weights.next_multiple_of(ALIGNMENT);
    let whole = all_splits == 1;
    let sums = cx.partial(if whole { 1 } else { all_splits * (dw_stride + biases.max(1)) })?;
    let middle = sums.start + if whole { 0 } else { all_splits * dw_stride };
    let bound_dw = if whole { cx.write(dw) } else { partial_sums::write(sums.start..middle) };
    let bound_db = match db {
        Some(db) if whole => cx.write(db),
        _ => partial_sums::write(middle..sums.end),
    };
    let mut first_split = 0;
    for ((images, &length), &splits) in chunks.iter().zip(&lengths).zip(&splits) {
        let (bound_dy, dy_at) = cx.read_images(dy, s.n, images);
        let (bound_x, x_at) = cx.read_images(x, s.n, images);
        let params = Conv2dGradWeightParams {
            images: images.len() as u32,
            groups: conv.groups as u32,
            inputs: s.inputs as u32,
            outputs: s.outputs as u32,
            height: s.input[0] as u32,
            width: s.input[1] as u32,
            out_height: s.output[0] as u32,
            out_width: s.output[1] as u32,
            kernel_h: s.kernel[0] as u32,
            kernel_w: s.kernel[1] as u32,
            padding: conv.padding as u32,
            has_bias: op.bias.into(),
            column_tiles: tiles.columns as u32,
            split_length: length as u32,
            first_split: first_split as u32,
            dw_stride: dw_stride as u32,
            db_stride: biases as u32,
            dy_at,
            x_at,
        };
        let operands = vec![bound_dy, bound_x, bound_dw.clone(), bound_db.clone()];
        let kernel = if direct {
            Kernel::new("conv2d_grad_weight", "direct")
        } else {
            cx.gpu.variant.weight_gradient(tiles.tile)
        };
        let kernel = kernel.with("STRIDE", conv.stride as u32).with("PADDED", conv.padding > 0);
        cx.dispatch(kernel, params, operands, [across(tiles) as u32, splits as u32, conv.groups as u32])?;
        first_split += splits;
    }
    if !whole {
        if cx.is_used(dw) {
            cx.sum_later(dw, sums.start, all_splits, dw_stride);
        }
        if let Some(db) = db.filter(|&db| cx.is_used(db)) {
            cx.sum_later(db, middle, all_splits, biases);
        }
    }
    Ok(())
}
