//! The circumstances of a picture: pose, light, background, lens and sensor. None of them knows the class.

use super::cover::Cover;
use super::pen::{Colour, Pen, Pose};
use crate::rng::Rng;

/// One picture's circumstances.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) pose: Pose,
    /// Where the eyes look: right and down, in [−1, 1].
    pub(super) gaze: [f32; 2],
    /// Where the light comes from: right and down, in [−1, 1].
    pub(super) light: [f32; 2],
    pub(super) cover: Option<Cover>,
    /// How much brighter the lit side of the picture is than its middle.
    slope: f32,
    exposure: f32,
    contrast: f32,
    gamma: f32,
    cast: [f32; 3],
    /// 1 in colour, 0 black and white.
    colour: f32,
    /// Standard deviation of the lens's blur, as a part of the picture's side.
    blur: f32,
    /// Standard deviation of the sensor's noise.
    noise: f32,
    /// The stream that goes on with the background and the noise.
    rng: Rng,
}

impl Scene {
    /// Draws the circumstances of a picture.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let pose = Pose {
            yaw: bounded(rng, 0.16, 0.34),
            pitch: bounded(rng, 0.10, 0.22),
            roll: bounded(rng, 0.09, 0.24),
            scale: rng.range(0.405, 0.465) as f32,
            centre: [0.5 + bounded(rng, 0.025, 0.055), 0.51 + bounded(rng, 0.025, 0.055)],
        };
        let gaze = [rng.range(-1.0, 1.0) as f32, rng.range(-0.8, 0.8) as f32];
        let angle = rng.range(0.0, std::f64::consts::TAU);
        let light = [angle.cos() as f32, (0.8 * angle.sin() - 0.2) as f32];
        let cover = Self::cover(rng);
        let cast = [rng.range(0.90, 1.08) as f32, rng.range(0.94, 1.04) as f32, rng.range(0.86, 1.10) as f32];
        Self {
            pose,
            gaze,
            light,
            cover,
            slope: rng.range(0.05, 0.42) as f32,
            exposure: rng.range(0.88, 1.20) as f32,
            contrast: rng.range(0.92, 1.22) as f32,
            gamma: rng.range(0.85, 1.2) as f32,
            cast,
            colour: if rng.chance(0.12) { 0.0 } else { rng.range(0.7, 1.1) as f32 },
            blur: rng.range(-0.005, 0.008).max(0.0) as f32,
            noise: rng.range(0.003, 0.021) as f32,
            rng: rng.clone(),
        }
    }

    /// One face in six has something before it.
    fn cover(rng: &mut Rng) -> Option<Cover> {
        let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
        let place = [rng.uniform() as f32, rng.uniform() as f32];
        let colour = any_colour(rng);
        match rng.uniform() {
            p if p < 0.035 => Some(Cover::Hand(side)),
            p if p < 0.07 => Some(Cover::Lock(side)),
            p if p < 0.11 => Some(Cover::Corner(place, colour)),
            p if p < 0.145 => Some(Cover::Caption(place[0], colour)),
            p if p < 0.16 => Some(Cover::Mask),
            _ => None,
        }
    }

    /// Paints what is behind the head: a wall with a gradient, and clutter.
    pub(super) fn background(&self, pen: &mut Pen) {
        let mut rng = self.rng.clone();
        let size = pen.size;
        let wall = any_colour(&mut rng);
        let floor = any_colour(&mut rng).mix(wall, 0.5);
        pen.wall(wall, floor);
        for _ in 0..rng.below(8) {
            let colour = any_colour(&mut rng).mix(wall, 0.4).alpha(rng.range(0.35, 1.0) as f32);
            let mut along = || rng.range(-0.1, 1.1) as f32 * size;
            let (x, y) = (along(), along());
            let reach = rng.range(0.06, 0.35) as f32 * size;
            match rng.below(3) {
                0 => pen.disc([x, y], 0.6 * reach, colour),
                1 => {
                    let high = reach * rng.range(0.3, 2.5) as f32;
                    pen.polygon(&[[x, y], [x + reach, y], [x + reach, y + high], [x, y + high]], colour);
                }
                _ => {
                    let tilt = rng.range(-0.5, 0.5) as f32 * size;
                    let wide = 0.3 * reach;
                    pen.polygon(&[[x, 0.0], [x + wide, 0.0], [x + wide + tilt, size], [x + tilt, size]], colour);
                }
            }
        }
    }

    /// Lights, blurs and digitises the drawing: RGB bytes, row by row.
    pub(super) fn photograph(&self, pen: &Pen) -> Vec<u8> {
        let side = pen.size as usize;
        let mut pixels: Vec<f32> = pen
            .pixmap
            .pixels()
            .iter()
            .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
            .map(|value| f32::from(value) / 255.0)
            .collect();
        let sigma = self.blur * pen.size;
        if sigma > 0.15 {
            blur(&mut pixels, side, sigma);
        }
        let mut rng = self.rng.clone();
        let (centre, unit) = (0.5 * pen.size, 2.0 / pen.size);
        let mut bytes = Vec::with_capacity(pixels.len());
        for (index, pixel) in pixels.chunks_exact(3).enumerate() {
            let (x, y) = ((index % side) as f32 + 0.5 - centre, (index / side) as f32 + 0.5 - centre);
            let light = self.exposure * (1.0 + self.slope * unit * (x * self.light[0] + y * self.light[1]));
            let grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
            // One draw is enough for the three channels' noise: a triangle of two 10-bit numbers each.
            let bits = rng.next_u64();
            for (channel, (value, cast)) in pixel.iter().zip(self.cast).enumerate() {
                let value = grey + (value - grey) * self.colour;
                let cast = 1.0 + (cast - 1.0) * self.colour.min(1.0);
                let lit = (value * light * cast).max(0.0);
                // A cheap stand-in for lit^gamma, exact at 0 and 1.
                let toned = lit + (self.gamma - 1.0) * lit * (lit - 1.0).min(0.0);
                let (a, b) = ((bits >> (20 * channel)) & 1023, (bits >> (20 * channel + 10)) & 1023);
                let noise = (a as f32 + b as f32 - 1023.0) * (2.45 / 1023.0) * self.noise;
                let seen = 0.5 + (toned - 0.5) * self.contrast + noise;
                bytes.push((seen.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
            }
        }
        bytes
    }
}

/// Normal with the given deviation, cut off at ±limit.
fn bounded(rng: &mut Rng, deviation: f64, limit: f64) -> f32 {
    (rng.normal() * deviation).clamp(-limit, limit) as f32
}

/// Any colour, none of them shrill.
fn any_colour(rng: &mut Rng) -> Colour {
    let grey = rng.range(0.15, 0.88) as f32;
    let mut tint = || rng.range(-0.13, 0.13) as f32;
    Colour { rgb: [grey + tint(), grey + tint(), grey + tint()].map(|value| value.clamp(0.0, 1.0)), alpha: 1.0 }
}

/// A Gaussian over rows, then columns; the edge pixels are repeated.
fn blur(pixels: &mut [f32], side: usize, sigma: f32) {
    let reach = (2.5 * sigma).ceil() as usize;
    let mut weights: Vec<f32> = (0..=reach).map(|step| (-0.5 * (step as f32 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    weights.iter_mut().for_each(|weight| *weight /= total);
    let mut line = vec![0.0; side + 2 * reach];
    for (stride, step) in [(3, 3 * side), (3 * side, 3)] {
        for row in 0..side {
            for channel in 0..3 {
                let first = row * step + channel;
                for (place, value) in line.iter_mut().enumerate() {
                    *value = pixels[first + place.saturating_sub(reach).min(side - 1) * stride];
                }
                for place in 0..side {
                    let middle = place + reach;
                    let sides = weights
                        .iter()
                        .enumerate()
                        .skip(1)
                        .map(|(k, weight)| weight * (line[middle - k] + line[middle + k]));
                    pixels[first + place * stride] = weights[0] * line[middle] + sides.sum::<f32>();
                }
            }
        }
    }
}
