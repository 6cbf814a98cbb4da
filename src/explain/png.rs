//! A scene as pixels. Letters come from a font that was drawn beforehand, so that a picture is the same on every machine.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage, imageops};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster};

use super::scene::{Anchor, Item, Scene, Style};

/// Pixels for each of the SVG's, along each side.
const SCALE: f64 = 2.0;

// The report's colours on light ground.
const GROUND: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([0x24, 0x29, 0x2f]);
const SOFT: Rgb<u8> = Rgb([0x57, 0x60, 0x6a]);
const BAR: Rgb<u8> = Rgb([0x08, 0x51, 0x9c]);
const FRAME: Rgb<u8> = Rgb([0xd8, 0xde, 0xe4]);

/// Where the baseline lies in the box of a letter, from its top.
const BASELINE: f64 = 0.785;

pub(super) fn file(scene: &Scene) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    draw(scene).write_to(&mut bytes, ImageFormat::Png).expect("invariant: memory takes a picture");
    bytes.into_inner()
}

fn draw(scene: &Scene) -> RgbImage {
    let (columns, rows) = scaled((scene.width, scene.height));
    let mut canvas = RgbImage::from_pixel(columns as u32, rows as u32, GROUND);
    for item in &scene.items {
        match item {
            Item::Text { style, at, anchor, text } => write(&mut canvas, *style, *at, *anchor, text),
            Item::Bar { corner, size, opacity, .. } => fill(&mut canvas, *corner, *size, BAR, *opacity),
            Item::Frame { corner, size } => frame(&mut canvas, *corner, *size),
            Item::Picture { corner, size, pixels, .. } => {
                let ((x, y), (width, height)) = (scaled(*corner), scaled(*size));
                let pixels = imageops::resize(pixels, width as u32, height as u32, imageops::FilterType::Triangle);
                imageops::replace(&mut canvas, &pixels, x, y);
            }
        }
    }
    canvas
}

fn scaled((x, y): (f64, f64)) -> (i64, i64) {
    ((SCALE * x).round() as i64, (SCALE * y).round() as i64)
}

/// Mixes a colour into a pixel, if the canvas has it.
fn mix(canvas: &mut RgbImage, x: i64, y: i64, colour: Rgb<u8>, share: f64) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if let Some(pixel) = canvas.get_pixel_mut_checked(x, y) {
        for (old, new) in pixel.0.iter_mut().zip(colour.0) {
            *old = (f64::from(*old) + (f64::from(new) - f64::from(*old)) * share).round() as u8;
        }
    }
}

fn fill(canvas: &mut RgbImage, corner: (f64, f64), size: (f64, f64), colour: Rgb<u8>, share: f64) {
    let ((left, top), (right, bottom)) = (scaled(corner), scaled((corner.0 + size.0, corner.1 + size.1)));
    for y in top..bottom {
        for x in left..right {
            mix(canvas, x, y, colour, share);
        }
    }
}

fn frame(canvas: &mut RgbImage, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let line = 1.0;
    for (corner, size) in [
        ((x, y), (width, line)),
        ((x, y + height - line), (width, line)),
        ((x, y), (line, height)),
        ((x + width - line, y), (line, height)),
    ] {
        fill(canvas, corner, size, FRAME, 1.0);
    }
}

fn write(canvas: &mut RgbImage, style: Style, at: (f64, f64), anchor: Anchor, text: &str) {
    let (weight, height, colour) = match style {
        Style::Head => (FontWeight::Bold, RasterHeight::Size32, INK),
        Style::Plain => (FontWeight::Regular, RasterHeight::Size32, INK),
        Style::Soft => (FontWeight::Regular, RasterHeight::Size24, SOFT),
    };
    let letters: Vec<_> = text.chars().filter_map(|letter| glyph(letter, weight, height)).collect();
    let length: i64 = letters.iter().map(|letter| letter.width() as i64).sum();
    let (mut x, baseline) = scaled(at);
    x -= match anchor {
        Anchor::Start => 0,
        Anchor::Middle => length / 2,
        Anchor::End => length,
    };
    let top = baseline - (BASELINE * height.val() as f64).round() as i64;
    for letter in letters {
        for (y, row) in (top..).zip(letter.rows()) {
            for (x, &cover) in (x..).zip(row) {
                mix(canvas, x, y, colour, f64::from(cover) / 255.0);
            }
        }
        x += letter.width() as i64;
    }
}

/// A letter; a question mark for one that the font does not have.
fn glyph(letter: char, weight: FontWeight, height: RasterHeight) -> Option<RasterizedChar> {
    get_raster(letter, weight, height).or_else(|| get_raster('?', weight, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_drawn_where_they_are_put_and_nothing_beyond_the_edge() {
        let mut scene = Scene { width: 40.0, height: 20.0, title: String::new(), items: vec![] };
        scene.bar((10.0, 5.0), (5.0, 5.0), 1.0, String::new());
        scene.picture((20.0, 0.0), (10.0, 10.0), RgbImage::from_pixel(3, 3, Rgb([9, 8, 7])), String::new());
        scene.text(Style::Plain, (36.0, 15.0), Anchor::Start, "Ж long text beyond the edge");
        scene.bar((38.0, 18.0), (90.0, 90.0), 0.5, String::new());
        let canvas = draw(&scene);
        assert_eq!(canvas.dimensions(), (80, 40));
        assert_eq!((canvas.get_pixel(20, 10), canvas.get_pixel(29, 19)), (&BAR, &BAR));
        assert_eq!((canvas.get_pixel(19, 10), canvas.get_pixel(30, 10)), (&GROUND, &GROUND));
        assert_eq!((canvas.get_pixel(40, 0), canvas.get_pixel(59, 19)), (&Rgb([9, 8, 7]), &Rgb([9, 8, 7])));
        assert!((72..80).any(|x| (8..34).any(|y| *canvas.get_pixel(x, y) != GROUND)), "no letter");
    }
}
