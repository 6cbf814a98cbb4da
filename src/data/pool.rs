//! Images that stay on the device, and what the host still tells it of each batch.

use std::sync::Arc;

use super::{
    Image, Sample,
    augment::{Draw, changed, mean_grey},
    transform::{Pixels, block},
};
use crate::ops::augment::{ALIGNMENT, MAX_RANGES, Record, packed};

/// The images of a split as the tensors of the pool of [`ops::Augment`](crate::ops::Augment).
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    images: Vec<Arc<Image>>,
    /// The tensor of each image, and its first element there.
    places: Vec<(usize, usize)>,
    /// The elements of each tensor.
    lengths: Vec<usize>,
}

impl Pool {
    /// Lays out the images, in order, in tensors of at most `most` elements.
    ///
    /// # Errors
    /// Why they do not fit, in a few words.
    pub fn new(samples: &[Sample], most: usize) -> Result<Self, String> {
        // An image's start has to be below 2²⁴ units.
        let most = most.min(ALIGNMENT << 24);
        let (mut places, mut lengths) = (Vec::with_capacity(samples.len()), vec![0_usize]);
        for sample in samples {
            let elements = sample.image.pixels.len().div_ceil(3);
            if elements > most {
                let [found, limit] = [elements, most].map(mebibytes);
                return Err(format!("image {} takes {found} there, a tensor at most {limit}", sample.id));
            }
            let mut start = lengths[lengths.len() - 1].next_multiple_of(ALIGNMENT);
            if start + elements > most {
                lengths.push(0);
                start = 0;
            }
            let range = lengths.len() - 1;
            places.push((range, start));
            lengths[range] = start + elements;
        }
        if lengths.len() > MAX_RANGES {
            let [found, limit] = [lengths.iter().sum(), MAX_RANGES * most].map(mebibytes);
            return Err(format!("the images take {found} there, {MAX_RANGES} tensors at most {limit}"));
        }
        if lengths == [0] {
            return Err("there is no image".into());
        }
        Ok(Self { images: samples.iter().map(|sample| Arc::clone(&sample.image)).collect(), places, lengths })
    }

    /// The elements of each tensor.
    #[must_use]
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The number of images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Bytes on the device.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        4 * self.lengths.iter().sum::<usize>() as u64
    }

    /// The elements of a tensor.
    #[must_use]
    pub fn tensor(&self, range: usize) -> Vec<f32> {
        let mut elements = Vec::with_capacity(self.lengths[range]);
        for (image, (_, start)) in self.images.iter().zip(&self.places).filter(|(_, place)| place.0 == range) {
            elements.resize(*start, 0.0);
            elements.extend(packed(&image.pixels));
        }
        elements
    }

    /// What becomes of image `index` in a batch of `size` pixels, where it is the `place`-th.
    ///
    /// The mean grey that contrast turns about is a sum over the image as the changes before it leave it: that alone of
    /// the pixels' arithmetic stays on the host, where it has the bits that the loader gives it.
    pub(super) fn record(&self, index: usize, draw: &Draw, size: usize, place: usize) -> Record {
        let (image, (range, start)) = (&self.images[index], self.places[index]);
        let mut colours = [[1.0, 0.0, 0.0]; 3];
        for (i, colour) in draw.colours.into_iter().enumerate() {
            colours[i] = colour.numbers(image.channels == 1, || mean_after(&colours[..i], image, size));
        }
        Record {
            range,
            start: start / ALIGNMENT,
            sides: [image.width, image.height],
            channels: image.channels,
            block: block(image, size),
            warp: draw.warp.0,
            colours,
            erased: draw.erased,
            partner: place,
            share: 1.0,
        }
    }
}

/// The mean grey of an image after some changes of colour, as the loader sums it, without the picture in between.
fn mean_after(changes: &[[f32; 3]], image: &Image, size: usize) -> f32 {
    let change = |pixel| changes.iter().fold(pixel, |pixel, &numbers| changed(pixel, numbers));
    let scale = 1.0 / 255.0;
    match (block(image, size), image.channels) {
        (1, 1) => mean_grey(true, image.pixels.iter().map(|&value| change(Pixels::grey(value, scale)))),
        (1, _) => mean_grey(false, image.pixels.chunks_exact(3).map(|pixel| change(Pixels::colour(pixel, scale)))),
        _ => {
            let pixels = Pixels::of(image, size);
            mean_grey(pixels.grey, pixels.values.iter().copied().map(change))
        }
    }
}

fn mebibytes(elements: usize) -> String {
    format!("{:.1} MiB", elements as f64 / f64::from(1 << 18))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(sides: &[(usize, usize)]) -> Vec<Sample> {
        let sample = |(i, &(width, channels)): (usize, &(usize, usize))| {
            let pixels = (0..width * 2 * channels).map(|byte| (byte + i) as u8).collect();
            let image = Arc::new(Image { width, height: 2, channels, pixels });
            Sample::new(i.to_string(), image, 0)
        };
        sides.iter().enumerate().map(sample).collect()
    }

    #[test]
    fn images_lie_whole_and_aligned_in_as_few_tensors_as_their_order_allows() {
        // 14, 60, 1 and 96 elements.
        let samples = samples(&[(7, 3), (90, 1), (1, 1), (48, 3)]);
        let pool = Pool::new(&samples, 200).expect("a pool");
        assert_eq!(pool.places, [(0, 0), (0, 64), (0, 128), (1, 0)]);
        assert_eq!((pool.lengths(), pool.images(), pool.bytes()), (&[129, 96][..], 4, 900));
        let first = pool.tensor(0);
        assert_eq!(first.len(), 129);
        assert_eq!(&first[64..], &packed(&samples[1].image.pixels).chain([0.0; 4]).chain([770.0]).collect::<Vec<_>>());
        assert_eq!(pool.tensor(1), packed(&samples[3].image.pixels).collect::<Vec<_>>());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let samples = samples(&[(48, 3); 7]);
        let whole = |most| Pool::new(&samples, most);
        assert!(whole(95).expect_err("too large an image").starts_with("image 0 takes 0.0 MiB"));
        assert!(whole(96).expect_err("seven tensors").contains("6 tensors at most"));
        assert_eq!(whole(224).expect("a pool").lengths(), [224, 224, 224, 96]);
        assert!(Pool::new(&[], 96).is_err());
    }
}
