//! A scene as an SVG document with its pictures inside.

use std::io::Cursor;

use base64::{Engine, engine::general_purpose::STANDARD};
use image::{RgbImage, codecs::jpeg::JpegEncoder};

use super::scene::{Item, Scene, Style};
use crate::train::svg::Svg;

/// Of the pictures, in percent: a face takes some 20 KiB, and nothing of the compression is seen.
const QUALITY: u8 = 92;

pub(super) fn document(scene: &Scene) -> String {
    let mut svg = Svg::new(scene.width, scene.height, &scene.title);
    for item in &scene.items {
        match item {
            Item::Text { style, at, anchor, text } => svg.text(class(*style), *at, *anchor, text),
            Item::Bar { corner, size, opacity, tip } => svg.rect("heat", *corner, *size, *opacity, tip),
            Item::Frame { corner, size } => svg.rect("cell", *corner, *size, 1.0, ""),
            Item::Picture { corner, size, pixels, shows } => svg.image(*corner, *size, &data_uri(pixels), shows),
        }
    }
    svg.finish()
}

fn class(style: Style) -> &'static str {
    match style {
        Style::Head => "head",
        Style::Plain => "",
        Style::Soft => "soft small",
    }
}

fn data_uri(pixels: &RgbImage) -> String {
    let mut bytes = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    pixels.write_with_encoder(encoder).expect("invariant: memory takes a small picture");
    format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes.into_inner()))
}
