//! The contracts of the ops: attributes, shape rule, gradient rule, FLOPs and bytes. No device is known here.
//!
//! Each op has one stem, which names its file here, in `exec/cpu`, `exec/gpu`, `shaders` and `tests`.
//! Letters: N images, C channels, H, W, K filter size, G groups, L learners (branches, patches, layers).

pub mod activation;
pub mod augment;
pub mod axis_sum;
pub mod batch_norm;
pub mod channel_attention;
pub mod channel_gate;
pub mod concat;
pub mod conv2d;
pub mod cross_entropy;
pub mod determinant;
pub mod global_pool;
pub mod mixture_cross_entropy;
pub mod multiply;
pub mod patches;
pub mod pool2d;
pub mod running_sums;
pub mod sgd;
pub mod similarity;
pub mod spatial_gate;
pub mod unit_length;
pub mod weighted_sum;

use crate::{Error, Result, shape::Shape};

pub use activation::{Activation, ActivationGrad, Function};
pub use augment::Augment;
pub use axis_sum::{AxisRepeat, AxisSum};
pub use batch_norm::{BatchNorm, BatchNormEval, BatchNormGrad};
pub use channel_attention::{ChannelAttention, ChannelAttentionGrad};
pub use channel_gate::{ChannelGate, ChannelGateGrad};
pub use concat::{Concat, Slice, SliceGrad};
pub use conv2d::{Conv2d, Conv2dGradInput, Conv2dGradWeight};
pub use cross_entropy::{CrossEntropy, CrossEntropyGrad};
pub use determinant::{Determinant, Objective};
pub use global_pool::{GlobalPool, GlobalPoolGrad, Pooling};
pub use mixture_cross_entropy::{MixtureCrossEntropy, MixtureCrossEntropyGrad};
pub use multiply::Multiply;
pub use patches::{Patches, PatchesJoin};
pub use pool2d::{Pool2d, Pool2dGrad, PoolKind};
pub use running_sums::RunningSums;
pub use sgd::Sgd;
pub use similarity::{Similarity, SimilarityGrad};
pub use spatial_gate::{SpatialGate, SpatialGateEval, SpatialGateGrad};
pub use unit_length::{UnitLength, UnitLengthGrad};
pub use weighted_sum::WeightedSum;

/// A tensor of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub(crate) usize);

impl TensorId {
    /// The tensor's place in its graph, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// What every op can say about itself.
pub trait Contract {
    /// The stem that names the op's files.
    fn stem(&self) -> &'static str;

    /// The shapes of the outputs.
    ///
    /// # Errors
    /// [`Error::Shape`] where the inputs do not fit.
    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>>;

    /// Floating-point operations, a multiply-add counted as two; 0 where memory dominates.
    fn flops(&self, _inputs: &[&Shape], _outputs: &[&Shape]) -> u64 {
        0
    }

    /// Bytes that have to be moved in float32: each input is read once, each output written once, each variable
    /// that is updated in place read and written.
    fn bytes(&self, inputs: &[&Shape], outputs: &[&Shape], updates: &[&Shape]) -> u64 {
        let elements = |shapes: &[&Shape]| shapes.iter().map(|shape| shape.elements() as u64).sum::<u64>();
        4 * (elements(inputs) + elements(outputs) + 2 * elements(updates))
    }

    /// Appends the ops that compute the gradients of the inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] where the op has no gradient rule.
    fn grad(&self, _args: &mut GradArgs<'_>) -> Result<()> {
        Err(shape_error(self.stem(), "an op with a gradient rule", "none", "keep it out of the loss"))
    }
}

/// Where gradient rules append ops; the graph implements it.
pub trait Emit {
    /// Appends an op and returns its outputs.
    ///
    /// # Errors
    /// [`Error::Shape`] where the inputs do not fit.
    fn emit(&mut self, op: Op, inputs: &[TensorId]) -> Result<Vec<TensorId>>;
    /// The shape of a tensor.
    fn shape(&self, tensor: TensorId) -> &Shape;
    /// The value of a constant tensor.
    fn constant_value(&self, tensor: TensorId) -> Option<f64>;
    /// The tensor and the number whose product this one is, where it is such a product; else itself and 1. A rule that
    /// is linear in a gradient takes the number along, which saves the op that would multiply.
    fn unscaled(&self, tensor: TensorId) -> (TensorId, f64);
    /// A tensor filled with one value.
    fn constant(&mut self, shape: Shape, value: f64) -> TensorId;
    /// The same elements under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] where the numbers of elements differ.
    fn reshape(&mut self, tensor: TensorId, shape: Shape) -> Result<TensorId>;
}

/// What a gradient rule is given, and where it leaves its results.
pub struct GradArgs<'a> {
    /// Appends ops.
    pub emit: &'a mut dyn Emit,
    /// The op's inputs.
    pub inputs: &'a [TensorId],
    /// The op's outputs.
    pub outputs: &'a [TensorId],
    /// The gradient of each output, where the loss depends on it.
    pub output_grads: &'a [Option<TensorId>],
    /// Which inputs need a gradient.
    pub wanted: &'a [bool],
    /// The gradient of each input so far; a rule that adds to it replaces it, any other contributes.
    pub input_grads: Vec<Option<TensorId>>,
    /// What the rule leaves: `None` where the input gets nothing from this op.
    pub contributions: Vec<Option<Contribution>>,
}

/// What an op contributes to the gradient of one of its inputs.
#[derive(Debug, Clone, Copy)]
pub enum Contribution {
    /// To be added to what other consumers contribute.
    Add(TensorId),
    /// Already includes what [`GradArgs::input_grads`] held.
    Replace(TensorId),
}

impl GradArgs<'_> {
    /// Leaves a contribution to the gradient of input `i`.
    pub fn add(&mut self, i: usize, gradient: TensorId) {
        self.contributions[i] = Some(Contribution::Add(gradient));
    }

    /// The gradient of output `i`, zeros where the loss does not depend on it.
    pub fn output_grad(&mut self, i: usize) -> TensorId {
        match self.output_grads[i] {
            Some(gradient) => gradient,
            None => {
                let shape = self.emit.shape(self.outputs[i]).clone();
                self.emit.constant(shape, 0.0)
            }
        }
    }
}

/// Each op's enum variant carries its contract.
macro_rules! ops {
    ($($variant:ident),* $(,)?) => {
        /// An op with its attributes.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($variant), "`].")] $variant($variant)),*
        }

        impl Op {
            /// The op's contract.
            #[must_use]
            pub fn contract(&self) -> &dyn Contract {
                match self { $(Self::$variant(op) => op),* }
            }

            /// The variant's name, such as `Conv2dGradInput`.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant)),* }
            }
        }

        $(impl From<$variant> for Op {
            fn from(op: $variant) -> Self { Self::$variant(op) }
        })*
    };
}

ops!(
    Activation,
    ActivationGrad,
    Augment,
    AxisRepeat,
    AxisSum,
    BatchNorm,
    BatchNormEval,
    BatchNormGrad,
    ChannelAttention,
    ChannelAttentionGrad,
    ChannelGate,
    ChannelGateGrad,
    Concat,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    CrossEntropy,
    CrossEntropyGrad,
    Determinant,
    GlobalPool,
    GlobalPoolGrad,
    MixtureCrossEntropy,
    MixtureCrossEntropyGrad,
    Multiply,
    Patches,
    PatchesJoin,
    Pool2d,
    Pool2dGrad,
    RunningSums,
    Sgd,
    Similarity,
    SimilarityGrad,
    Slice,
    SliceGrad,
    SpatialGate,
    SpatialGateEval,
    SpatialGateGrad,
    UnitLength,
    UnitLengthGrad,
    WeightedSum,
);

/// An [`Error::Shape`].
pub(crate) fn shape_error(
    op: &'static str,
    expected: impl Into<String>,
    found: impl ToString,
    hint: impl Into<String>,
) -> Error {
    Error::Shape { op, expected: expected.into(), found: found.to_string(), hint: hint.into() }
}

/// Checks how many inputs an op was given.
pub(crate) fn expect_inputs(op: &'static str, inputs: &[&Shape], allowed: &[usize]) -> Result<()> {
    if allowed.contains(&inputs.len()) {
        return Ok(());
    }
    Err(shape_error(op, format!("{allowed:?} inputs"), inputs.len(), "see the op's documentation for their order"))
}

/// Checks one input's shape.
pub(crate) fn expect_shape(op: &'static str, what: &str, found: &Shape, expected: &[usize]) -> Result<()> {
    if found.dims() == expected {
        return Ok(());
    }
    Err(shape_error(op, format!("{what} of shape {expected:?}"), found, "check the sizes of the layers before it"))
}

/// An input's four dimensions.
pub(crate) fn expect_nchw(op: &'static str, what: &str, found: &Shape) -> Result<[usize; 4]> {
    found.nchw().ok_or_else(|| shape_error(op, format!("{what} [N, C, H, W]"), found, "reshape it"))
}

/// Checks that a number of channels is a multiple of the groups.
pub(crate) fn expect_groups(op: &'static str, channels: usize, groups: usize) -> Result<()> {
    if groups > 0 && channels.is_multiple_of(groups) {
        return Ok(());
    }
    Err(shape_error(
        op,
        format!("channels that divide into {groups} groups"),
        channels,
        "change the width or the groups",
    ))
}
