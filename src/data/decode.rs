//! Reading image files, many at once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use image::{DynamicImage, ImageDecoder, ImageReader, imageops::FilterType, metadata::Orientation};
use rayon::prelude::*;

use super::{Dropped, Image, Sample};
use crate::{Error, Result};

/// Larger images are reduced to this many pixels on their longer side when they are read: more than any
/// network here looks at, and a folder of photographs still fits into memory.
const LONGEST_SIDE: u32 = 512;

/// The pixels that a picture may have where nothing else is said; [`limit_pixels`].
pub const MAX_PIXELS: u64 = 128_000_000;

static LIMIT: AtomicU64 = AtomicU64::new(MAX_PIXELS);

/// Has every picture that is decoded from now on refused, before it is, where it has more than `most` pixels:
/// a file of 1 MB can hold a picture that no memory has room for. [`MAX_PIXELS`] hold until it is called.
pub fn limit_pixels(most: u64) {
    LIMIT.store(most, Ordering::Relaxed);
}

/// Why a picture cannot be read.
pub(super) enum Unreadable {
    /// The file is none, or not whole.
    Broken(String),
    /// Columns and rows, which are more pixels than the limit.
    TooLarge([u32; 2], u64),
}

impl From<String> for Unreadable {
    fn from(found: String) -> Self {
        Self::Broken(found)
    }
}

impl From<Unreadable> for String {
    fn from(unreadable: Unreadable) -> Self {
        unreadable.to_string()
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(found) => f.write_str(found),
            Self::TooLarge([width, height], most) => {
                write!(f, "{width}×{height} pixels, more than the {most} of --max-pixels")
            }
        }
    }
}

impl Image {
    /// Reads a PNG, JPEG, BMP or WebP file, turned upright as its EXIF data asks.
    ///
    /// Grey files stay grey; all others become RGB, alpha is ignored. More than 512 pixels on the longer side
    /// are reduced to 512 (triangle filter).
    ///
    /// # Errors
    /// [`Error::File`] if the file is missing, truncated or in another format, or has more pixels than [`limit_pixels`]
    /// allows.
    pub fn open(path: &Path) -> Result<Self> {
        decode(path, None).map_err(|unreadable| {
            let (expected, found, hint) = match unreadable {
                Unreadable::Broken(found) => {
                    let expected = "a whole PNG, JPEG, BMP or WebP image".into();
                    (expected, found, "copy the file again, or leave it out")
                }
                Unreadable::TooLarge([width, height], most) => {
                    let hint = "reduce it, or allow more with `--max-pixels`";
                    (format!("an image of at most {most} pixels"), format!("{width}×{height}"), hint)
                }
            };
            Error::File { path: path.to_path_buf(), expected, found, hint: hint.into() }
        })
    }
}

/// A face's rectangle in a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Reads a picture and cuts out the face, as far as it lies inside the picture.
pub(super) fn picture(path: &Path, face: Option<Face>) -> std::result::Result<DynamicImage, Unreadable> {
    let mut decoder = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|error| error.to_string())?
        .into_decoder()
        .map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    let most = LIMIT.load(Ordering::Relaxed);
    if u64::from(width) * u64::from(height) > most {
        return Err(Unreadable::TooLarge([width, height], most));
    }
    // Broken EXIF data is no reason to refuse a readable picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    picture.apply_orientation(orientation);
    if let Some(Face { x, y, width, height }) = face {
        if x >= picture.width() || y >= picture.height() {
            let found = format!("a face at ({x}, {y}) outside {}×{} pixels", picture.width(), picture.height());
            return Err(found.into());
        }
        picture = picture.crop_imm(x, y, width, height);
    }
    if picture.width() == 0 || picture.height() == 0 {
        return Err("an image without pixels".to_owned().into());
    }
    Ok(picture)
}

fn decode(path: &Path, face: Option<Face>) -> std::result::Result<Image, Unreadable> {
    let mut picture = picture(path, face)?;
    if picture.width().max(picture.height()) > LONGEST_SIDE {
        picture = picture.resize(LONGEST_SIDE, LONGEST_SIDE, FilterType::Triangle);
    }
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Ok(if picture.color().has_color() {
        Image { width, height, channels: 3, pixels: picture.into_rgb8().into_raw() }
    } else {
        Image { width, height, channels: 1, pixels: picture.into_luma8().into_raw() }
    })
}

/// A listed image whose file is still to be read.
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) label: usize,
    pub(super) votes: Option<Vec<f32>>,
    /// What of the picture is used; none: all of it.
    pub(super) face: Option<Face>,
    /// As [`Sample::valence`].
    pub(super) valence: Option<f32>,
    /// As [`Sample::arousal`].
    pub(super) arousal: Option<f32>,
}

impl Pending {
    /// A whole picture with a label and nothing else.
    pub(super) fn new(id: String, path: PathBuf, label: usize) -> Self {
        Self { id, path, label, votes: None, face: None, valence: None, arousal: None }
    }
}

/// Are so many of the images unreadable that something is wrong with the copy, not with a file? That is more than 1 %
/// and more than 10, or all.
pub(super) fn too_many(unreadable: usize, total: usize) -> bool {
    unreadable > 0 && (unreadable == total || (unreadable > 10 && unreadable * 100 > total))
}

/// The error where there are [`too_many`], with the first of them.
pub(super) fn broken(what: String, unreadable: usize, total: usize, first: &str, reason: &str) -> Error {
    Error::Data {
        what,
        expected: format!("at most 10 or 1 % of its {total} images to be unreadable"),
        found: format!("{unreadable} unreadable, the first {first} ({reason})"),
        hint: "unpack or download the data again".into(),
    }
}

/// Reads the files on all cores, in order; a file that cannot be read is dropped with its reason.
///
/// # Errors
/// [`Error::Data`] where [`too_many`] cannot be read.
pub(super) fn read_all(what: &str, pending: Vec<Pending>) -> Result<(Vec<Sample>, Vec<Dropped>)> {
    let total = pending.len();
    let read: Vec<_> = pending
        .into_par_iter()
        .map(|Pending { id, path, label, votes, face, valence, arousal }| match decode(&path, face) {
            Ok(image) => Ok(Sample { id, image: Arc::new(image), label, votes, valence, arousal }),
            Err(reason) => Err(Dropped { id, reason: format!("unreadable: {reason}"), unreadable: true }),
        })
        .collect();
    let mut samples = Vec::with_capacity(total);
    let mut dropped = Vec::new();
    for result in read {
        match result {
            Ok(sample) => samples.push(sample),
            Err(drop) => dropped.push(drop),
        }
    }
    match dropped.first() {
        Some(first) if too_many(dropped.len(), total) => {
            Err(broken(what.into(), dropped.len(), total, &first.id, &first.reason))
        }
        _ => Ok((samples, dropped)),
    }
}
