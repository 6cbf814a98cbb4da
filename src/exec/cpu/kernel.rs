//! What an op's room provides to the executor, and what it is given.

use crate::exec::cpu::parallel::*;

use super::Scalar;
use crate::{Result, exec::training, ops::Op, shape::Shape};

/// An op prepared for known shapes.
pub(super) trait Kernel<T>: Send + Sync {
    /// Elements of scratch memory that a run with `threads` threads needs.
    fn scratch(&self, _threads: usize) -> usize {
        0
    }

    /// Elements of what is derived from the parameters alone, such as filters in another layout.
    fn derived(&self) -> usize {
        0
    }

    /// Whether to keep what is derived until a parameter changes, where a program does not train: worth its memory
    /// where deriving takes long beside running.
    fn keeps_derived(&self) -> bool {
        false
    }

    /// Derives it, from the inputs behind the first. Runs on a thread of the executor's pool.
    fn derive(&self, _io: &Io<'_, T>, _derived: &mut [T]) {}

    /// Computes the outputs whole and updates the variables. Runs on a thread of the executor's pool.
    fn run(&self, io: &mut Io<'_, T>);
}

/// The first `len` elements of a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) buffer: usize,
    pub(super) len: usize,
}

/// A buffer taken out of the arena while an op writes it.
#[derive(Debug, Default)]
pub(super) struct Held<T> {
    pub(super) data: Vec<T>,
    pub(super) len: usize,
}

/// The tensors of an op at work.
pub(super) struct Io<'a, T> {
    pub(super) arena: &'a [Vec<T>],
    pub(super) inputs: &'a [Span],
    /// The outputs, then the updates.
    pub(super) held: &'a mut [Held<T>],
    pub(super) scratch: &'a mut [T],
    /// What [`Kernel::derive`] computed, from a cache line on.
    pub(super) derived: &'a [T],
    pub(super) threads: usize,
}

impl<'a, T> Io<'a, T> {
    /// The number of inputs.
    pub(super) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Input `i`.
    pub(super) fn input(&self, i: usize) -> &'a [T] {
        let span = self.inputs[i];
        &self.arena[span.buffer][..span.len]
    }

    /// The first `K` of outputs and updates, and the scratch memory.
    pub(super) fn write<const K: usize>(&mut self) -> ([&mut [T]; K], &mut [T]) {
        let mut held = self.held.iter_mut();
        let outputs = std::array::from_fn(|_| {
            let held = held.next().expect("invariant: the graph gave the op all its outputs");
            &mut held.data[..held.len]
        });
        (outputs, self.scratch)
    }
}

/// Elements that a task of an elementwise op works on: two such rows stay in the first-level cache.
pub(super) const BLOCK: usize = 4096;

/// `y = f(x)` for each element.
pub(super) fn map<T: Scalar>(y: &mut [T], x: &[T], f: impl Fn(T) -> T + Sync) {
    y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
    });
}

/// `y = f(a, b)` for each element.
pub(super) fn zip_map<T: Scalar>(y: &mut [T], a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) {
    y.par_chunks_mut(BLOCK).zip(a.par_chunks(BLOCK)).zip(b.par_chunks(BLOCK)).for_each(|((y, a), b)| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
    });
}

/// The four dimensions that a contract has already checked.
pub(super) fn nchw(shape: &Shape) -> [usize; 4] {
    shape.nchw().expect("invariant: the contract checked the rank")
}

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
    use super::{
        activation, augment, axis_sum, batch_norm, channel_attention, channel_gate, concat, conv2d, cross_entropy,
        determinant, global_pool, multiply, patches, pool2d, running_sums, sgd, similarity, spatial_gate, weighted_sum,
    };
    let stem = op.contract().stem();
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
        Op::CrossEntropy(_) => {
            trained(stem, || cross_entropy::Forward(cross_entropy::Sizes::new(inputs[1], inputs[2])))?
        }
        Op::CrossEntropyGrad(_) => {
            trained(stem, || cross_entropy::Gradient(cross_entropy::Sizes::new(inputs[2], inputs[3])))?
        }
        Op::Determinant(op) => Box::new(determinant::Forward { objective: op.objective, size: inputs[0].dims()[0] }),
        Op::GlobalPool(op) => Box::new(global_pool::Forward { pooling: op.pooling, dims: nchw(inputs[0]) }),
        Op::GlobalPoolGrad(op) => trained(stem, || global_pool::Gradient { pooling: op.pooling, dims: op.shape })?,
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
        Op::WeightedSum(op) => Box::new(weighted_sum::Forward(op.clone())),
    };
    Ok(kernel)
}
