//! Each op of an evaluation graph as standard ONNX operators.

use std::collections::BTreeSet;

use super::proto::Attribute;
use super::writer::Writer;
use crate::Result;
use crate::graph::Node;
use crate::ops::{
    AxisRepeat, AxisSum, BatchNormEval, ChannelAttention, ChannelGate, Conv2d, Function, Op, Patches, Pool2d, PoolKind,
    Pooling, Slice, SpatialGateEval, TensorId, WeightedSum, shape_error,
};

/// Writes one op; outputs that are not `needed` are left out.
pub(super) fn write(w: &mut Writer<'_>, node: &Node, needed: &BTreeSet<TensorId>) -> Result<()> {
    let is_needed = |output: usize| node.outputs.get(output).is_some_and(|id| needed.contains(id));
    match &node.op {
        Op::Activation(op) => {
            let x = w.value(node.inputs[0])?;
            w.result(function(op.function), vec![x], node.outputs[0], vec![]);
        }
        Op::AxisRepeat(op) => axis_repeat(w, node, *op)?,
        Op::AxisSum(op) => axis_sum(w, node, *op)?,
        Op::BatchNormEval(op) => batch_norm(w, node, op, is_needed(1))?,
        Op::ChannelAttention(op) if !is_needed(1) => channel_attention(w, node, *op)?,
        Op::ChannelGate(op) if !is_needed(2) => channel_gate(w, node, *op, is_needed(1))?,
        Op::Concat(op) => {
            let inputs = node.inputs.iter().map(|id| w.value(*id)).collect::<Result<Vec<_>>>()?;
            w.result("Concat", inputs, node.outputs[0], vec![Attribute::int("axis", op.axis)]);
        }
        Op::Conv2d(op) => conv2d(w, node, *op)?,
        Op::GlobalPool(op) if !is_needed(1) => {
            let x = w.value(node.inputs[0])?;
            describe(w, node, x, op.pooling, node.outputs[0]);
        }
        Op::Multiply(_) => {
            let factors = vec![w.value(node.inputs[0])?, w.value(node.inputs[1])?];
            w.result("Mul", factors, node.outputs[0], vec![]);
        }
        Op::Patches(op) => patches(w, node, *op)?,
        Op::Pool2d(op) => {
            let x = w.value(node.inputs[0])?;
            pool(w, x, *op, node.outputs[0]);
        }
        Op::Slice(op) => slice(w, node, *op)?,
        Op::SpatialGateEval(op) => spatial_gate(w, node, *op)?,
        Op::WeightedSum(op) => weighted_sum(w, node, op)?,
        other => {
            return Err(shape_error(
                "onnx",
                "ops of a network in evaluation mode",
                other.name(),
                "export another graph",
            ));
        }
    }
    Ok(())
}

fn function(function: Function) -> &'static str {
    match function {
        Function::Relu => "Relu",
        Function::Sigmoid => "Sigmoid",
    }
}

fn conv_attributes(kernel: [usize; 2], op: Conv2d) -> Vec<Attribute> {
    vec![
        Attribute::ints("kernel_shape", &kernel),
        Attribute::ints("strides", &[op.stride; 2]),
        Attribute::ints("pads", &[op.padding; 4]),
        Attribute::int("group", op.groups),
    ]
}

/// A linear layer is a convolution of 1×1 maps, here as there.
fn conv2d(w: &mut Writer<'_>, node: &Node, op: Conv2d) -> Result<()> {
    let (x, weight) = (node.inputs[0], node.inputs[1]);
    let mut inputs = vec![w.value(x)?, w.value(weight)?];
    let [.., c, h, width] = w.nchw(x);
    let [o, per_group, kh, kw] = w.nchw(weight);
    if w.rank(x) < 4 {
        inputs[0] = w.reshape(node, inputs[0].clone(), &[-1, c as i64, h as i64, width as i64]);
    }
    if w.rank(weight) < 4 {
        inputs[1] = w.reshape(node, inputs[1].clone(), &[o as i64, per_group as i64, kh as i64, kw as i64]);
    }
    if let Some(bias) = node.inputs.get(2) {
        inputs.push(w.value(*bias)?);
    }
    w.result("Conv", inputs, node.outputs[0], conv_attributes([kh, kw], op));
    Ok(())
}

fn batch_norm(w: &mut Writer<'_>, node: &Node, op: &BatchNormEval, described: bool) -> Result<()> {
    let inputs = node.inputs.iter().map(|id| w.value(*id)).collect::<Result<Vec<_>>>()?;
    let mut steps = vec![("BatchNormalization", vec![Attribute::float("epsilon", op.eps)])];
    steps.extend(op.activation.map(|activation| (function(activation), vec![])));
    if op.pool {
        steps.push(("MaxPool", pool_attributes(Pool2d::MAX2)));
    }
    let y = chain(w, node, inputs, steps, node.outputs[0]);
    if described {
        describe(w, node, y, Pooling::AvgMax, node.outputs[1]);
    }
    Ok(())
}

/// Operators one behind the other; the last one's result is the tensor `id`.
fn chain(
    w: &mut Writer<'_>,
    node: &Node,
    inputs: Vec<String>,
    steps: Vec<(&str, Vec<Attribute>)>,
    id: TensorId,
) -> String {
    let (mut inputs, last) = (inputs, steps.len() - 1);
    for (number, (op, attributes)) in steps.into_iter().enumerate() {
        if number == last {
            w.result(op, inputs, id, attributes);
            break;
        }
        inputs = vec![w.step(node, op, inputs, attributes)];
    }
    w.value(id).expect("invariant: it has just been written")
}

/// The average and the maximum of each plane: `[N, C, H, W]` → `[D, N, C]`.
fn describe(w: &mut Writer<'_>, node: &Node, x: String, pooling: Pooling, id: TensorId) {
    let ops: &[&str] = match pooling {
        Pooling::Avg => &["GlobalAveragePool"],
        Pooling::Max => &["GlobalMaxPool"],
        Pooling::AvgMax => &["GlobalAveragePool", "GlobalMaxPool"],
    };
    let channels = *w.dims(id).last().expect("invariant: descriptors have three dimensions");
    let parts = ops.iter().map(|op| {
        let pooled = w.step(node, op, vec![x.clone()], vec![]);
        w.reshape(node, pooled, &[1, -1, channels])
    });
    let parts = parts.collect();
    w.result("Concat", parts, id, vec![Attribute::int("axis", 0)]);
}

/// The MLP as two convolutions of 1×1 maps; both descriptors go through it as if they were images.
fn channel_attention(w: &mut Writer<'_>, node: &Node, op: ChannelAttention) -> Result<()> {
    let mut inputs = node.inputs.iter().map(|id| w.value(*id)).collect::<Result<Vec<_>>>()?;
    let descriptors = w.dims(node.inputs[0]);
    let (count, channels) = (descriptors[0], descriptors[2]);
    for layer in [1, 3] {
        let [outputs, inputs_of, ..] = w.nchw(node.inputs[layer]);
        inputs[layer] = w.reshape(node, inputs[layer].clone(), &[outputs as i64, inputs_of as i64, 1, 1]);
    }
    let attributes = || conv_attributes([1, 1], Conv2d { groups: op.groups, ..Conv2d::default() });
    let p = w.reshape(node, inputs[0].clone(), &[-1, channels, 1, 1]);
    let hidden = w.step(node, "Conv", vec![p, inputs[1].clone(), inputs[2].clone()], attributes());
    let hidden = w.step(node, "Relu", vec![hidden], vec![]);
    let each = w.step(node, "Conv", vec![hidden, inputs[3].clone(), inputs[4].clone()], attributes());
    let each = w.reshape(node, each, &[count, -1, channels]);
    let axes = w.shape(&[0]);
    let sum = w.step(node, "ReduceSum", vec![each, axes], vec![Attribute::int("keepdims", 0)]);
    w.result("Sigmoid", vec![sum], node.outputs[0], vec![]);
    Ok(())
}

/// The product, and its maximum and mean over each group's channels, which take turns.
fn channel_gate(w: &mut Writer<'_>, node: &Node, op: ChannelGate, pooled: bool) -> Result<()> {
    let (x, attention) = (w.value(node.inputs[0])?, w.value(node.inputs[1])?);
    let [_, c, height, width] = w.nchw(node.inputs[0]).map(|size| size as i64);
    let attention = w.reshape(node, attention, &[-1, c, 1, 1]);
    w.result("Mul", vec![x, attention], node.outputs[0], vec![]);
    if !pooled {
        return Ok(());
    }
    let groups = op.groups as i64;
    let y = w.value(node.outputs[0])?;
    let y = w.reshape(node, y, &[-1, groups, c / groups, height, width]);
    let over_channels = || vec![Attribute::ints("axes", &[2]), Attribute::int("keepdims", 1)];
    let maximum = w.step(node, "ReduceMax", vec![y.clone()], over_channels());
    let mean = w.step(node, "ReduceMean", vec![y], over_channels());
    let both = w.step(node, "Concat", vec![maximum, mean], vec![Attribute::int("axis", 2)]);
    let shape = w.shape(&[-1, 2 * groups, height, width]);
    w.result("Reshape", vec![both, shape], node.outputs[1], vec![]);
    Ok(())
}

fn spatial_gate(w: &mut Writer<'_>, node: &Node, op: SpatialGateEval) -> Result<()> {
    let inputs = node.inputs.iter().map(|id| w.value(*id)).collect::<Result<Vec<_>>>()?;
    let [.., kernel] = w.nchw(node.inputs[2]);
    let conv = Conv2d { stride: 1, padding: kernel / 2, groups: op.groups };
    let z = w.step(node, "Conv", inputs[1..3].to_vec(), conv_attributes([kernel; 2], conv));
    let norm = [vec![z], inputs[3..].to_vec()].concat();
    let steps = vec![("BatchNormalization", vec![Attribute::float("epsilon", op.eps)]), ("Sigmoid", vec![])];
    let attention = chain(w, node, norm, steps, node.outputs[1]);

    let groups = op.groups as i64;
    let [_, c, height, width] = w.nchw(node.inputs[0]).map(|size| size as i64);
    let x = w.reshape(node, inputs[0].clone(), &[-1, groups, c / groups, height, width]);
    let attention = w.reshape(node, attention, &[-1, groups, 1, height, width]);
    let product = w.step(node, "Mul", vec![x, attention], vec![]);
    let shape = w.shape(&[-1, c, height, width]);
    w.result("Reshape", vec![product, shape], node.outputs[0], vec![]);
    Ok(())
}

fn pool_attributes(op: Pool2d) -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::ints("kernel_shape", &[op.size; 2]),
        Attribute::ints("strides", &[op.stride; 2]),
        Attribute::ints("pads", &[op.padding; 4]),
    ];
    if op.kind == PoolKind::Avg {
        attributes.push(Attribute::int("count_include_pad", 1));
    }
    attributes
}

fn pool(w: &mut Writer<'_>, x: String, op: Pool2d, id: TensorId) {
    let name = if op.kind == PoolKind::Max { "MaxPool" } else { "AveragePool" };
    w.result(name, vec![x], id, pool_attributes(op));
}

fn axis_repeat(w: &mut Writer<'_>, node: &Node, op: AxisRepeat) -> Result<()> {
    let (x, axes, scale) = (w.value(node.inputs[0])?, w.shape(&[op.axis as i64]), w.number(op.scale));
    let x = w.step(node, "Unsqueeze", vec![x, axes], vec![]);
    let x = w.step(node, "Mul", vec![x, scale], vec![]);
    // A size of 1 leaves that of the tensor, whatever it is.
    let mut sizes = vec![1; w.rank(node.outputs[0])];
    sizes[op.axis] = op.length as i64;
    let sizes = w.shape(&sizes);
    w.result("Expand", vec![x, sizes], node.outputs[0], vec![]);
    Ok(())
}

fn axis_sum(w: &mut Writer<'_>, node: &Node, op: AxisSum) -> Result<()> {
    let (x, axes, scale) = (w.value(node.inputs[0])?, w.shape(&[op.axis as i64]), w.number(op.scale));
    let sum = w.step(node, "ReduceSum", vec![x, axes], vec![Attribute::int("keepdims", 0)]);
    w.result("Mul", vec![sum, scale], node.outputs[0], vec![]);
    Ok(())
}

/// Rows and columns of patches become dimensions of their own, and those come before the channels.
fn patches(w: &mut Writer<'_>, node: &Node, op: Patches) -> Result<()> {
    let x = w.value(node.inputs[0])?;
    let [_, c, height, width] = w.nchw(node.inputs[0]).map(|size| size as i64);
    let (rows, columns) = (op.rows as i64, op.columns as i64);
    let x = w.reshape(node, x, &[-1, c, rows, height / rows, columns, width / columns]);
    let x = w.step(node, "Transpose", vec![x], vec![Attribute::ints("perm", &[0, 2, 4, 1, 3, 5])]);
    let shape = w.shape(&[-1, rows * columns * c, height / rows, width / columns]);
    w.result("Reshape", vec![x, shape], node.outputs[0], vec![]);
    Ok(())
}

fn slice(w: &mut Writer<'_>, node: &Node, op: Slice) -> Result<()> {
    let x = w.value(node.inputs[0])?;
    if w.dims(node.inputs[0])[op.axis] == -1 {
        return Err(shape_error("onnx", "slices along other axes than the images'", op.axis, "export another graph"));
    }
    let bounds = [op.start, op.start + op.length, op.axis].map(|number| w.shape(&[number as i64]));
    w.result("Slice", [vec![x], bounds.to_vec()].concat(), node.outputs[0], vec![]);
    Ok(())
}

fn weighted_sum(w: &mut Writer<'_>, node: &Node, op: &WeightedSum) -> Result<()> {
    let mut terms = Vec::new();
    for (&id, &weight) in node.inputs.iter().zip(&op.weights) {
        let x = w.value(id)?;
        if weight == 1.0 {
            terms.push(x);
        } else {
            let factor = w.number(weight);
            terms.push(w.step(node, "Mul", vec![x, factor], vec![]));
        }
    }
    let mut steps = vec![("Sum", vec![])];
    steps.extend(op.activation.map(|activation| (function(activation), vec![])));
    chain(w, node, terms, steps, node.outputs[0]);
    Ok(())
}
