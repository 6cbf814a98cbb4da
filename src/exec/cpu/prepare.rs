//! From an op to its kernel.

use super::{
    Scalar, activation, augment, axis_sum, batch_norm, channel_attention, channel_gate, concat, conv2d, cross_entropy,
    determinant, global_pool,
    kernel::{Kernel, nchw},
    mixture_cross_entropy, multiply, patches, pool2d, running_sums, sgd, similarity, spatial_gate, unit_length,
    weighted_sum,
};
use crate::{
    Result,
    exec::training,
    ops::{Op, cross_entropy::Sizes},
    shape::Shape,
};

/// A kernel that only a training needs.
fn trained<T, K: Kernel<T> + 'static>(stem: &'static str, make: impl FnOnce() -> K) -> Result<Box<dyn Kernel<T>>> {
    training(stem, || Ok(Box::new(make()) as _))
}

/// Prepares an op for its shapes. `updates`: the program changes the parameters with each run.
///
/// # Errors
/// See [`training`].
pub(super) fn prepare<T: Scalar>(
    op: &Op,
    inputs: &[&Shape],
    outputs: &[&Shape],
    updates: bool,
) -> Result<Box<dyn Kernel<T>>> {
    let stem = op.contract().stem();
    // Of logits among the inputs, behind which targets and weights follow.
    let sizes = |at: usize| {
        let sizes = Sizes::new(stem, inputs[at], inputs[at + 1], inputs[at + 2]);
        sizes.expect("invariant: the contract checked the sizes")
    };
    let kernel: Box<dyn Kernel<T>> = match op {
        Op::Activation(op) => Box::new(activation::Forward(op.function)),
        Op::ActivationGrad(op) => trained(stem, || activation::Gradient(op.function))?,
        Op::Augment(op) => trained(stem, || augment::Forward(*op))?,
        Op::AxisRepeat(op) => Box::new(axis_sum::Repeat::new(op, outputs[0])),
        Op::AxisSum(op) => Box::new(axis_sum::Forward::new(op, inputs[0])),
        Op::BatchNorm(op) => trained(stem, || batch_norm::Forward { op: *op, dims: nchw(inputs[0]) })?,
        Op::BatchNormEval(op) => Box::new(batch_norm::Evaluation { op: *op, dims: nchw(inputs[0]) }),
        Op::BatchNormGrad(op) => trained(stem, || batch_norm::Gradient { op: *op, dims: nchw(inputs[1]) })?,
        Op::ChannelAttention(op) => {
            Box::new(channel_attention::Forward(channel_attention::Sizes::new(op.groups, inputs[0], inputs[1])))
        }
        Op::ChannelAttentionGrad(op) => trained(stem, || {
            channel_attention::Gradient(channel_attention::Sizes::new(op.groups, inputs[3], inputs[4]))
        })?,
        Op::ChannelGate(op) => Box::new(channel_gate::Forward { groups: op.groups, dims: nchw(inputs[0]) }),
        Op::ChannelGateGrad(op) => {
            trained(stem, || channel_gate::Gradient { groups: op.groups, dims: nchw(inputs[3]) })?
        }
        Op::Concat(op) => Box::new(concat::Forward::new(op.axis, inputs)),
        Op::Slice(op) => Box::new(concat::Part::new(op, inputs[0])),
        Op::SliceGrad(op) => trained(stem, || concat::Whole(concat::Part::new(&op.slice, outputs[0])))?,
        Op::Conv2d(op) => conv2d::forward(op, inputs, updates),
        Op::Conv2dGradInput(op) => training(stem, || Ok(conv2d::grad_input(op, inputs)))?,
        Op::Conv2dGradWeight(op) => training(stem, || Ok(conv2d::grad_weight(op, inputs)))?,
        Op::CrossEntropy(_) => trained(stem, || cross_entropy::Forward(sizes(0)))?,
        Op::CrossEntropyGrad(_) => trained(stem, || cross_entropy::Gradient(sizes(1)))?,
        Op::Determinant(op) => Box::new(determinant::Forward { objective: op.objective, size: inputs[0].dims()[0] }),
        Op::GlobalPool(op) => Box::new(global_pool::Forward { pooling: op.pooling, dims: nchw(inputs[0]) }),
        Op::GlobalPoolGrad(op) => trained(stem, || global_pool::Gradient { pooling: op.pooling, dims: op.shape })?,
        Op::MixtureCrossEntropy(_) => trained(stem, || mixture_cross_entropy::Forward(sizes(0)))?,
        Op::MixtureCrossEntropyGrad(_) => trained(stem, || mixture_cross_entropy::Gradient(sizes(1)))?,
        Op::Multiply(_) => Box::new(multiply::Forward),
        Op::Patches(op) => Box::new(patches::Forward(patches::Grid::new(*op, outputs[0]))),
        Op::PatchesJoin(op) => trained(stem, || patches::Join(patches::Grid::new(op.patches, inputs[0])))?,
        Op::Pool2d(op) => Box::new(pool2d::Forward(pool2d::Windows::new(op, inputs[0], outputs[0]))),
        Op::Pool2dGrad(op) => trained(stem, || pool2d::Gradient(pool2d::Windows::new(&op.pool, inputs[1], inputs[0])))?,
        Op::RunningSums(_) => trained(stem, || running_sums::Forward)?,
        Op::Sgd(op) => trained(stem, || sgd::Forward(op.clone()))?,
        Op::Similarity(op) => Box::new(similarity::Forward::new(*op, inputs[0])),
        Op::SimilarityGrad(op) => trained(stem, || {
            let forward = similarity::Forward::new(op.similarity, inputs[1]);
            similarity::Gradient { forward, scale: op.scale }
        })?,
        Op::SpatialGate(op) => Box::new(spatial_gate::Forward::new(op, inputs)),
        Op::SpatialGateEval(op) => Box::new(spatial_gate::Evaluation::new(op, inputs)),
        Op::SpatialGateGrad(op) => trained(stem, || spatial_gate::Gradient::new(op.groups, &inputs[1..]))?,
        Op::UnitLength(op) => trained(stem, || unit_length::Forward::new(*op, inputs[0]))?,
        Op::UnitLengthGrad(op) => trained(stem, || unit_length::Gradient(unit_length::Forward::new(op.0, inputs[1])))?,
        Op::WeightedSum(op) => Box::new(weighted_sum::Forward(op.clone())),
    };
    Ok(kernel)
}
