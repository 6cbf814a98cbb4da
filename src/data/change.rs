//! Changes of a picture that leave its expression as it is, for judging how steady a network's answers are.

use std::fmt;

use super::{Image, wear};
use crate::Result;

/// One change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Left and right exchanged.
    Mirrored,
    /// All values times a factor, at most white.
    Lit(f32),
    /// Saved as a JPEG of this quality at twice its size.
    Saved(u8),
    /// Put into the middle of a canvas 7/6 as wide and as high, whose border is the picture's, repeated: of 48 pixels one of
    /// 56. There moved to the right and down by a share of its sides, and enlarged by a factor.
    Framed {
        /// The share.
        moved: f32,
        /// The factor.
        scale: f32,
    },
}

impl Change {
    /// Those that answers should outlast.
    pub const ALL: [Self; 11] = [
        Self::Mirrored,
        Self::Lit(0.7),
        Self::Lit(1.3),
        Self::Saved(30),
        Self::Framed { moved: 0.0, scale: 1.0 },
        Self::Framed { moved: 0.05, scale: 1.0 },
        Self::Framed { moved: 0.1, scale: 1.0 },
        Self::Framed { moved: 0.0, scale: 0.9 },
        Self::Framed { moved: 0.0, scale: 0.95 },
        Self::Framed { moved: 0.0, scale: 1.05 },
        Self::Framed { moved: 0.0, scale: 1.1 },
    ];

    /// The changed picture.
    ///
    /// # Errors
    /// [`crate::Error::Data`] for a picture too large for a JPEG.
    pub fn apply(self, picture: &Image) -> Result<Image> {
        let &Image { width, height, channels, ref pixels } = picture;
        match self {
            Self::Mirrored => {
                let rows = pixels.chunks_exact(width * channels);
                let mirrored = rows.flat_map(|row| row.chunks_exact(channels).rev().flatten().copied()).collect();
                Ok(Image { pixels: mirrored, ..picture.clone() })
            }
            Self::Lit(factor) => {
                let lit = |value: &u8| (f32::from(*value) * factor).round().min(255.0) as u8;
                Ok(Image { pixels: pixels.iter().map(lit).collect(), ..picture.clone() })
            }
            Self::Saved(quality) => wear::saved_doubled(picture, quality),
            Self::Framed { moved, scale } => {
                let sides = [width, height].map(|side| (side as f32 * 7.0 / 6.0).round() as usize);
                let mut framed = Vec::with_capacity(sides[0] * sides[1] * channels);
                // From the canvas back to the picture, whose pixels have half-pixel centres; the first of two pixels around
                // a place, the second, and its weight.
                let around = |at: usize, canvas: usize, side: usize| {
                    let (at, canvas, whole) = (at as f32 + 0.5, canvas as f32, side as f32);
                    let place = (at - canvas / 2.0 - moved * whole) / scale + whole / 2.0 - 0.5;
                    let place = place.clamp(0.0, whole - 1.0);
                    let first = place as usize;
                    (first, (first + 1).min(side - 1), place - first as f32)
                };
                for y in 0..sides[1] {
                    let (top, bottom, down) = around(y, sides[1], height);
                    for x in 0..sides[0] {
                        let (left, right, across) = around(x, sides[0], width);
                        for channel in 0..channels {
                            let value = |x: usize, y: usize| f32::from(pixels[(y * width + x) * channels + channel]);
                            let row = |y| value(left, y) + (value(right, y) - value(left, y)) * across;
                            framed.push((row(top) + (row(bottom) - row(top)) * down).round() as u8);
                        }
                    }
                }
                Ok(Image { width: sides[0], height: sides[1], channels, pixels: framed })
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f32| (share * 100.0).round();
        match *self {
            Self::Mirrored => f.write_str("mirrored"),
            Self::Lit(factor) if factor < 1.0 => write!(f, "{} % darker", percent(1.0 - factor)),
            Self::Lit(factor) => write!(f, "{} % brighter", percent(factor - 1.0)),
            Self::Saved(quality) => write!(f, "saved as JPEG {quality} at twice the size"),
            Self::Framed { moved, scale } => {
                f.write_str("in a larger frame")?;
                if moved != 0.0 {
                    write!(f, ", moved by {} %", percent(moved))?;
                }
                match scale {
                    1.0 => Ok(()),
                    _ if scale < 1.0 => write!(f, ", {} % smaller", percent(1.0 - scale)),
                    _ => write!(f, ", {} % larger", percent(scale - 1.0)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey that falls from left to right, in two channels' worth of colours.
    fn slope(width: usize, height: usize, channels: usize) -> Image {
        let value = |x: usize, channel: usize| (5 * x + 20 * channel) as u8;
        let pixels =
            (0..height).flat_map(|_| (0..width).flat_map(|x| (0..channels).map(move |c| value(x, c)))).collect();
        Image { width, height, channels, pixels }
    }

    #[test]
    fn each_change_is_what_its_name_says() {
        let picture = slope(24, 12, 3);
        let changed = |change: Change| change.apply(&picture).expect("a picture");
        let at = |image: &Image, x: usize, y: usize| image.pixels[(y * image.width + x) * 3];
        let mirrored = changed(Change::Mirrored);
        assert_eq!((at(&mirrored, 0, 3), at(&mirrored, 23, 3)), (115, 0));
        assert_eq!(Change::Mirrored.apply(&mirrored).expect("a picture"), picture);
        assert_eq!(at(&changed(Change::Lit(0.7)), 10, 0), 35);
        assert_eq!(changed(Change::Lit(9.0)).pixels[3 * 20], 255);
        let saved = changed(Change::Saved(30));
        assert_eq!((saved.width, saved.height, saved.channels), (48, 24, 3));
        assert!((f64::from(at(&saved, 24, 12)) - 60.0).abs() < 25.0);
        let framed = |moved, scale| changed(Change::Framed { moved, scale });
        let still = framed(0.0, 1.0);
        // Two pixels of border on each side, of the rows one.
        assert_eq!((still.width, still.height), (28, 14));
        for (x, expected) in [(0, 0), (2, 0), (3, 5), (14, 60), (25, 115), (27, 115)] {
            assert_eq!(at(&still, x, 7), expected, "{x}");
        }
        // By a quarter of 24 pixels to the right.
        assert_eq!(at(&framed(0.25, 1.0), 20, 7), 60);
        // Twice as large about the middle: 6 pixels beside it come from 3.
        assert_eq!(at(&framed(0.0, 2.0), 14 + 6, 7), 60 - 1 + 15);
    }

    #[test]
    fn changes_have_names() {
        let names = Change::ALL.map(|change| change.to_string());
        assert_eq!(names[..4], ["mirrored", "30 % darker", "30 % brighter", "saved as JPEG 30 at twice the size"]);
        assert_eq!(names[6], "in a larger frame, moved by 10 %");
        assert_eq!((&*names[8], &*names[10]), ("in a larger frame, 5 % smaller", "in a larger frame, 10 % larger"));
    }
}
