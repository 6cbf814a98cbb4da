//! From a u8 image to the f32 planes that a network reads, in one bilinear resample.

use super::{Augment, Image};
use crate::rng::Rng;

/// The order of the colour planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red: what weights trained through OpenCV expect.
    Bgr,
}

/// Per-channel normalisation, `(x − mean) / std`, of pixels in [0, 1]; both in the order red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Normalise {
    /// Subtracted first.
    pub mean: [f32; 3],
    /// Divided by.
    pub std: [f32; 3],
}

impl Normalise {
    /// ImageNet's statistics, which RAF-DB's recipe uses.
    #[must_use]
    pub const fn imagenet() -> Self {
        Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

/// How images become a network's input [3, size, size]: pixels in [0, 1], normalised if asked for, grey images
/// replicated to three planes.
///
/// Coordinates have half-pixel centres, as `F.interpolate(mode="bilinear", align_corners=False)`; the aspect
/// ratio is not kept. One departure: a source at least twice as large as `size` is first averaged over f×f
/// blocks, f = ⌊min(width, height) / size⌋, so that large photographs do not alias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    /// Rows and columns of the result.
    pub size: usize,
    /// Applied last but for the order of the planes; none leaves pixels in [0, 1].
    pub normalise: Option<Normalise>,
    /// The order of the planes.
    pub order: ColourOrder,
}

impl Transform {
    /// The evaluation transform: resized, nothing random. `out` has 3 · size · size elements.
    pub fn evaluate(&self, image: &Image, out: &mut [f32]) {
        self.resample(&Planes::of(image, self.size), &Warp::identity(), out);
        self.finish(out);
    }

    /// The training transform: one random draw of `augment`. `out` has 3 · size · size elements.
    pub fn augmented(&self, image: &Image, augment: &Augment, rng: &mut Rng, out: &mut [f32]) {
        let mut planes = Planes::of(image, self.size);
        augment.recolour(&mut planes, rng);
        self.resample(&planes, &augment.warp(self.size, rng), out);
        self.finish(out);
        augment.erase(self.size, rng, out);
    }

    /// Fills `out` with [3, size, size] of red, green, blue in [0, 1].
    ///
    /// Outside of the resized picture lies black, blended over one pixel as torch's
    /// `grid_sample(padding_mode="zeros")` does.
    fn resample(&self, source: &Planes, warp: &Warp, out: &mut [f32]) {
        let size = self.size;
        let area = size * size;
        let (width, height) = (source.width, source.height);
        let (per_x, per_y) = (width as f32 / size as f32, height as f32 / size as f32);
        let plane = width * height;
        for (y, row) in (0..size).zip((0..area).step_by(size)) {
            for x in 0..size {
                // Where this pixel's centre lies in the resized, not yet warped picture.
                let (u, v) = warp.apply(x as f32 + 0.5, y as f32 + 0.5);
                let cover = overlap(u, size) * overlap(v, size);
                if cover <= 0.0 {
                    (0..3).for_each(|channel| out[channel * area + row + x] = 0.0);
                    continue;
                }
                let (left, right, dx) = neighbours(u * per_x, width);
                let (top, bottom, dy) = neighbours(v * per_y, height);
                for channel in 0..source.channels {
                    let pixels = &source.values[channel * plane..][..plane];
                    let above = lerp(pixels[top * width + left], pixels[top * width + right], dx);
                    let below = lerp(pixels[bottom * width + left], pixels[bottom * width + right], dx);
                    out[channel * area + row + x] = cover * lerp(above, below, dy);
                }
            }
        }
        if source.channels == 1 {
            let (grey, others) = out.split_at_mut(area);
            others.chunks_exact_mut(area).for_each(|other| other.copy_from_slice(grey));
        }
    }

    /// Normalises and orders the planes.
    fn finish(&self, out: &mut [f32]) {
        let area = self.size * self.size;
        if let Some(Normalise { mean, std }) = self.normalise {
            for ((plane, mean), std) in out.chunks_exact_mut(area).zip(mean).zip(std) {
                plane.iter_mut().for_each(|value| *value = (*value - mean) / std);
            }
        }
        if self.order == ColourOrder::Bgr {
            let (first, rest) = out.split_at_mut(area);
            first.swap_with_slice(&mut rest[area..2 * area]);
        }
    }
}

/// How much of a pixel centred at `u` lies on a picture of `size` pixels, with a tent one pixel wide at its edge.
fn overlap(u: f32, size: usize) -> f32 {
    (u + 0.5).min(size as f32 + 0.5 - u).clamp(0.0, 1.0)
}

/// The two pixels around position `u` (in pixels, half-pixel centres, the edge repeated) and the second's weight.
fn neighbours(u: f32, count: usize) -> (usize, usize, f32) {
    let at = (u - 0.5).clamp(0.0, (count - 1) as f32);
    let low = at as usize;
    (low, (low + 1).min(count - 1), at - low as f32)
}

fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// An image as f32 planes in [0, 1]: [channels, height, width], channels 1 or 3.
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

impl Planes {
    /// The image, averaged over blocks where it is at least twice `size`.
    fn of(image: &Image, size: usize) -> Self {
        let &Image { width, height, channels, .. } = image;
        let factor = (width.min(height) / size.max(1)).max(1);
        let (columns, rows) = (width / factor, height / factor);
        let mut values = vec![0.0; columns * rows * channels];
        let scale = 1.0 / (255.0 * (factor * factor) as f32);
        for channel in 0..channels {
            for row in 0..rows {
                for column in 0..columns {
                    let mut sum = 0u32;
                    for y in row * factor..(row + 1) * factor {
                        for x in column * factor..(column + 1) * factor {
                            sum += u32::from(image.pixels[(y * width + x) * channels + channel]);
                        }
                    }
                    values[(channel * rows + row) * columns + column] = sum as f32 * scale;
                }
            }
        }
        Self { width: columns, height: rows, channels, values }
    }
}

/// An affine map from the result's pixels back to the resized picture's, both with half-pixel centres:
/// `u = a·x + b·y + c`, `v = d·x + e·y + f`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Warp(pub(super) [f32; 6]);

impl Warp {
    pub(super) const fn identity() -> Self {
        Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    }

    fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        let [a, b, c, d, e, f] = self.0;
        (a * x + b * y + c, d * x + e * y + f)
    }

    /// First `other`, then `self`.
    pub(super) fn after(&self, other: &Self) -> Self {
        let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (self.0, other.0);
        Self([a * g + b * j, a * h + b * k, a * i + b * l + c, d * g + e * j, d * h + e * k, d * i + e * l + f])
    }
}
