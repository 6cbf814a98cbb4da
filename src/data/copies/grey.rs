//! What of a picture is compared: a grey version of 32×32 pixels, and 64 numbers that tell most pairs apart.

use std::f64::consts::PI;
use std::sync::LazyLock;

use super::super::Image;

/// S, the rows and columns of the grey versions.
const SIDE: usize = 32;
const AREA: usize = SIDE * SIDE;

/// The least standard deviation, in grey levels of 255: below it a picture is as good as flat, its correlation with
/// another one is that of noise.
const LEAST_DEVIATION: i64 = 2;

/// The grey version: means over the cells of a 32×32 grid that lies over the whole picture.
#[derive(Debug, Clone)]
pub(super) struct Grey {
    pixels: [u8; AREA],
    sum: i64,
    /// S²·Σp² − (Σp)², S⁴ times the variance.
    spread: i64,
}

impl Grey {
    /// None for a picture without contrast.
    pub(super) fn of(image: &Image) -> Option<Self> {
        let Image { width, height, channels, .. } = *image;
        let (columns, rows) = (Cells::of(width), Cells::of(height));
        let mut means = [0.0; AREA];
        let mut line = vec![0.0; width];
        for (y, pixels) in image.pixels.chunks_exact(width * channels).enumerate() {
            for (grey, pixel) in line.iter_mut().zip(pixels.chunks_exact(channels)) {
                *grey = match pixel {
                    // The luma of ITU-R BT.601, which JPEG stores.
                    &[red, green, blue] => 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue),
                    _ => f32::from(pixel[0]),
                };
            }
            let mut cells = [0.0; SIDE];
            for (x, grey) in line.iter().enumerate() {
                columns.shares(x).for_each(|(cell, share)| cells[cell] += share * grey);
            }
            for (cell, share) in rows.shares(y) {
                let means = &mut means[cell * SIDE..][..SIDE];
                means.iter_mut().zip(&cells).for_each(|(mean, cell)| *mean += share * cell);
            }
        }
        let pixels = means.map(|mean| mean.round() as u8);
        let sum = pixels.iter().map(|&pixel| i64::from(pixel)).sum();
        let spread = AREA as i64 * product(&pixels, &pixels) - sum * sum;
        let least = (AREA as i64 * LEAST_DEVIATION).pow(2);
        (spread >= least).then_some(Self { pixels, sum, spread })
    }

    /// Left and right exchanged.
    pub(super) fn mirrored(&self) -> Self {
        let mut mirrored = self.clone();
        mirrored.pixels.chunks_exact_mut(SIDE).for_each(<[u8]>::reverse);
        mirrored
    }

    /// Pearson's correlation of the pixels, −1 to 1; computed from whole numbers, so that equal versions give 1.
    pub(super) fn correlation(&self, other: &Self) -> f64 {
        let common = AREA as i64 * product(&self.pixels, &other.pixels) - self.sum * other.sum;
        common as f64 / (self.spread as f64 * other.spread as f64).sqrt()
    }
}

fn product(a: &[u8; AREA], b: &[u8; AREA]) -> i64 {
    i64::from(a.iter().zip(b).map(|(&a, &b)| u32::from(a) * u32::from(b)).sum::<u32>())
}

/// How the pixels along one axis are divided among the cells.
struct Cells {
    /// Cells per pixel.
    scale: f64,
}

impl Cells {
    fn of(count: usize) -> Self {
        Self { scale: SIDE as f64 / count as f64 }
    }

    /// The cells that a pixel touches, and the part of each that it covers.
    fn shares(&self, pixel: usize) -> impl Iterator<Item = (usize, f32)> {
        let (start, end) = (pixel as f64 * self.scale, (pixel + 1) as f64 * self.scale);
        (start as usize..SIDE.min(end.ceil() as usize)).map(move |cell| {
            let covered = end.min((cell + 1) as f64) - start.max(cell as f64);
            (cell, covered.max(0.0) as f32)
        })
    }
}

/// Waves per axis.
const WAVES: usize = 8;
/// How many numbers describe a picture.
pub(super) const LENGTH: usize = WAVES * WAVES;

/// A picture's lowest frequencies, of the cosine transform of its grey version after that was shifted to mean 0 and
/// scaled to length 1; in place of the mean, the length of all that the other frequencies hold.
///
/// For two pictures of correlation r the squared distance of the whole transforms is 2 − 2r, and that of the
/// descriptors is no larger: the transform keeps lengths, and two lengths differ by no more than the distance of
/// what they measure. So no pair of a given correlation is further apart than that.
pub(super) type Descriptor = [f32; LENGTH];

/// φ_u(x), an orthonormal basis: row u, column x.
static BASIS: LazyLock<[[f64; SIDE]; WAVES]> = LazyLock::new(|| {
    let norm = |u: usize| (if u == 0 { 1.0 } else { 2.0 } / SIDE as f64).sqrt();
    let wave = |u: usize, x: usize| norm(u) * (PI * (2 * x + 1) as f64 * u as f64 / (2 * SIDE) as f64).cos();
    std::array::from_fn(|u| std::array::from_fn(|x| wave(u, x)))
});

impl Grey {
    pub(super) fn descriptor(&self) -> Descriptor {
        let length = (self.spread as f64 / AREA as f64).sqrt();
        let mut waves = [[0.0; WAVES]; WAVES];
        for (y, line) in self.pixels.chunks_exact(SIDE).enumerate() {
            let along = |basis: &[f64; SIDE]| basis.iter().zip(line).map(|(b, &p)| b * f64::from(p)).sum::<f64>();
            let across: [f64; WAVES] = std::array::from_fn(|u| along(&BASIS[u]));
            for (waves, basis) in waves.iter_mut().zip(&*BASIS) {
                waves.iter_mut().zip(&across).for_each(|(wave, across)| *wave += basis[y] * across / length);
            }
        }
        waves[0][0] = 0.0;
        let kept: f64 = waves.as_flattened().iter().map(|wave| wave * wave).sum();
        waves[0][0] = (1.0 - kept).max(0.0).sqrt();
        std::array::from_fn(|at| waves[at / WAVES][at % WAVES] as f32)
    }
}

/// The descriptor of the mirrored picture: mirroring changes the sign of each wave that is odd along x.
pub(super) fn mirrored(descriptor: &Descriptor) -> Descriptor {
    std::array::from_fn(|at| if at % 2 == 1 { -descriptor[at] } else { descriptor[at] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synthetic::render;

    fn faces() -> Vec<Grey> {
        let face = |id: u64| Grey::of(&render(3, id / 8, (id % 8) as usize, id % 8, 48).expect("a face"));
        (0..48).map(|id| face(id).expect("contrast")).collect()
    }

    #[test]
    fn descriptors_are_never_further_apart_than_the_correlation_allows() {
        let faces = faces();
        let (mut seen, mut pairs_apart) = (0.0, 0);
        for a in &faces {
            for b in &faces {
                for (descriptor, correlation) in
                    [(b.descriptor(), a.correlation(b)), (mirrored(&b.descriptor()), a.correlation(&b.mirrored()))]
                {
                    let pairs = a.descriptor().into_iter().zip(descriptor);
                    let distance: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
                    let most = 2.0 - 2.0 * correlation;
                    assert!(distance <= most + 1e-5, "{distance} for a correlation of {correlation}");
                    if most > 0.1 {
                        (seen, pairs_apart) = (seen + distance / most, pairs_apart + 1);
                    }
                }
            }
        }
        // Nor is the bound empty: of the distance most is seen, in the mean over pairs that differ.
        let seen = seen / f64::from(pairs_apart);
        assert!(seen > 0.5, "{seen}");
    }

    #[test]
    fn the_mirrored_descriptor_is_that_of_the_mirrored_picture() {
        for face in faces() {
            let (a, b) = (mirrored(&face.descriptor()), face.mirrored().descriptor());
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn the_grey_version_is_the_mean_over_each_cell_at_any_size() {
        // A ramp of 3 levels a cell, drawn at several sizes: its cells' means do not depend on the size.
        for (width, height) in [(64, 32), (96, 64), (320, 96)] {
            let level = |x: usize| (3.0 * (x as f64 + 0.5) * 32.0 / width as f64) as u8;
            let pixels: Vec<u8> = (0..height).flat_map(|_| (0..width).map(level)).collect();
            let grey = Grey::of(&Image { width, height, channels: 1, pixels }).expect("contrast");
            for (at, &pixel) in grey.pixels.iter().enumerate() {
                let expected = 3.0 * (at % SIDE) as f64 + 1.5;
                assert!((f64::from(pixel) - expected).abs() <= 1.0, "{width}×{height}, cell {at}: {pixel}");
            }
        }
        let flat = Image { width: 48, height: 48, channels: 3, pixels: vec![200; 48 * 48 * 3] };
        assert!(Grey::of(&flat).is_none());
    }
}
