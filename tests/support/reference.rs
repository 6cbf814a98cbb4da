//! Naive float64 loops for every op, written from the formulas of `moue::ops` and independent of the executors:
//! one element at a time, sums in index order, no blocking, no reuse.

mod activation;
mod augment;
mod axis_sum;
mod batch_norm;
mod channel_attention;
mod channel_gate;
mod concat;
mod conv2d;
mod cross_entropy;
mod determinant;
mod global_pool;
mod mixture_cross_entropy;
mod multiply;
mod patches;
mod pool2d;
mod running_sums;
mod sgd;
mod similarity;
mod spatial_gate;
mod unit_length;
mod weighted_sum;

use moue::ops::Op;

use super::data::Array;

pub(crate) use activation::apply as apply_function;
pub(crate) use determinant::{cofactor_slack, determinant, first_order_slack};
pub(crate) use spatial_gate::scores as spatial_scores;

/// Whether a value takes the place of the largest of those before it: a larger one does, and the first NaN.
fn beats(value: f64, largest: f64) -> bool {
    value > largest || value.is_nan() && !largest.is_nan()
}

/// The outputs of an op; `updates` are changed in place.
pub(crate) fn reference(op: &Op, inputs: &[Array], updates: &mut [Array]) -> Vec<Array> {
    match op {
        Op::Activation(op) => activation::forward(op, inputs),
        Op::ActivationGrad(op) => activation::grad(op, inputs),
        Op::Augment(op) => augment::forward(op, inputs),
        Op::AxisRepeat(op) => axis_sum::repeat(op, inputs),
        Op::AxisSum(op) => axis_sum::forward(op, inputs),
        Op::BatchNorm(op) => batch_norm::train(op, inputs, updates),
        Op::BatchNormEval(op) => batch_norm::eval(op, inputs),
        Op::BatchNormGrad(op) => batch_norm::grad(op, inputs),
        Op::ChannelAttention(op) => channel_attention::forward(op, inputs),
        Op::ChannelAttentionGrad(op) => channel_attention::grad(op, inputs),
        Op::ChannelGate(op) => channel_gate::forward(op, inputs),
        Op::ChannelGateGrad(op) => channel_gate::grad(op, inputs),
        Op::Concat(op) => concat::concat(op, inputs),
        Op::Conv2d(op) => conv2d::forward(op, inputs),
        Op::Conv2dGradInput(op) => conv2d::grad_input(op, inputs),
        Op::Conv2dGradWeight(op) => conv2d::grad_weight(op, inputs),
        Op::CrossEntropy(_) => cross_entropy::forward(inputs),
        Op::CrossEntropyGrad(_) => cross_entropy::grad(inputs),
        Op::Determinant(op) => determinant::forward(op, inputs),
        Op::GlobalPool(op) => global_pool::forward(op, inputs),
        Op::GlobalPoolGrad(op) => global_pool::grad(op, inputs),
        Op::MixtureCrossEntropy(_) => mixture_cross_entropy::forward(inputs),
        Op::MixtureCrossEntropyGrad(_) => mixture_cross_entropy::grad(inputs),
        Op::Multiply(_) => multiply::forward(inputs),
        Op::Patches(op) => patches::cut(op, inputs),
        Op::PatchesJoin(op) => patches::join(op, inputs),
        Op::Pool2d(op) => pool2d::forward(op, inputs),
        Op::Pool2dGrad(op) => pool2d::grad(op, inputs),
        Op::RunningSums(_) => running_sums::add(inputs, updates),
        Op::Sgd(op) => sgd::step(op, inputs, updates),
        Op::Similarity(op) => similarity::forward(op, inputs),
        Op::SimilarityGrad(op) => similarity::grad(op, inputs),
        Op::Slice(op) => concat::slice(op, inputs),
        Op::SliceGrad(op) => concat::slice_grad(op, inputs),
        Op::SpatialGate(op) => spatial_gate::train(op, inputs, updates),
        Op::SpatialGateEval(op) => spatial_gate::eval(op, inputs),
        Op::SpatialGateGrad(op) => spatial_gate::grad(op, inputs),
        Op::UnitLength(op) => unit_length::forward(op, inputs),
        Op::UnitLengthGrad(op) => unit_length::grad(&op.0, inputs),
        Op::WeightedSum(op) => weighted_sum::forward(op, inputs),
        other => panic!("{} has no reference loop: write one in tests/support/reference", other.name()),
    }
}
