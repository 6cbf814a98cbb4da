//! Layers: parameters under PyTorch's names, and the ops that use them.

pub mod cbam;
pub mod variables;

use crate::{
    Result,
    graph::{Graph, Init},
    ops::{BatchNorm, BatchNormEval, Conv2d, Emit, Function, TensorId, shape_error},
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
/// holds a `*` where the branch's number goes.
pub struct Layers<'g> {
    /// The graph that is built.
    pub graph: &'g mut Graph,
    /// Training or evaluation.
    pub mode: Mode,
    /// The number of branches that layers with a `*` in their name are stacked from.
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

impl Layers<'_> {
    /// The number of parts of a layer of this name.
    #[must_use]
    pub fn parts_of(&self, name: &str) -> usize {
        if name.contains('*') { self.parts } else { 1 }
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

    /// Grouped linear layer [N, parts·I] → [N, parts·out], started as PyTorch does.
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
        self.graph.set_scope(name);
        let parts = self.parts_of(name);
        let channels = self.graph.shape(x).dims()[1];
        let weight = self.graph.parameter(&format!("{name}.weight"), parts, [channels], Init::Fill(1.0));
        let bias = self.graph.parameter(&format!("{name}.bias"), parts, [channels], Init::Fill(0.0));
        let mean = self.graph.state(&format!("{name}.running_mean"), parts, [channels], Init::Fill(0.0));
        let variance = self.graph.state(&format!("{name}.running_var"), parts, [channels], Init::Fill(1.0));
        match self.mode {
            Mode::Train => {
                let op = BatchNorm { eps: EPS, momentum, activation };
                self.graph.batch_norm(x, [weight, bias], [mean, variance], op)
            }
            Mode::Eval => {
                let op = BatchNormEval { eps: EPS, activation };
                self.graph.batch_norm_eval(x, [weight, bias], [mean, variance], op)
            }
        }
    }
}
