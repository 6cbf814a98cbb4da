//! The engine of a web page: a device, a model that may still be arriving, a face detector.

use serde_json::{Value, json};
use web_time::Instant;

use super::{Detector, Face, Fault};
use crate::{
    checkpoint::{ModelStream, Progress},
    data::Image,
    exec::{DeviceInfo, Executor},
    models::{Decision, EsrSpec, NetworkSpec},
    predict::{Prediction, Predictor},
};

type Checked<T> = Result<T, Fault>;

/// The most pixels of an image: more would not fit beside its copy in a page's memory.
const MOST_PIXELS: usize = 64 << 20;

/// A part of an image, in pixels; what lies outside the image is cut off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// Columns.
    pub width: f64,
    /// Rows.
    pub height: f64,
}

/// Answers images on one device.
pub struct Engine {
    executor: Box<dyn Executor>,
    stream: ModelStream,
    predictor: Option<Predictor>,
    detector: Option<Detector>,
}

impl Engine {
    /// On this device, without a model.
    #[must_use]
    pub fn new(executor: Box<dyn Executor>) -> Self {
        Self { executor, stream: ModelStream::new(), predictor: None, detector: None }
    }

    /// What runs here.
    #[must_use]
    pub fn device(&self) -> &DeviceInfo {
        self.executor.device()
    }

    /// Forgets the model; another one follows from its first byte.
    pub fn begin_model(&mut self) {
        self.executor.clear();
        self.predictor = None;
        self.stream = ModelStream::new();
    }

    /// Takes the next bytes of the model; says what can be used.
    ///
    /// # Errors
    /// `model-foreign`, `model-mismatch`.
    pub fn push_model(&mut self, bytes: &[u8]) -> Checked<Progress> {
        self.stream.push(bytes)?;
        if let (None, Some(meta)) = (&self.predictor, self.stream.meta()) {
            let predictor = Predictor::new(meta).map_err(|error| Fault::new("model-mismatch", error.to_string()))?;
            self.predictor = Some(predictor);
        }
        Ok(self.stream.progress())
    }

    /// Says that the model has no more bytes.
    ///
    /// # Errors
    /// `model-truncated` where it should, `model-foreign`.
    pub fn end_model(&mut self) -> Checked<()> {
        Ok(self.stream.finish()?)
    }

    /// What is known of the model.
    ///
    /// # Errors
    /// `no-model` before its header is there.
    pub fn info(&self) -> Checked<Value> {
        let meta = self.stream.meta().ok_or_else(no_model)?;
        let spec = self.predictor.as_ref().ok_or_else(no_model)?.spec();
        let heads: Vec<_> = (0..spec.heads()).map(|head| spec.head_name(head)).collect();
        let attention = matches!(spec, NetworkSpec::Esr(EsrSpec { attention: true, .. }));
        Ok(json!({
            "classes": meta.classes, "branches": heads.len(), "heads": heads, "size": spec.size(),
            "votes": spec.decision() == Decision::Vote,
            "colour": meta.colour, "parameters": self.stream.parameters(), "attention": attention,
            "architecture": meta.architecture, "data": meta.data, "result": meta.result, "answer": meta.answer,
            "created_by": meta.created_by,
        }))
    }

    /// Answers an image of `rgba` bytes, or a part of it, by the model's first `branches` branches; by all that are
    /// there where that is 0 or more than that, and where the branches do not vote.
    ///
    /// # Errors
    /// `bad-image` for bytes that are no image and for a part outside of it, `too-large` for what the memory does not
    /// hold, `no-model` before the base and one branch are there, `device-lost`, `device-failed`.
    pub async fn predict(
        &mut self,
        rgba: &[u8],
        [width, height]: [usize; 2],
        crop: Option<Crop>,
        branches: usize,
        attention: bool,
    ) -> Checked<Prediction> {
        let image = image(rgba, [width, height], crop)?;
        let there = self.stream.progress().branches;
        let (Some(predictor), 1..) = (&mut self.predictor, there) else { return Err(no_model()) };
        let all = branches == 0 || predictor.spec().decision() == Decision::Last;
        let branches = if all { there } else { branches.min(there) };
        let begin = Instant::now();
        if predictor.branches() != Some(branches) {
            predictor.load(self.executor.as_mut(), &self.stream, branches)?;
        }
        let loaded = begin.elapsed();
        let mut prediction = predictor.predict(self.executor.as_mut(), &image, attention).await?;
        prediction.times.prepare += loaded.as_secs_f64() * 1e3;
        Ok(prediction)
    }

    /// Takes the face detector's model.
    ///
    /// # Errors
    /// `detector-foreign` for other bytes.
    pub fn load_detector(&mut self, bytes: &[u8]) -> Checked<()> {
        self.detector = Some(Detector::new(bytes)?);
        Ok(())
    }

    /// The faces of an image, the surest first.
    ///
    /// # Errors
    /// `no-detector`, `bad-image`, `too-large`.
    pub fn detect(&mut self, rgba: &[u8], size: [usize; 2]) -> Checked<Vec<Face>> {
        let image = image(rgba, size, None)?;
        let missing = || Fault::new("no-detector", "the face detector is not loaded; load its model first");
        Ok(self.detector.as_mut().ok_or_else(missing)?.detect(&image))
    }
}

fn no_model() -> Fault {
    Fault::new("no-model", "the model's base and its first branch are not there yet; load a model first")
}

/// A part of an RGBA picture without its alpha.
fn image(rgba: &[u8], [width, height]: [usize; 2], crop: Option<Crop>) -> Checked<Image> {
    let bad = |message: String| Err(Fault::new("bad-image", message));
    let pixels = width.saturating_mul(height);
    if pixels == 0 {
        return bad(format!("the image: expected at least one pixel, found {width}×{height}; choose another"));
    }
    if pixels > MOST_PIXELS {
        let message = format!("the image: expected at most {MOST_PIXELS} pixels, found {width}×{height}; reduce it");
        return Err(Fault::new("too-large", message));
    }
    if rgba.len() != 4 * pixels {
        let expected = format!("{} bytes for {width}×{height} pixels", 4 * pixels);
        return bad(format!("the image: expected {expected}, found {}; give red, green, blue, alpha", rgba.len()));
    }
    let whole = Crop { x: 0.0, y: 0.0, width: width as f64, height: height as f64 };
    let crop = crop.unwrap_or(whole);
    // A cast of a float ends at the integer's bounds, and takes NaN for 0.
    let (left, right) = (crop.x.round() as usize, ((crop.x + crop.width).round() as usize).min(width));
    let (top, bottom) = (crop.y.round() as usize, ((crop.y + crop.height).round() as usize).min(height));
    if left >= right || top >= bottom {
        return bad(format!("the part {crop:?}: expected some of the {width}×{height} pixels, found none; move it"));
    }
    let mut pixels = Vec::with_capacity(3 * (right - left) * (bottom - top));
    for row in rgba.chunks_exact(4 * width).take(bottom).skip(top) {
        pixels.extend(row[4 * left..4 * right].as_chunks().0.iter().flat_map(|[r, g, b, _]: &[u8; 4]| [*r, *g, *b]));
    }
    Ok(Image { width: right - left, height: bottom - top, channels: 3, pixels })
}
