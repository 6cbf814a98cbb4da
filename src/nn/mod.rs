//! Layers: parameters under PyTorch's names, and the ops that use them.

pub mod cbam;
pub mod residual;
pub mod variables;

use crate::{
    Result,
    graph::{Graph, Init, build::PART},
    ops::{BatchNorm, BatchNormEval, Conv2d, Emit, Function, Pooling, TensorId, shape_error},
};

/// Added to variances, as in PyTorch.
const EPS: f64 = 1e-5;

/// Whether a network learns or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses the batch's statistics and updates the running estimates.
    Train,
    /// Batch norm uses the running estimates.
    Eval,
}

/// Builds layers into a graph.
///
/// A layer of `parts` branches is one grouped layer: its parameters are stacked from the branches', and its name
/// holds a `*` (`#`) where the branch's number, counted from 0 (1), goes.
pub struct Layers<'g> {
    /// The graph that is built.
    pub graph: &'g mut Graph,
    /// Training or evaluation.
    pub mode: Mode,
    /// The number of branches that layers with a `*` or `#` in their name are stacked from.
    pub parts: usize,
}

/// A convolution's sizes.
#[derive(Debug, Clone, Copy)]
pub struct ConvSpec {
    /// Output channels of one part.
    pub out: usize,
    /// Side of the filter.
    pub kernel: usize,
    /// Stride, padding, groups.
    pub conv: Conv2d,
    /// Whether a bias is added.
    pub bias: bool,
}

/// What goes with a batch norm.
#[derive(Debug, Clone, Copy)]
pub struct NormSpec {
    /// Weight of the new batch in the running estimates: 0.1, but 0.01 in CBAM's spatial gate.
    pub momentum: f64,
    /// Applied to the normalised values.
    pub activation: Option<Function>,
    /// Whether 2×2 windows are max-pooled after that.
    pub pool: bool,
}

/// A map with the descriptors of its channels, as CBAM takes it.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// `[N, C, H, W]`.
    pub map: TensorId,
    /// The average and the maximum of each plane `[2, N, C]`.
    pub descriptors: TensorId,
}

impl Layers<'_> {
    /// The number of parts of a layer of this name.
    #[must_use]
    pub fn parts_of(&self, name: &str) -> usize {
        if name.contains(PART) { self.parts } else { 1 }
    }

    /// Convolution with PyTorch's default start: weight and bias uniform in ±1/√fan_in.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the input does not fit.
    pub fn conv(&mut self, name: &str, x: TensorId, spec: ConvSpec) -> Result<TensorId> {
        self.graph.set_scope(name);
        let parts = self.parts_of(name);
        let Some([_, channels, ..]) = self.graph.shape(x).nchw() else {
            return Err(shape_error("conv2d", "an input [N, C, H, W]", self.graph.shape(x), "reshape it"));
        };
        let per_group = channels / spec.conv.groups.max(1);
        let init = Init::Uniform { bound: 1.0 / ((per_group * spec.kernel * spec.kernel) as f64).sqrt() };
        let shape = [parts * spec.out, per_group, spec.kernel, spec.kernel];
        let weight = self.graph.parameter(&format!("{name}.weight"), parts, shape, init);
        let bias = spec.bias.then(|| self.graph.parameter(&format!("{name}.bias"), parts, [parts * spec.out], init));
        self.graph.conv2d(x, weight, bias, spec.conv)
    }

    /// Grouped linear layer `[N, parts·I]` → `[N, parts·out]`, started as PyTorch does.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the input does not fit.
    pub fn linear(&mut self, name: &str, x: TensorId, out: usize) -> Result<TensorId> {
        self.graph.set_scope(name);
        let parts = self.parts_of(name);
        let inputs = self.graph.shape(x).dims()[1] / parts;
        let init = Init::Uniform { bound: 1.0 / (inputs as f64).sqrt() };
        let weight = self.graph.parameter(&format!("{name}.weight"), parts, [parts * out, inputs], init);
        let bias = self.graph.parameter(&format!("{name}.bias"), parts, [parts * out], init);
        self.graph.linear(x, weight, Some(bias), parts)
    }

    /// Batch norm with an activation, in the mode of the network.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the input does not fit.
    pub fn batch_norm(
        &mut self,
        name: &str,
        x: TensorId,
        momentum: f64,
        activation: Option<Function>,
    ) -> Result<TensorId> {
        self.batch_norm_with(name, x, NormSpec { momentum, activation, pool: false })
    }

    /// Batch norm with all that [`NormSpec`] says, in the mode of the network.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the input does not fit.
    pub fn batch_norm_with(&mut self, name: &str, x: TensorId, spec: NormSpec) -> Result<TensorId> {
        let (affine, running) = self.norm_variables(name, x);
        match self.mode {
            Mode::Train => self.graph.batch_norm(x, affine, running, spec.train()),
            Mode::Eval => self.graph.batch_norm_eval(x, affine, running, spec.eval()),
        }
    }

    /// The same, with the descriptors of the result from the same op.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the input does not fit.
    pub fn batch_norm_described(&mut self, name: &str, x: TensorId, spec: NormSpec) -> Result<Described> {
        let (affine, running) = self.norm_variables(name, x);
        let [map, descriptors] = match self.mode {
            Mode::Train => self.graph.batch_norm_described(x, affine, running, spec.train())?,
            Mode::Eval => self.graph.batch_norm_eval_described(x, affine, running, spec.eval())?,
        };
        Ok(Described { map, descriptors })
    }

    /// Any map with its descriptors.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where it is no map `[N, C, H, W]`.
    pub fn described(&mut self, map: TensorId) -> Result<Described> {
        Ok(Described { map, descriptors: self.graph.global_pool(map, Pooling::AvgMax)? })
    }

    /// Weight and bias, running mean and variance.
    fn norm_variables(&mut self, name: &str, x: TensorId) -> ([TensorId; 2], [TensorId; 2]) {
        self.graph.set_scope(name);
        let parts = self.parts_of(name);
        let channels = self.graph.shape(x).dims()[1];
        let affine = [("weight", 1.0), ("bias", 0.0)]
            .map(|(of, start)| self.graph.parameter(&format!("{name}.{of}"), parts, [channels], Init::Fill(start)));
        let running = [("running_mean", 0.0), ("running_var", 1.0)]
            .map(|(of, start)| self.graph.state(&format!("{name}.{of}"), parts, [channels], Init::Fill(start)));
        (affine, running)
    }
}

impl NormSpec {
    fn train(self) -> BatchNorm {
        let Self { momentum, activation, pool } = self;
        BatchNorm { eps: EPS, momentum, activation, pool, descriptors: false }
    }

    fn eval(self) -> BatchNormEval {
        BatchNormEval { eps: EPS, activation: self.activation, pool: self.pool, descriptors: false }
    }
}
