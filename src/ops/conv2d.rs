//! Grouped 2D convolution (cross-correlation), its input gradient and its weight gradient.

use super::{Contract, GradArgs, Op, expect_groups, expect_inputs, expect_nchw, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "conv2d";

/// Grouped 2D convolution, as `torch.nn.functional.conv2d`.
///
/// `y[n,o,h,w] = b[o] + Σ_{c,i,j} x[n, g·C/G + c, h·stride+i−padding, w·stride+j−padding] · w[o,c,i,j]`, g = o/(O/G)
///
/// Inputs: x `[N, C, H, W]`, weight `[O, C/G, K, K']`, optionally bias `[O]`. Output: `[N, O, H', W']` with
/// H' = (H + 2·padding − K)/stride + 1. A grouped linear layer is the case of 1×1 maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Step between outputs, in pixels, at least 1.
    pub stride: usize,
    /// Zeros around the input, in pixels.
    pub padding: usize,
    /// Groups of channels that do not see each other, at least 1.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1 }
    }
}

impl Conv2d {
    /// The output's size along one axis, `None` where the kernel does not fit.
    #[must_use]
    pub fn output_size(&self, input: usize, kernel: usize) -> Option<usize> {
        (input + 2 * self.padding).checked_sub(kernel).map(|room| room / self.stride.max(1) + 1)
    }

    fn flops(&self, output: &Shape, weight: &Shape) -> u64 {
        let per_output: usize = weight.dims()[1..].iter().product();
        2 * output.elements() as u64 * per_output as u64
    }
}

impl Contract for Conv2d {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2, 3])?;
        let [n, c, h, w] = expect_nchw(STEM, "input", inputs[0])?;
        let [o, per_group, kh, kw] = expect_nchw(STEM, "weight", inputs[1])?;
        if self.stride == 0 {
            return Err(shape_error(STEM, "a stride of at least 1", 0, "use 1"));
        }
        expect_groups(STEM, c, self.groups)?;
        expect_groups(STEM, o, self.groups)?;
        if per_group != c / self.groups {
            let expected = format!("weight [O, {}, K, K] for {c} channels in {} groups", c / self.groups, self.groups);
            return Err(shape_error(STEM, expected, inputs[1], "change the weight or the groups"));
        }
        if let Some(bias) = inputs.get(2) {
            expect_shape(STEM, "bias", bias, &[o])?;
        }
        match (self.output_size(h, kh), self.output_size(w, kw)) {
            (Some(height), Some(width)) => Ok(vec![Shape::new(&[n, o, height, width])]),
            _ => Err(shape_error(
                STEM,
                format!("a map of at least {kh}×{kw} with padding {}", self.padding),
                format!("{h}×{w}"),
                "use larger images or fewer layers",
            )),
        }
    }

    fn flops(&self, inputs: &[&Shape], outputs: &[&Shape]) -> u64 {
        self.flops(outputs[0], inputs[1])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let (x, weight) = (args.inputs[0], args.inputs[1]);
        let bias = args.inputs.len() == 3;
        let [_, _, kh, kw] = expect_nchw(STEM, "weight", args.emit.shape(weight))?;
        if args.wanted[1] || (bias && args.wanted[2]) {
            let op = Conv2dGradWeight { conv: *self, kernel: [kh, kw], bias };
            let outputs = args.emit.emit(Op::from(op), &[dy, x])?;
            let weight_shape = args.emit.shape(weight).clone();
            let dw = args.emit.reshape(outputs[0], weight_shape)?;
            args.add(1, dw);
            if bias {
                args.add(2, outputs[1]);
            }
        }
        if args.wanted[0] {
            let [_, _, height, width] = expect_nchw(STEM, "input", args.emit.shape(x))?;
            let op = Conv2dGradInput { conv: *self, size: [height, width] };
            let dx = args.emit.emit(Op::from(op), &[dy, weight])?[0];
            let x_shape = args.emit.shape(x).clone();
            let dx = args.emit.reshape(dx, x_shape)?;
            args.add(0, dx);
        }
        Ok(())
    }
}

/// The gradient of [`Conv2d`] with respect to its input.
///
/// Inputs: dy `[N, O, H', W']`, weight `[O, C/G, K, K']`. Output: dx `[N, C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2dGradInput {
    /// The convolution.
    pub conv: Conv2d,
    /// H and W of the convolution's input.
    pub size: [usize; 2],
}

impl Contract for Conv2dGradInput {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        let [n, o, ..] = expect_nchw(STEM, "output gradient", inputs[0])?;
        let [weight_o, per_group, ..] = expect_nchw(STEM, "weight", inputs[1])?;
        if o != weight_o {
            return Err(shape_error(STEM, format!("an output gradient of {weight_o} channels"), o, "check the weight"));
        }
        let input = Shape::new(&[n, per_group * self.conv.groups, self.size[0], self.size[1]]);
        let output = self.conv.infer(&[&input, inputs[1]])?;
        if inputs[0].nchw() != output[0].nchw() {
            return Err(shape_error(STEM, format!("an output gradient {}", output[0]), inputs[0], "check the sizes"));
        }
        Ok(vec![input])
    }

    fn flops(&self, inputs: &[&Shape], _: &[&Shape]) -> u64 {
        self.conv.flops(inputs[0], inputs[1])
    }
}

/// The gradient of [`Conv2d`] with respect to its weight and bias.
///
/// Inputs: dy `[N, O, H', W']`, x `[N, C, H, W]`. Outputs: dw `[O, C/G, K, K']` and, with `bias`, db `[O]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2dGradWeight {
    /// The convolution.
    pub conv: Conv2d,
    /// K and K' of the weight.
    pub kernel: [usize; 2],
    /// Whether the convolution has a bias.
    pub bias: bool,
}

impl Contract for Conv2dGradWeight {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[2])?;
        let [_, o, ..] = expect_nchw(STEM, "output gradient", inputs[0])?;
        let [_, c, ..] = expect_nchw(STEM, "input", inputs[1])?;
        expect_groups(STEM, c, self.conv.groups)?;
        let weight = Shape::new(&[o, c / self.conv.groups, self.kernel[0], self.kernel[1]]);
        let output = self.conv.infer(&[inputs[1], &weight])?;
        if inputs[0].nchw() != output[0].nchw() {
            return Err(shape_error(STEM, format!("an output gradient {}", output[0]), inputs[0], "check the sizes"));
        }
        Ok(if self.bias { vec![weight, Shape::new(&[o])] } else { vec![weight] })
    }

    fn flops(&self, inputs: &[&Shape], outputs: &[&Shape]) -> u64 {
        self.conv.flops(inputs[0], outputs[0])
    }
}
