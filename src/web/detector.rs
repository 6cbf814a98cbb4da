//! Faces in a picture, by SeetaFace's cascade (Wu et al., Neurocomputing 2017) as the crate rustface has it.

use rustface::ImageData;

use super::Fault;
use crate::data::Image;

/// The one model that is accepted: `seeta_fd_frontal_v1.0.bin` of rustface 0.1.7, whose reader trusts what it reads.
const MODEL_BYTES: usize = 1_209_904;
const MODEL_CRC32: u32 = 0x9d8f_4bc7;

/// Longer pictures are reduced to this many pixels on their longer side: the time grows with the pixels.
const LONGEST_SIDE: usize = 480;

/// The smallest face that is looked for in the reduced picture, in pixels.
const SMALLEST_FACE: u32 = 24;

/// A face's place in a picture, in pixels; it may reach beyond the edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// Columns.
    pub width: f64,
    /// Rows.
    pub height: f64,
    /// How sure the detector is; above 2, without an upper end.
    pub score: f64,
}

/// Finds faces.
pub struct Detector(Box<dyn rustface::Detector>);

impl Detector {
    /// With the model from its file.
    ///
    /// # Errors
    /// `detector-foreign` for any other bytes.
    pub fn new(model: &[u8]) -> Result<Self, Fault> {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(model);
        if (model.len(), crc) != (MODEL_BYTES, MODEL_CRC32) {
            let found = format!("{} bytes with the checksum {crc:08x}", model.len());
            let expected = format!("{MODEL_BYTES} bytes with the checksum {MODEL_CRC32:08x}");
            let message = format!("the face detector's model: expected {expected}, found {found}; load it again");
            return Err(Fault::new("detector-foreign", message));
        }
        let model = rustface::read_model(model).map_err(|error| Fault::new("detector-foreign", error.to_string()))?;
        let mut detector = rustface::create_detector_with_model(model);
        detector.set_min_face_size(SMALLEST_FACE);
        detector.set_score_thresh(2.0);
        detector.set_pyramid_scale_factor(0.8);
        detector.set_slide_window_step(4, 4);
        Ok(Self(detector))
    }

    /// The faces of a colour picture, the surest first.
    pub fn detect(&mut self, image: &Image) -> Vec<Face> {
        let (grey, [width, height], factor) = reduced(image);
        if width.min(height) < SMALLEST_FACE as usize {
            return Vec::new();
        }
        let found = self.0.detect(&ImageData::new(&grey, width as u32, height as u32));
        let mut faces: Vec<_> = found
            .iter()
            .map(|face| {
                let (place, scale) = (face.bbox(), factor as f64);
                Face {
                    x: f64::from(place.x()) * scale,
                    y: f64::from(place.y()) * scale,
                    width: f64::from(place.width()) * scale,
                    height: f64::from(place.height()) * scale,
                    score: face.score(),
                }
            })
            .collect();
        faces.sort_by(|a, b| b.score.total_cmp(&a.score));
        faces
    }
}

/// The picture in grey (Rec. 601), averaged over blocks of factor² pixels; its sides, and the factor.
fn reduced(image: &Image) -> (Vec<u8>, [usize; 2], usize) {
    let factor = image.width.max(image.height).div_ceil(LONGEST_SIDE).max(1);
    let (width, height) = (image.width / factor, image.height / factor);
    let mut grey = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let mut sum = 0;
            for row in y * factor..(y + 1) * factor {
                let line = &image.pixels[(row * image.width + x * factor) * 3..][..factor * 3];
                for pixel in line.as_chunks::<3>().0 {
                    let [red, green, blue] = pixel.map(u64::from);
                    sum += 299 * red + 587 * green + 114 * blue;
                }
            }
            grey.push((sum / (1000 * (factor * factor) as u64)) as u8);
        }
    }
    (grey, [width, height], factor)
}
