//! Residual blocks: basic (He et al. 2016), attentive and multi-scale (Zhao et al. 2021),
//! `y = ReLU(F(x) + shortcut(x))`.

use super::{ConvSpec, Layers, NormSpec};
use crate::{
    Result,
    ops::{Conv2d, Emit, Function, TensorId},
    shape::Shape,
};

/// What F of a residual block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Two 3×3 convolutions, each with batch norm, a ReLU between them.
    Basic,
    /// The same, then a CBAM.
    Attentive,
    /// A 3×3 convolution, batch norm and ReLU to four parts p of the channels; on them two hierarchical paths
    /// `y_k = BN(conv3×3(p_k + ReLU(y_{k−1})))`, each joined along the channels, and the sum of the two.
    MultiScale,
}

/// Of all convolutions but the multi-scale block's paths; no bias, since batch norm follows.
const fn conv(out: usize, kernel: usize, stride: usize, groups: usize) -> ConvSpec {
    ConvSpec { out, kernel, conv: Conv2d { stride, padding: kernel / 2, groups }, bias: false }
}

const PLAIN: NormSpec = NormSpec { momentum: 0.1, activation: None, pool: false };
const RELU: NormSpec = NormSpec { activation: Some(Function::Relu), ..PLAIN };

/// Parts that a multi-scale block cuts its channels into.
pub const PARTS: usize = 4;

/// Paths of a multi-scale block.
const PATHS: usize = 2;

impl Layers<'_> {
    /// Convolution without bias and padded to keep the map's size at stride 1, batch norm, ReLU; `names` are the two
    /// layers'.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the input does not fit; so for all methods below.
    pub fn conv_norm_relu(
        &mut self,
        [conv_name, norm_name]: [&str; 2],
        x: TensorId,
        [out, kernel, stride]: [usize; 3],
    ) -> Result<TensorId> {
        let groups = self.parts_of(conv_name);
        let x = self.conv(conv_name, x, conv(out, kernel, stride, groups))?;
        self.batch_norm_with(norm_name, x, RELU)
    }

    /// A layer of two blocks, the first of which has the stride: `[N, P·C, H, W]` → `[N, P·out, H/stride, W/stride]`, P
    /// the parts of a grouped layer.
    ///
    /// # Errors
    /// See [`Layers::conv_norm_relu`].
    pub fn residual_layer(
        &mut self,
        name: &str,
        block: Block,
        x: TensorId,
        out: usize,
        stride: usize,
    ) -> Result<TensorId> {
        let x = self.residual_block(&format!("{name}.0"), block, x, out, stride)?;
        self.residual_block(&format!("{name}.1"), block, x, out, 1)
    }

    /// One residual block; its shortcut is a 1×1 convolution with batch norm where the size changes.
    ///
    /// # Errors
    /// See [`Layers::conv_norm_relu`].
    pub fn residual_block(
        &mut self,
        name: &str,
        block: Block,
        x: TensorId,
        out: usize,
        stride: usize,
    ) -> Result<TensorId> {
        let groups = self.parts_of(name);
        let shortcut = if stride != 1 || self.graph.shape(x).dims()[1] != groups * out {
            let x = self.conv(&format!("{name}.downsample.0"), x, conv(out, 1, stride, groups))?;
            self.batch_norm_with(&format!("{name}.downsample.1"), x, PLAIN)?
        } else {
            x
        };
        let names = [&*format!("{name}.conv1"), &*format!("{name}.bn1")];
        let x = self.conv_norm_relu(names, x, [out, 3, stride])?;
        let x = match block {
            Block::MultiScale => self.paths(name, x, out)?,
            Block::Basic | Block::Attentive => {
                let x = self.conv(&format!("{name}.conv2"), x, conv(out, 3, 1, groups))?;
                let norm = format!("{name}.bn2");
                if block == Block::Attentive {
                    let x = self.batch_norm_described(&norm, x, PLAIN)?;
                    self.cbam(&format!("{name}.cbam"), x)?.map
                } else {
                    self.batch_norm_with(&norm, x, PLAIN)?
                }
            }
        };
        self.graph.set_scope(name);
        self.graph.add_relu(x, shortcut)
    }

    /// The two paths of a multi-scale block, as one path of two groups.
    fn paths(&mut self, name: &str, x: TensorId, out: usize) -> Result<TensorId> {
        let parts = std::mem::replace(&mut self.parts, PATHS);
        let [n, _, h, w] = self.graph.shape(x).nchw().expect("invariant: a convolution's output has four dimensions");
        let each = out / PARTS;
        let both = Shape::new(&[n, PATHS * each, h, w]);
        let mut outputs = Vec::new();
        let mut before = None;
        for k in 0..PARTS {
            self.graph.set_scope(format!("{name}.part{}", k + 1));
            let part = self.graph.slice(x, 1, k * each, each)?;
            // Both paths read the first part: an ordinary convolution to the channels of both.
            let (input, groups) = match before {
                None => (part, 1),
                Some(y) => {
                    let copies = self.graph.axis_repeat(part, 1, PATHS)?;
                    let copies = self.graph.reshape(copies, both.clone())?;
                    let carried = self.graph.relu(y)?;
                    (self.graph.add_tensors(copies, carried)?, PATHS)
                }
            };
            let y = self.conv(&format!("{name}.conv#_2_{}", k + 1), input, conv(each, 3, 1, groups))?;
            let y = self.batch_norm_with(&format!("{name}.bn#_2_{}", k + 1), y, PLAIN)?;
            outputs.push(self.graph.reshape(y, Shape::new(&[n, PATHS, each, h * w]))?);
            before = Some(y);
        }
        self.parts = parts;
        self.graph.set_scope(format!("{name}.paths"));
        let joined = self.graph.concat(&outputs, 2)?;
        let sum = self.graph.axis_sum(joined, 1, 1.0)?;
        self.graph.reshape(sum, Shape::new(&[n, out, h, w]))
    }
}
