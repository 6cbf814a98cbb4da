//! From a u8 image to the f32 planes that a network reads, in one bilinear resample.

use super::{Augment, Image};
use crate::{
    Error, Result,
    checkpoint::{ColourOrder, Normalisation},
    rng::Rng,
};

/// How images become a network's input `[3, size, size]`: pixels in [0, 1], normalised if asked for, grey images
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
    pub normalise: Option<Normalisation>,
    /// The order of the planes.
    pub order: ColourOrder,
}

impl Transform {
    /// The evaluation transform: resized, nothing random. `out` has 3 · size · size elements.
    ///
    /// # Errors
    /// [`Error::Data`] if the image's bytes do not fit its size, [`Error::Shape`] if `out` does not fit.
    pub fn evaluate(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        self.check(image, out)?;
        self.resample(&Pixels::of(image, self.size), &Warp::identity(), Outside::Black, out);
        self.finish(out);
        Ok(())
    }

    /// The training transform: one random draw of `augment`. `out` has 3 · size · size elements.
    ///
    /// # Errors
    /// As [`Transform::evaluate`].
    pub fn augmented(&self, image: &Image, augment: &Augment, rng: &mut Rng, out: &mut [f32]) -> Result<()> {
        self.check(image, out)?;
        let draw = augment.draw(self.size, rng);
        let mut pixels = draw.pixels(image, self.size)?;
        draw.colours.into_iter().for_each(|colour| colour.apply(&mut pixels));
        self.resample(&pixels, &draw.warp, draw.outside, out);
        self.finish(out);
        draw.erase(self.size, out);
        Ok(())
    }

    fn check(&self, image: &Image, out: &[f32]) -> Result<()> {
        image.check().map_err(|(expected, found)| Error::Data {
            what: "the image to transform".into(),
            expected,
            found,
            hint: "load it again".into(),
        })?;
        let expected = 3 * self.size * self.size;
        if self.size > 0 && out.len() == expected {
            return Ok(());
        }
        Err(Error::Shape {
            op: "transform",
            expected: format!("room for {expected} elements, at least 3"),
            found: out.len().to_string(),
            hint: "make the slice 3 · size · size long".into(),
        })
    }

    /// Fills `out` with `[3, size, size]` of red, green, blue in [0, 1].
    ///
    /// Where black lies outside of the resized picture, it is blended over one pixel as torch's
    /// `grid_sample(padding_mode="zeros")` does.
    fn resample(&self, source: &Pixels, warp: &Warp, outside: Outside, out: &mut [f32]) {
        let size = self.size;
        let (width, height) = (source.width, source.height);
        let (per_x, per_y) = (width as f32 / size as f32, height as f32 / size as f32);
        let (red, others) = out.split_at_mut(size * size);
        let (green, blue) = others.split_at_mut(size * size);
        let rows = red.chunks_exact_mut(size).zip(green.chunks_exact_mut(size)).zip(blue.chunks_exact_mut(size));
        for (y, ((red, green), blue)) in rows.enumerate() {
            let runs = red.chunks_mut(RUN).zip(green.chunks_mut(RUN)).zip(blue.chunks_mut(RUN));
            for (first, ((red, green), blue)) in (0..size).step_by(RUN).zip(runs) {
                // Where the pixels' centres lie in the resized, not yet warped picture.
                let (mut u, mut v, mut cover) = ([0.0; RUN], [0.0; RUN], [0.0; RUN]);
                for i in 0..RUN {
                    (u[i], v[i]) = warp.apply((first + i) as f32 + 0.5, y as f32 + 0.5);
                    cover[i] = match outside {
                        Outside::Black => overlap(u[i], size) * overlap(v[i], size),
                        Outside::Border => 1.0,
                    };
                }
                let (columns, lines) = (Neighbours::of(&u, per_x, width), Neighbours::of(&v, per_y, height));
                for (i, ((red, green), blue)) in red.iter_mut().zip(green).zip(blue).enumerate() {
                    if cover[i] <= 0.0 {
                        (*red, *green, *blue) = (0.0, 0.0, 0.0);
                        continue;
                    }
                    let (left, right) = (columns.low[i] as usize, columns.high[i] as usize);
                    let at = |line: i32, column: usize| source.values[line as usize * width + column];
                    let above = lerp(at(lines.low[i], left), at(lines.low[i], right), columns.weight[i]);
                    let below = lerp(at(lines.high[i], left), at(lines.high[i], right), columns.weight[i]);
                    let [r, g, b, _] = lerp(above, below, lines.weight[i]).map(|value| cover[i] * value);
                    (*red, *green, *blue) = (r, g, b);
                }
            }
        }
    }

    /// Normalises and orders the planes.
    fn finish(&self, out: &mut [f32]) {
        let area = self.size * self.size;
        if let Some(Normalisation { mean, std }) = self.normalise {
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

/// What lies around a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// Black.
    Black,
    /// The nearest pixel of its border, again and again.
    Border,
}

/// How much of a pixel centred at `u` lies on a picture of `size` pixels, with a tent one pixel wide at its edge.
fn overlap(u: f32, size: usize) -> f32 {
    (u + 0.5).min(size as f32 + 0.5 - u).clamp(0.0, 1.0)
}

/// Pixels of a row whose places are computed together, in vectors.
const RUN: usize = 16;

/// Along one axis, the two pixels around each of some positions and the second's weight.
struct Neighbours {
    low: [i32; RUN],
    high: [i32; RUN],
    weight: [f32; RUN],
}

impl Neighbours {
    /// Around the positions `per·u` among `count` pixels with half-pixel centres, the edge repeated.
    fn of(u: &[f32; RUN], per: f32, count: usize) -> Self {
        let last = count as i32 - 1;
        let mut all = Self { low: [0; RUN], high: [0; RUN], weight: [0.0; RUN] };
        for i in 0..RUN {
            let at = (u[i] * per - 0.5).clamp(0.0, last as f32);
            all.low[i] = at as i32;
            all.high[i] = (all.low[i] + 1).min(last);
            all.weight[i] = at - all.low[i] as f32;
        }
        all
    }
}

fn lerp(a: [f32; 4], b: [f32; 4], t: f32) -> [f32; 4] {
    std::array::from_fn(|lane| a[lane] + (b[lane] - a[lane]) * t)
}

/// An image as f32 in [0, 1], row-major: a pixel's red, green and blue beside each other, with a fourth lane that
/// nobody looks at, so that one vector holds a pixel. Grey has its value in all lanes.
pub(super) struct Pixels {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) grey: bool,
    pub(super) values: Vec<[f32; 4]>,
}

impl Pixels {
    /// The image, averaged over blocks where it is at least twice `size`.
    pub(super) fn of(image: &Image, size: usize) -> Self {
        let &Image { width, height, channels, .. } = image;
        let factor = block(image, size);
        let scale = 1.0 / (255.0 * (factor * factor) as f32);
        let grey = channels == 1;
        let values = match (factor, grey) {
            (1, true) => image.pixels.iter().map(|&value| Self::grey(value, scale)).collect(),
            (1, false) => image.pixels.chunks_exact(3).map(|pixel| Self::colour(pixel, scale)).collect(),
            _ => averaged(image, factor, scale),
        };
        Self { width: width / factor, height: height / factor, grey, values }
    }

    pub(super) fn grey(value: u8, scale: f32) -> [f32; 4] {
        [f32::from(value) * scale; 4]
    }

    pub(super) fn colour(pixel: &[u8], scale: f32) -> [f32; 4] {
        std::array::from_fn(|lane| f32::from(pixel[lane.min(2)]) * scale)
    }
}

/// The image averaged over blocks where it is at least twice `size`, in bytes.
#[cfg(feature = "cli")]
pub(super) fn reduced(image: &Image, size: usize) -> Image {
    let factor = block(image, size);
    if factor == 1 {
        return image.clone();
    }
    let values = averaged(image, factor, 1.0 / (factor * factor) as f32);
    let channels = image.channels;
    let pixels = values.iter().flat_map(|value| value[..channels].iter().map(|value| value.round() as u8)).collect();
    Image { width: image.width / factor, height: image.height / factor, channels, pixels }
}

/// The side of the blocks that an image is averaged over before it is resized to `size`.
pub(super) fn block(image: &Image, size: usize) -> usize {
    (image.width.min(image.height) / size.max(1)).max(1)
}

/// The means over blocks of `factor`² pixels; what is left over at the right and at the bottom is left out.
fn averaged(image: &Image, factor: usize, scale: f32) -> Vec<[f32; 4]> {
    let &Image { width, height, channels, .. } = image;
    let (columns, rows) = (width / factor, height / factor);
    let mut values = Vec::with_capacity(columns * rows);
    for row in 0..rows {
        for column in 0..columns {
            let mut sum = [0_u32; 4];
            for y in row * factor..(row + 1) * factor {
                let line = &image.pixels[(y * width + column * factor) * channels..][..factor * channels];
                for pixel in line.chunks_exact(channels) {
                    (0..4).for_each(|lane| sum[lane] += u32::from(pixel[lane.min(channels - 1)]));
                }
            }
            values.push(sum.map(|sum| sum as f32 * scale));
        }
    }
    values
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

    /// The inverse of torchvision's `RandomAffine`: the picture is turned clockwise by `angle` (radians) and
    /// enlarged by `scale` about its centre, then moved by `shift` pixels.
    pub(super) fn affine(size: usize, angle: f64, scale: f64, shift: [f32; 2]) -> Self {
        let (sin, cos) = ((angle.sin() / scale) as f32, (angle.cos() / scale) as f32);
        let centre = size as f32 / 2.0;
        // p ↦ R⁻¹(p − centre − shift) / scale + centre
        let (x, y) = (centre + shift[0], centre + shift[1]);
        Self([cos, sin, centre - cos * x - sin * y, -sin, cos, centre + sin * x - cos * y])
    }

    /// First `other`, then `self`.
    pub(super) fn after(&self, other: &Self) -> Self {
        let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (self.0, other.0);
        Self([a * g + b * j, a * h + b * k, a * i + b * l + c, d * g + e * j, d * h + e * k, d * i + e * l + f])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey picture without symmetries.
    fn picture(width: usize, height: usize) -> Image {
        let value = |y: usize, x: usize| ((37 * (y * width + x) + 11 * x * y) % 256) as u8;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| value(y, x))).collect();
        Image { width, height, channels: 1, pixels }
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        for (index, (a, e)) in found.iter().zip(expected).enumerate() {
            assert!((a - e).abs() < 2e-6, "element {index}: {a} instead of {e}");
        }
    }

    fn plain(size: usize) -> Transform {
        Transform { size, normalise: None, order: ColourOrder::Rgb }
    }

    #[test]
    fn evaluate_matches_torch_interpolate() {
        // F.interpolate(x, (4, 4), mode="bilinear", align_corners=False) in float64
        let expected = [
            0.057904, 0.321262, 0.58462, 0.769547, 0.092831, 0.450551, 0.808272, 0.397365, 0.127757, 0.579841,
            0.482904, 0.480086, 0.162684, 0.70913, 0.377145, 0.7981,
        ];
        let mut out = [f32::NAN; 48];
        plain(4).evaluate(&picture(7, 5), &mut out).expect("a good image");
        for plane in out.chunks_exact(16) {
            assert_close(plane, &expected);
        }
    }

    #[test]
    fn affine_matches_torchvision() {
        // torchvision's matrix for angle 25, translate (1, −2), scale 1.2, through affine_grid and
        // grid_sample(mode="bilinear", padding_mode="zeros", align_corners=False) in float64
        let expected = [
            0.378764, 0.72322, 0.767728, 0.222842, 0.359297, 0.526734, 0.466427, 0.744911, 0.455111, 0.229114,
            0.438755, 0.625447, 0.49181, 0.648868, 0.165442, 0.312264, 0.54116, 0.730183, 0.228737, 0.278968, 0.147262,
            0.418362, 0.666513, 0.448582, 0.0, 0.0, 0.08907, 0.37004, 0.704118, 0.190359, 0.0, 0.0, 0.0, 0.0, 0.132907,
            0.065673,
        ];
        let mut out = [f32::NAN; 108];
        let warp = Warp::affine(6, 25f64.to_radians(), 1.2, [1.0, -2.0]);
        plain(6).resample(&Pixels::of(&picture(6, 6), 6), &warp, Outside::Black, &mut out);
        assert_close(&out[..36], &expected);
    }

    /// [`Transform::resample`] of one pixel of one channel of values in 0..=255, written out.
    fn one_pixel(image: &Image, channel: usize, warp: &Warp, size: usize, [x, y]: [usize; 2]) -> f32 {
        let (u, v) = warp.apply(x as f32 + 0.5, y as f32 + 0.5);
        let inside = |u: f32| (u + 0.5).min(size as f32 + 0.5 - u).clamp(0.0, 1.0);
        let cover = inside(u) * inside(v);
        if cover <= 0.0 {
            return 0.0;
        }
        let at = |u: f32, count: usize| (u * (count as f32 / size as f32) - 0.5).clamp(0.0, count as f32 - 1.0);
        let (at_x, at_y) = (at(u, image.width), at(v, image.height));
        let value = |x: usize, y: usize| {
            let (x, y) = (x.min(image.width - 1), y.min(image.height - 1));
            f32::from(image.pixels[(y * image.width + x) * image.channels + channel]) * (1.0 / 255.0)
        };
        let (left, top) = (at_x as usize, at_y as usize);
        let between = |a: f32, b: f32, t: f32| a + (b - a) * t;
        let along = |y: usize| between(value(left, y), value(left + 1, y), at_x - left as f32);
        cover * between(along(top), along(top + 1), at_y - top as f32)
    }

    #[test]
    fn pixels_in_runs_have_the_bits_of_pixels_one_by_one() {
        let pixels: Vec<u8> = (0..3 * 23 * 19).map(|i| ((i * i + 31 * i) % 256) as u8).collect();
        let colour = Image { width: 23, height: 19, channels: 3, pixels };
        let warp = Warp::affine(37, 0.6, 0.8, [3.0, -5.0]);
        for image in [colour, picture(30, 25)] {
            // 37 leaves a rest behind the last whole run.
            let mut out = [f32::NAN; 3 * 37 * 37];
            plain(37).resample(&Pixels::of(&image, 37), &warp, Outside::Black, &mut out);
            for (i, found) in out.iter().enumerate() {
                let (channel, y, x) = (i / (37 * 37), i / 37 % 37, i % 37);
                let expected = one_pixel(&image, channel.min(image.channels - 1), &warp, 37, [x, y]);
                assert_eq!(found.to_bits(), expected.to_bits(), "{found} instead of {expected} at {channel} {y} {x}");
            }
        }
    }

    #[test]
    fn after_applies_the_other_map_first() {
        let (turn, shift) = (Warp::affine(8, 0.7, 1.1, [2.0, 0.0]), Warp([1.0, 0.0, 3.0, 0.0, 1.0, -1.0]));
        let (u, v) = shift.apply(2.0, 5.0);
        let (found, expected) = (turn.after(&shift).apply(2.0, 5.0), turn.apply(u, v));
        assert_close(&[found.0, found.1], &[expected.0, expected.1]);
        assert_ne!(turn.after(&shift), shift.after(&turn));
    }

    #[test]
    fn large_sources_are_averaged_over_blocks_first() {
        // A checkerboard of single pixels: plain bilinear sampling at 1/3 would keep it black and white.
        let pixels = (0..24 * 24).map(|i| if (i / 24 + i % 24) % 2 == 0 { 255 } else { 0 }).collect();
        let mut out = [f32::NAN; 192];
        let board = Image { width: 24, height: 24, channels: 1, pixels };
        plain(8).evaluate(&board, &mut out).expect("a good image");
        assert!(out.iter().all(|value| (0.4..0.6).contains(value)), "{out:?}");
    }

    #[test]
    fn normalisation_precedes_the_order_of_the_planes() {
        let image = Image { width: 1, height: 1, channels: 3, pixels: vec![255, 51, 0] };
        let normalise = Some(Normalisation { mean: [0.5, 0.1, 0.0], std: [0.5, 0.1, 1.0] });
        let mut out = [f32::NAN; 3];
        let mut transform = Transform { size: 1, normalise, order: ColourOrder::Rgb };
        transform.evaluate(&image, &mut out).expect("a good image");
        assert_close(&out, &[1.0, 1.0, 0.0]);
        transform.order = ColourOrder::Bgr;
        transform.evaluate(&image, &mut out).expect("a good image");
        assert_close(&out, &[0.0, 1.0, 1.0]);
    }
}
