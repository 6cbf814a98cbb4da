//! What lenses and files do to a picture: blur and JPEG.

#[cfg(feature = "cli")]
use super::Image;

/// What one picture gets, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wear {
    /// The deviation of a Gaussian blur, in pixels of the resized picture; 0: none.
    pub(super) blur: f64,
    /// Saved as a JPEG and read again; none: not.
    pub(super) jpeg: Option<Jpeg>,
}

/// How a picture is saved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jpeg {
    /// 1 to 100.
    pub(super) quality: u8,
    /// Saved at twice its size, by which its 8×8 blocks are half as large.
    pub(super) doubled: bool,
}

impl Wear {
    /// Nothing.
    pub(super) const NONE: Self = Self { blur: 0.0, jpeg: None };
}

#[cfg(feature = "cli")]
mod files {
    use image::{DynamicImage, GrayImage, ImageFormat, RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType};

    use super::{Image, Jpeg, Wear};
    use crate::{Error, Result, data::transform::reduced};

    impl Wear {
        /// The worn picture, for a result of `size` pixels: of a picture at least twice as large its averages over blocks,
        /// as [`Transform`](crate::data::Transform) has it.
        ///
        /// # Errors
        /// [`Error::Data`] where the picture cannot be saved.
        pub(in crate::data) fn apply(&self, picture: &Image, size: usize) -> Result<Image> {
            let reduced = reduced(picture, size);
            let (width, height) = (reduced.width as u32, reduced.height as u32);
            let mut worn = opened(&reduced);
            if self.blur > 0.0 {
                worn = worn.blur((self.blur * f64::from(width.min(height)) / size as f64) as f32);
            }
            if let Some(Jpeg { quality, doubled }) = self.jpeg {
                if doubled {
                    worn = saved(&twice(&worn), quality)?.thumbnail_exact(width, height);
                } else {
                    worn = saved(&worn, quality)?;
                }
            }
            Ok(closed(worn, reduced.channels))
        }
    }

    /// A picture of twice the size, saved as a JPEG.
    ///
    /// # Errors
    /// [`Error::Data`] for more than 65535 pixels a side.
    pub(in crate::data) fn saved_doubled(picture: &Image, quality: u8) -> Result<Image> {
        Ok(closed(saved(&twice(&opened(picture)), quality)?, picture.channels))
    }

    fn opened(picture: &Image) -> DynamicImage {
        let (width, height, pixels) = (picture.width as u32, picture.height as u32, picture.pixels.clone());
        let sides = "invariant: an image has as many bytes as its sides say";
        match picture.channels {
            1 => GrayImage::from_raw(width, height, pixels).expect(sides).into(),
            _ => RgbImage::from_raw(width, height, pixels).expect(sides).into(),
        }
    }

    fn closed(picture: DynamicImage, channels: usize) -> Image {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let pixels = if channels == 1 { picture.into_luma8().into_raw() } else { picture.into_rgb8().into_raw() };
        Image { width, height, channels, pixels }
    }

    fn twice(picture: &DynamicImage) -> DynamicImage {
        picture.resize_exact(2 * picture.width(), 2 * picture.height(), FilterType::Triangle)
    }

    fn saved(picture: &DynamicImage, quality: u8) -> Result<DynamicImage> {
        let mut bytes = Vec::new();
        let saved = JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture);
        let read = saved.and_then(|()| image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg));
        read.map_err(|error| Error::Data {
            what: "the picture to save as a JPEG".into(),
            expected: "one of at most 65535 pixels a side".into(),
            found: error.to_string(),
            hint: "leave `jpeg` out of the augmentation, or take smaller pictures".into(),
        })
    }
}

#[cfg(feature = "cli")]
pub(super) use files::saved_doubled;

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    /// Squares of 3×3 pixels.
    fn board(width: usize, height: usize, channels: usize) -> Image {
        let value = |y: usize, x: usize| if (y / 3 + x / 3).is_multiple_of(2) { 40 } else { 215 };
        let pixel = |y, x| (0..channels).map(move |channel| value(y, x) + 10 * channel as u8);
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(y, x))).collect();
        Image { width, height, channels, pixels }
    }

    fn distance(a: &Image, b: &Image) -> f64 {
        assert_eq!((a.width, a.height, a.channels), (b.width, b.height, b.channels));
        let sum: f64 = a.pixels.iter().zip(&b.pixels).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        (sum / a.pixels.len() as f64).sqrt()
    }

    #[test]
    fn a_lower_quality_changes_more_and_a_doubled_picture_less() {
        let picture = board(48, 40, 1);
        let saved = |quality, doubled| {
            let wear = Wear { blur: 0.0, jpeg: Some(Jpeg { quality, doubled }) };
            wear.apply(&picture, 40).expect("a JPEG")
        };
        let [fine, coarse] = [95, 20].map(|quality| distance(&saved(quality, false), &picture));
        assert!(fine > 0.0 && fine < 6.0 && coarse > 2.0 * fine, "{fine} {coarse}");
        // Beside what doubling itself smooths.
        let doubled = distance(&saved(20, true), &saved(100, true));
        assert!(doubled > 0.0 && doubled < 0.8 * coarse, "{doubled} {coarse}");
        assert_eq!(saved(20, true), saved(20, true), "the same again");
    }

    #[test]
    fn colour_stays_colour_and_a_large_picture_is_averaged_first() {
        let picture = board(99, 90, 3);
        let wear = Wear { blur: 0.0, jpeg: Some(Jpeg { quality: 90, doubled: false }) };
        let worn = wear.apply(&picture, 30).expect("a JPEG");
        // Blocks of 3×3 have one colour each.
        assert_eq!((worn.width, worn.height, worn.channels), (33, 30, 3));
        let near = |pixel: &[u8]| (i32::from(pixel[2]) - i32::from(pixel[0]) - 20).abs() < 25;
        assert!(worn.pixels.chunks(3).all(near), "{:?}", &worn.pixels[..12]);
    }

    #[test]
    fn blur_is_as_wide_in_the_result_however_large_the_picture_is() {
        let blurred = |picture: &Image, size| Wear { blur: 1.0, jpeg: None }.apply(picture, size).expect("a picture");
        let contrast =
            |image: &Image| distance(image, &Image { pixels: vec![127; image.pixels.len()], ..image.clone() });
        let sharp = board(48, 48, 1);
        assert!(contrast(&blurred(&sharp, 48)) < 0.8 * contrast(&sharp));
        // In a result of half the size the same blur is twice as wide in the picture.
        assert!(contrast(&blurred(&board(48, 48, 1), 25)) < 0.7 * contrast(&blurred(&sharp, 48)));
        assert_eq!(Wear::NONE.apply(&sharp, 48).expect("a picture"), sharp);
    }
}
