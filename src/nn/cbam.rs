//! The convolutional block attention module (Woo et al. 2018): a channel gate, then a spatial gate.

use super::{ConvSpec, Described, Layers};
use crate::{
    Result,
    graph::Init,
    ops::{Conv2d, Emit, Function, TensorId},
};

/// Channels per hidden unit of the channel gate's MLP.
const REDUCTION: usize = 16;

/// What a CBAM returns.
#[derive(Debug, Clone, Copy)]
pub struct Cbam {
    /// The gated map, like the input.
    pub map: TensorId,
    /// Channel attention [N, G·C] in (0, 1).
    pub channel: TensorId,
    /// Spatial attention [N, G, H, W] in (0, 1).
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

        let gate = format!("{name}.SpatialGate.spatial");
        let conv = Conv2d { stride: 1, padding: 3, groups };
        let z = self.conv(&format!("{gate}.conv"), pooled, ConvSpec { out: 1, kernel: 7, conv, bias: false })?;
        let spatial = self.batch_norm(&format!("{gate}.bn"), z, 0.01, Some(Function::Sigmoid))?;
        self.graph.set_scope(format!("{name}.SpatialGate"));
        let map = self.graph.spatial_gate(gated, spatial, groups)?;
        Ok(Cbam { map, channel, spatial })
    }
}
