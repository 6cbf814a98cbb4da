//! The convolutional block attention module (Woo et al. 2018): a channel gate, then a spatial gate.

use super::{Described, EPS, Layers, Mode};
use crate::{
    Result,
    graph::Init,
    ops::{Emit, SpatialGate, SpatialGateEval, TensorId},
};

/// Channels per hidden unit of the channel gate's MLP.
const REDUCTION: usize = 16;

/// Side of the spatial gate's filters.
const SPATIAL_KERNEL: usize = 7;

/// What a CBAM returns.
#[derive(Debug, Clone, Copy)]
pub struct Cbam {
    /// The gated map, like the input.
    pub map: TensorId,
    /// Channel attention `[N, G·C]` in (0, 1).
    pub channel: TensorId,
    /// Spatial attention `[N, G, H, W]` in (0, 1).
    pub spatial: TensorId,
}

impl Layers<'_> {
    /// CBAM over each part's channels: `σ(MLP(avg) + MLP(max))`, then `σ(BN(conv7×7([max_c; mean_c])))`.
    ///
    /// The descriptors come from [`Layers::batch_norm_described`], or from [`Layers::described`] for any map.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the input does not fit.
    pub fn cbam(&mut self, name: &str, x: Described) -> Result<Cbam> {
        let Described { map: x, descriptors } = x;
        let groups = self.parts_of(name);
        let channels = self.graph.shape(x).dims()[1] / groups;
        let hidden = (channels / REDUCTION).max(1);

        let gate = format!("{name}.ChannelGate");
        self.graph.set_scope(&gate);
        let mut layer = |index: usize, outputs: usize, inputs: usize| {
            let init = Init::Uniform { bound: 1.0 / (inputs as f64).sqrt() };
            let name = format!("{gate}.mlp.{index}");
            let weight = self.graph.parameter(&format!("{name}.weight"), groups, [groups * outputs, inputs], init);
            let bias = self.graph.parameter(&format!("{name}.bias"), groups, [groups * outputs], init);
            [weight, bias]
        };
        let ([w1, b1], [w2, b2]) = (layer(1, hidden, channels), layer(3, channels, hidden));
        let channel = self.graph.channel_attention(descriptors, [w1, b1, w2, b2], groups)?;
        let [gated, pooled] = self.graph.channel_gate(x, channel, groups)?;

        let [map, spatial] = self.spatial_gate(name, [gated, pooled], groups)?;
        Ok(Cbam { map, channel, spatial })
    }

    /// The spatial gate of a map and its pooled channels: the product and the attention.
    fn spatial_gate(&mut self, name: &str, maps: [TensorId; 2], groups: usize) -> Result<[TensorId; 2]> {
        let gate = format!("{name}.SpatialGate.spatial");
        let init = Init::Uniform { bound: 1.0 / ((2 * SPATIAL_KERNEL * SPATIAL_KERNEL) as f64).sqrt() };
        let shape = [groups, 2, SPATIAL_KERNEL, SPATIAL_KERNEL];
        let parameters = [
            self.graph.parameter(&format!("{gate}.conv.weight"), groups, shape, init),
            self.graph.parameter(&format!("{gate}.bn.weight"), groups, [groups], Init::Fill(1.0)),
            self.graph.parameter(&format!("{gate}.bn.bias"), groups, [groups], Init::Fill(0.0)),
        ];
        let running = [
            self.graph.state(&format!("{gate}.bn.running_mean"), groups, [groups], Init::Fill(0.0)),
            self.graph.state(&format!("{gate}.bn.running_var"), groups, [groups], Init::Fill(1.0)),
        ];
        self.graph.set_scope(format!("{name}.SpatialGate"));
        match self.mode {
            Mode::Train => {
                let op = SpatialGate { groups, eps: EPS, momentum: 0.01 };
                self.graph.spatial_gate(maps, parameters, running, op)
            }
            Mode::Eval => self.graph.spatial_gate_eval(maps, parameters, running, SpatialGateEval { groups, eps: EPS }),
        }
    }
}
