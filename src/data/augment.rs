//! Random changes of colour and geometry, as torchvision draws them.

use std::fmt;
use std::str::FromStr;

use super::Image;
use super::options::settings;
use super::transform::{Outside, Pixels, Warp};
use super::wear::{Jpeg, Wear};
use crate::{Error, Result, rng::Rng};

/// What is changed at random, and how far.
///
/// The draws follow torchvision's `ColorJitter`, `RandomHorizontalFlip`, `RandomAffine` (about the centre,
/// bilinear, black outside), `RandomCrop` with black padding, and `RandomErasing` with value 0 after
/// normalisation. Departures: resizing, affine map, flip and crop are one bilinear resample of the u8 source
/// instead of up to four, and pixels are not rounded to bytes in between.
///
/// As text: a preset, settings, or both, such as `rafdb`, `flip=0.5,degrees=10` or `affectnet,scale=1.1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augment {
    /// Brightness factor uniform in [max(0, 1 − b), 1 + b].
    pub brightness: f64,
    /// Contrast factor uniform in [max(0, 1 − c), 1 + c], about the mean grey of the picture.
    pub contrast: f64,
    /// Saturation factor uniform in [max(0, 1 − s), 1 + s]; nothing happens to grey pictures.
    pub saturation: f64,
    /// Probability of a left-right flip.
    pub flip: f64,
    /// Probability that the geometry below (rotation, shift, scale, crop) is drawn at all.
    pub geometry: f64,
    /// Rotation uniform in ±degrees.
    pub degrees: f64,
    /// Shift uniform in ±this part of the size in x and in y, rounded to whole pixels.
    pub translate: f64,
    /// Scale uniform in [low, high]; above 1 the face grows.
    pub scale: (f64, f64),
    /// A crop of the full size out of the picture padded by this part of the size on each side.
    pub crop: f64,
    /// Probability that around the picture its border is repeated instead of black.
    pub border: f64,
    /// Probability of a Gaussian blur.
    pub blur: f64,
    /// The blur's deviation in pixels of the result, uniform in [low, high].
    pub blur_sigma: (f64, f64),
    /// Probability that the picture is saved as a JPEG first, at its size or at twice it.
    pub jpeg: f64,
    /// The JPEG's quality, uniform in [low, high].
    pub jpeg_quality: (f64, f64),
    /// Probability that a rectangle is erased.
    pub erase: f64,
    /// The rectangle's part of the area, uniform in [low, high]; its aspect ratio is log-uniform in [0.3, 3.3].
    pub erase_area: (f64, f64),
}

impl Default for Augment {
    fn default() -> Self {
        Self::none()
    }
}

impl Augment {
    /// Nothing random.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            flip: 0.0,
            geometry: 1.0,
            degrees: 0.0,
            translate: 0.0,
            scale: (1.0, 1.0),
            crop: 0.0,
            border: 0.0,
            blur: 0.0,
            blur_sigma: (0.3, 1.5),
            jpeg: 0.0,
            jpeg_quality: (20.0, 95.0),
            erase: 0.0,
            erase_area: (0.02, 0.33),
        }
    }

    /// The recipe for AffectNet, used for FER+ as well: jitter of brightness and contrast 0.5, flip 0.5,
    /// ±30°, shift 0.1, scale 1–1.25.
    #[must_use]
    pub const fn affectnet() -> Self {
        Self {
            brightness: 0.5,
            contrast: 0.5,
            flip: 0.5,
            degrees: 30.0,
            translate: 0.1,
            scale: (1.0, 1.25),
            ..Self::none()
        }
    }

    /// Mild changes for small data sets: jitter 0.2, flip 0.5, ±15°, shift 0.08, scale 0.9–1.1.
    #[must_use]
    pub const fn light() -> Self {
        Self {
            brightness: 0.2,
            contrast: 0.2,
            flip: 0.5,
            degrees: 15.0,
            translate: 0.08,
            scale: (0.9, 1.1),
            ..Self::none()
        }
    }

    /// The recipe for RAF-DB: flip 0.5; with probability 0.2 ±20° and a crop out of a padding of a third
    /// (32 pixels at 96); erasing of 0.02–0.25 of the area with torchvision's default probability 0.5. It goes
    /// with [`Normalisation::IMAGENET`](super::Normalisation::IMAGENET).
    #[must_use]
    pub const fn rafdb() -> Self {
        Self {
            flip: 0.5,
            geometry: 0.2,
            degrees: 20.0,
            crop: 1.0 / 3.0,
            erase: 0.5,
            erase_area: (0.02, 0.25),
            ..Self::none()
        }
    }

    /// True if two epochs see the same pixels.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let still = self.degrees == 0.0 && self.translate == 0.0 && self.scale == (1.0, 1.0) && self.crop == 0.0;
        let colour = self.brightness == 0.0 && self.contrast == 0.0 && self.saturation == 0.0;
        let geometry = self.flip == 0.0 && (still || self.geometry == 0.0);
        colour && geometry && self.erase == 0.0 && self.blur == 0.0 && self.jpeg == 0.0
    }

    /// Whether something of it happens to images of the host alone.
    #[must_use]
    pub fn needs_host(&self) -> bool {
        self.border > 0.0 || self.blur > 0.0 || self.jpeg > 0.0
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Usage`] for the first setting out of its range.
    pub fn check(&self) -> Result<()> {
        let (low, high, blur, jpeg) = (self.scale, self.erase_area, self.blur_sigma, self.jpeg_quality);
        let ranges = [
            ("brightness", self.brightness, 0.0, 10.0),
            ("contrast", self.contrast, 0.0, 10.0),
            ("saturation", self.saturation, 0.0, 10.0),
            ("flip", self.flip, 0.0, 1.0),
            ("geometry", self.geometry, 0.0, 1.0),
            ("degrees", self.degrees, 0.0, 180.0),
            ("translate", self.translate, 0.0, 1.0),
            ("scale", low.0, 0.1, low.1),
            ("scale", low.1, low.0, 10.0),
            ("crop", self.crop, 0.0, 1.0),
            ("border", self.border, 0.0, 1.0),
            ("blur", self.blur, 0.0, 1.0),
            ("blur_sigma", blur.0, 0.0, blur.1),
            ("blur_sigma", blur.1, blur.0, 10.0),
            ("jpeg", self.jpeg, 0.0, if cfg!(feature = "cli") { 1.0 } else { 0.0 }),
            ("jpeg_quality", jpeg.0, 1.0, jpeg.1),
            ("jpeg_quality", jpeg.1, jpeg.0, 100.0),
            ("erase", self.erase, 0.0, 1.0),
            ("erase_area", high.0, 0.0, high.1),
            ("erase_area", high.1, high.0, 1.0),
        ];
        match ranges.iter().find(|(_, value, low, high)| !(low <= value && value <= high)) {
            None => Ok(()),
            Some((key, value, low, high)) => Err(Error::Usage {
                setting: format!("augmentation, {key}"),
                expected: format!("a number from {low} to {high}"),
                found: value.to_string(),
                hint: "correct the value".into(),
            }),
        }
    }

    /// Everything random about one image of `size` pixels, drawn in this order: colours, geometry, erasing, border, blur,
    /// JPEG.
    pub(super) fn draw(&self, size: usize, rng: &mut Rng) -> Draw {
        Draw {
            colours: self.colours(rng),
            warp: self.warp(size, rng),
            erased: self.erased(size, rng),
            outside: if self.border > 0.0 && rng.chance(self.border) { Outside::Border } else { Outside::Black },
            wear: self.wear(rng),
        }
    }

    fn wear(&self, rng: &mut Rng) -> Wear {
        let mut wear = Wear::NONE;
        if self.blur > 0.0 && rng.chance(self.blur) {
            wear.blur = rng.range(self.blur_sigma.0, self.blur_sigma.1);
        }
        if self.jpeg > 0.0 && rng.chance(self.jpeg) {
            let quality = rng.range(self.jpeg_quality.0, self.jpeg_quality.1).round() as u8;
            wear.jpeg = Some(Jpeg { quality, doubled: rng.chance(0.5) });
        }
        wear
    }

    /// Colour jitter, in a random order of its parts.
    fn colours(&self, rng: &mut Rng) -> [Colour; 3] {
        let factor = |rng: &mut Rng, spread: f64| rng.range((1.0 - spread).max(0.0), 1.0 + spread) as f32;
        let mut parts = [0, 1, 2];
        rng.shuffle(&mut parts);
        parts.map(|part| match part {
            0 if self.brightness > 0.0 => Colour::Brightness(factor(rng, self.brightness)),
            1 if self.contrast > 0.0 => Colour::Contrast(factor(rng, self.contrast)),
            2 if self.saturation > 0.0 => Colour::Saturation(factor(rng, self.saturation)),
            _ => Colour::Same,
        })
    }

    /// One draw of the geometry, from the result's pixels back to the resized picture's.
    fn warp(&self, size: usize, rng: &mut Rng) -> Warp {
        let side = size as f32;
        let mut warp = Warp::identity();
        let flip = self.flip > 0.0 && rng.chance(self.flip);
        if self.geometry >= 1.0 || (self.geometry > 0.0 && rng.chance(self.geometry)) {
            let angle = rng.range(-self.degrees, self.degrees).to_radians();
            let reach = self.translate * f64::from(side);
            let shift = [rng.range(-reach, reach).round() as f32, rng.range(-reach, reach).round() as f32];
            let scale = rng.range(self.scale.0, self.scale.1);
            warp = Warp::affine(size, angle, scale, shift);
            let padding = (self.crop * f64::from(side)).round() as usize;
            if padding > 0 {
                let (x, y) = (rng.below(2 * padding + 1) as f32, rng.below(2 * padding + 1) as f32);
                let moved = [1.0, 0.0, x - padding as f32, 0.0, 1.0, y - padding as f32];
                warp = warp.after(&Warp(moved));
            }
        }
        if flip { warp.after(&Warp([-1.0, 0.0, side, 0.0, 1.0, 0.0])) } else { warp }
    }

    /// With probability `erase` a rectangle, as torchvision in at most ten tries: top, left, bottom, right.
    fn erased(&self, size: usize, rng: &mut Rng) -> [usize; 4] {
        if self.erase <= 0.0 || !rng.chance(self.erase) {
            return [0; 4];
        }
        for _ in 0..10 {
            let area = rng.range(self.erase_area.0, self.erase_area.1) * (size * size) as f64;
            let ratio = rng.range(0.3f64.ln(), 3.3f64.ln()).exp();
            let (height, width) = ((area * ratio).sqrt().round() as usize, (area / ratio).sqrt().round() as usize);
            if height >= size || width >= size {
                continue;
            }
            let (top, left) = (rng.below(size - height + 1), rng.below(size - width + 1));
            return [top, left, top + height, left + width];
        }
        [0; 4]
    }
}

/// What one image gets of an [`Augment`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Draw {
    /// Changes of colour, in order.
    pub(super) colours: [Colour; 3],
    /// From the result's pixels back to the resized picture's.
    pub(super) warp: Warp,
    /// Top, left, bottom, right of what is erased, the last two excluded.
    pub(super) erased: [usize; 4],
    /// What lies around the picture.
    pub(super) outside: Outside,
    /// What happens to the picture before all else.
    pub(super) wear: Wear,
}

impl Draw {
    /// Nothing random.
    #[cfg(feature = "cli")]
    pub(super) const NONE: Self = Self {
        colours: [Colour::Same; 3],
        warp: Warp::identity(),
        erased: [0; 4],
        outside: Outside::Black,
        wear: Wear::NONE,
    };

    /// The picture as it is before its colours change, for a result of `size` pixels.
    pub(super) fn pixels(&self, image: &Image, size: usize) -> Result<Pixels> {
        #[cfg(feature = "cli")]
        if self.wear != Wear::NONE {
            return Ok(Pixels::of(&self.wear.apply(image, size)?, size));
        }
        Ok(Pixels::of(image, size))
    }

    /// Erases the rectangle of the three planes.
    pub(super) fn erase(&self, size: usize, out: &mut [f32]) {
        let [top, left, bottom, right] = self.erased;
        for plane in out.chunks_exact_mut(size * size) {
            for row in plane.chunks_exact_mut(size).take(bottom).skip(top) {
                row[left..right].fill(0.0);
            }
        }
    }
}

/// A change of colour by a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Colour {
    /// None.
    Same,
    /// About black.
    Brightness(f32),
    /// About the mean grey of the picture.
    Contrast(f32),
    /// About each pixel's own grey; grey pictures stay as they are.
    Saturation(f32),
}

impl Colour {
    /// Changes a picture.
    pub(super) fn apply(self, pixels: &mut Pixels) {
        let [factor, _, rest] = self.numbers(pixels.grey, || mean_grey(pixels.grey, pixels.values.iter().copied()));
        match self {
            Self::Same => {}
            Self::Brightness(_) => values(pixels).for_each(|value| *value = (*value * factor).min(1.0)),
            Self::Contrast(_) => {
                values(pixels).for_each(|value| *value = (*value * factor + rest).clamp(0.0, 1.0));
            }
            Self::Saturation(_) => saturate(pixels, factor),
        }
    }

    /// The same as (a, b, c) of [`changed`]; `mean` is the mean grey of the picture before.
    pub(super) fn numbers(self, grey: bool, mean: impl FnOnce() -> f32) -> [f32; 3] {
        match self {
            Self::Brightness(factor) => [factor, 0.0, 0.0],
            Self::Contrast(factor) => [factor, 0.0, (1.0 - factor) * mean()],
            Self::Saturation(factor) if !grey => [factor, 1.0 - factor, 0.0],
            Self::Same | Self::Saturation(_) => [1.0, 0.0, 0.0],
        }
    }
}

/// `p ← clamp(a·p + (b·grey(p) + c), 0, 1)`, to the bits of [`Colour::apply`].
#[cfg(feature = "cli")]
pub(super) fn changed(pixel: [f32; 4], [a, b, c]: [f32; 3]) -> [f32; 4] {
    let [red, green, blue, _] = pixel;
    let rest = if b == 0.0 { c } else { b * (GREY[0] * red + GREY[1] * green + GREY[2] * blue) + c };
    pixel.map(|value| (value * a + rest).clamp(0.0, 1.0))
}

/// ITU-R 601 weights, as torchvision's `rgb_to_grayscale`.
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

fn values(pixels: &mut Pixels) -> impl Iterator<Item = &mut f32> {
    pixels.values.as_flattened_mut().iter_mut()
}

pub(super) fn mean_grey(grey: bool, pixels: impl ExactSizeIterator<Item = [f32; 4]>) -> f32 {
    let count = pixels.len() as f32;
    let mut sums = [0.0; 4];
    for pixel in pixels {
        sums = std::array::from_fn(|lane| sums[lane] + pixel[lane]);
    }
    let [red, green, blue, _] = sums.map(|sum| sum / count);
    if grey { red } else { GREY[0] * red + GREY[1] * green + GREY[2] * blue }
}

fn saturate(pixels: &mut Pixels, factor: f32) {
    if pixels.grey {
        return;
    }
    for pixel in &mut pixels.values {
        let [red, green, blue, _] = *pixel;
        let grey = (1.0 - factor) * (GREY[0] * red + GREY[1] * green + GREY[2] * blue);
        *pixel = pixel.map(|value| (value * factor + grey).clamp(0.0, 1.0));
    }
}

impl FromStr for Augment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const WHAT: &str = "augmentation";
        let (first, rest) = text.split_once(',').unwrap_or((text, ""));
        let (mut augment, rest) = match first.trim() {
            "none" | "" => (Self::none(), rest),
            "affectnet" | "ferplus" => (Self::affectnet(), rest),
            "light" => (Self::light(), rest),
            "rafdb" => (Self::rafdb(), rest),
            name if !name.contains('=') => {
                return Err(Error::Usage {
                    setting: WHAT.into(),
                    expected: "none, light, affectnet, ferplus, rafdb or settings such as flip=0.5,degrees=10".into(),
                    found: format!("`{name}`"),
                    hint: "name one of the presets".into(),
                });
            }
            _ => (Self::none(), text),
        };
        for setting in settings(WHAT, rest)? {
            let known = "brightness, contrast, saturation, flip, geometry, degrees, translate, scale, scale_min, \
                         crop, border, blur, blur_sigma, blur_sigma_min, jpeg, jpeg_quality, jpeg_quality_min, erase, \
                         erase_area, erase_area_min";
            let value = || setting.number(WHAT, 0.0, 180.0);
            match setting.key {
                "brightness" => augment.brightness = value()?,
                "contrast" => augment.contrast = value()?,
                "saturation" => augment.saturation = value()?,
                "flip" => augment.flip = value()?,
                "geometry" => augment.geometry = value()?,
                "degrees" => augment.degrees = value()?,
                "translate" => augment.translate = value()?,
                "scale" => augment.scale.1 = value()?,
                "scale_min" => augment.scale.0 = value()?,
                "crop" => augment.crop = value()?,
                "border" => augment.border = value()?,
                "blur" => augment.blur = value()?,
                "blur_sigma" => augment.blur_sigma.1 = value()?,
                "blur_sigma_min" => augment.blur_sigma.0 = value()?,
                "jpeg" => augment.jpeg = value()?,
                "jpeg_quality" => augment.jpeg_quality.1 = value()?,
                "jpeg_quality_min" => augment.jpeg_quality.0 = value()?,
                "erase" => augment.erase = value()?,
                "erase_area" => augment.erase_area.1 = value()?,
                "erase_area_min" => augment.erase_area.0 = value()?,
                _ => return Err(setting.unknown(WHAT, known)),
            }
        }
        augment.check()?;
        Ok(augment)
    }
}

impl fmt::Display for Augment {
    /// A preset's name, or every setting that differs from [`Augment::none`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, preset) in [
            ("none", Self::none()),
            ("light", Self::light()),
            ("affectnet", Self::affectnet()),
            ("rafdb", Self::rafdb()),
        ] {
            if *self == preset {
                return f.write_str(name);
            }
        }
        let list = |of: &Self| {
            [
                ("brightness", of.brightness),
                ("contrast", of.contrast),
                ("saturation", of.saturation),
                ("flip", of.flip),
                ("geometry", of.geometry),
                ("degrees", of.degrees),
                ("translate", of.translate),
                ("scale", of.scale.1),
                ("scale_min", of.scale.0),
                ("crop", of.crop),
                ("border", of.border),
                ("blur", of.blur),
                ("blur_sigma", of.blur_sigma.1),
                ("blur_sigma_min", of.blur_sigma.0),
                ("jpeg", of.jpeg),
                ("jpeg_quality", of.jpeg_quality.1),
                ("jpeg_quality_min", of.jpeg_quality.0),
                ("erase", of.erase),
                ("erase_area", of.erase_area.1),
                ("erase_area_min", of.erase_area.0),
            ]
        };
        let mut first = true;
        for ((key, value), (_, plain)) in list(self).into_iter().zip(list(&Self::none())) {
            if value != plain {
                write!(f, "{}{key}={value}", if first { "" } else { "," })?;
                first = false;
            }
        }
        Ok(())
    }
}
