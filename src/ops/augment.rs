//! A batch of training images out of a pool that stays on the device.

use super::{Contract, expect_inputs, expect_shape, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "augment";

/// The most tensors that a pool is split into: with the records and the batch, all that a shader may bind.
pub const MAX_RANGES: usize = 6;

/// Elements to which an image's start is aligned, so that f32 holds it exactly in these units.
pub const ALIGNMENT: usize = 64;

/// The numbers of a [`Record`].
pub const RECORD: usize = 27;

/// Takes N images out of a pool, each varied in colour and geometry, and mixes pairs of them.
///
/// **The pool** is R tensors `[E]`. An element holds three bytes of an image, `b₀ + 256·b₁ + 65536·b₂`: a whole number
/// below 2²⁴, which f32 holds exactly; so an element is a pixel where an image has three channels, three pixels
/// where it is grey. An image lies whole in one tensor, its bytes row-major and interleaved [h, w, channels].
///
/// **One image** of a record. Its bytes, averaged over blocks of f×f pixels and divided by 255, are a picture of
/// W×H = ⌊w/f⌋×⌊h/f⌋ pixels p; a grey pixel counts as three equal channels. Three times each pixel becomes
/// `p ← clamp(a·p + (b·grey(p) + c), 0, 1)`, with `grey(p) = 0.2989·p₀ + 0.587·p₁ + 0.114·p₂` and (a, b, c) of the
/// record. Column x and row y of the result lie at `u = m₀(x+½) + m₁(y+½) + m₂`, `v = m₃(x+½) + m₄(y+½) + m₅` of the
/// picture stretched to S×S; with `X = clamp(u·W/S − ½, 0, W−1)` and Y alike, the value is the bilinear interpolation
/// of p at (X, Y), the last pixel repeated, times `t(u)·t(v)`, `t(u) = clamp(min(u + ½, S + ½ − u), 0, 1)`: black
/// outside. Then it is normalised, `(value − mean) / std` for each channel, and 0 in the erased rectangle.
///
/// **The result** is `λ·image(record i) + (1 − λ)·image(record partner)`, the first alone where λ is 1, and 0 where
/// w is 0.
///
/// Inputs: records `[N, 27]`, then 1 to 6 tensors of the pool. Output: `[N, 3, S, S]`. No gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augment {
    /// S, rows and columns of the result.
    pub size: usize,
    /// Subtracted from red, green, blue in [0, 1].
    pub mean: [f32; 3],
    /// Divided by.
    pub std: [f32; 3],
    /// The planes come as blue, green, red.
    pub bgr: bool,
}

/// What becomes of one image: a row of the records, each field as many f32 numbers, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// Which tensor of the pool holds the image.
    pub range: usize,
    /// Its first element there, divided by [`ALIGNMENT`].
    pub start: usize,
    /// w and h, the image's pixels.
    pub sides: [usize; 2],
    /// 1 or 3.
    pub channels: usize,
    /// f, the side of the blocks that are averaged.
    pub block: usize,
    /// m, from the result's pixels to those of the picture stretched to S×S.
    pub warp: [f32; 6],
    /// (a, b, c) of the three changes of colour, in order.
    pub colours: [[f32; 3]; 3],
    /// Top, left, bottom, right of the erased rectangle, the last two excluded.
    pub erased: [usize; 4],
    /// The record of the other image.
    pub partner: usize,
    /// λ, the share of this one.
    pub share: f32,
}

impl Record {
    /// The row of the records.
    #[must_use]
    pub fn numbers(&self) -> [f32; RECORD] {
        let [width, height] = self.sides;
        let head = [self.range, self.start, width, height, self.channels, self.block].map(|number| number as f32);
        let mut row = [0.0; RECORD];
        row[..6].copy_from_slice(&head);
        row[6..12].copy_from_slice(&self.warp);
        row[12..21].copy_from_slice(self.colours.as_flattened());
        row[21..25].copy_from_slice(&self.erased.map(|number| number as f32));
        row[25..].copy_from_slice(&[self.partner as f32, self.share]);
        row
    }
}

/// Bytes as elements of a pool.
pub fn packed(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks(3).map(|three| {
        let number = three.iter().rev().fold(0, |number, &byte| (number << 8) | u32::from(byte));
        number as f32
    })
}

impl Contract for Augment {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &std::array::from_fn::<_, MAX_RANGES, _>(|ranges| 2 + ranges))?;
        let n = inputs[0].dims()[0];
        expect_shape(STEM, "records", inputs[0], &[n, RECORD])?;
        if self.size == 0 {
            return Err(shape_error(STEM, "images of at least one pixel", 0, "choose a size"));
        }
        Ok(vec![Shape::new(&[n, 3, self.size, self.size])])
    }

    /// Positions and weights, two interpolations in three channels, the changes of colour of four pixels.
    fn flops(&self, _: &[&Shape], outputs: &[&Shape]) -> u64 {
        (outputs[0].elements() / 3) as u64 * (24 + 3 * 12 + 4 * 3 * 14)
    }

    /// Of the pool about as many pixels are read as are written, an element each.
    fn bytes(&self, inputs: &[&Shape], outputs: &[&Shape], _: &[&Shape]) -> u64 {
        4 * (inputs[0].elements() + outputs[0].elements() + outputs[0].elements() / 3) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_holds_three_bytes_exactly() {
        let elements: Vec<f32> = packed(&[1, 2, 3, 255, 255, 255, 7]).collect();
        assert_eq!(elements, [197_121.0, 16_777_215.0, 7.0]);
    }
}
