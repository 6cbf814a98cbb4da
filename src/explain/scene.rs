//! Texts, bars and pictures in their places, before they become a file.

use image::RgbImage;

pub(super) use crate::train::svg::Anchor;

/// A picture made of items, drawn in their order. Lengths are pixels of the SVG, y downwards.
#[derive(Debug, Clone)]
pub struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) items: Vec<Item>,
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Large and bold.
    Head,
    Plain,
    /// Small and grey.
    Soft,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    /// A line of text; its baseline starts, ends or is centred at a point.
    Text { style: Style, at: (f64, f64), anchor: Anchor, text: String },
    /// A rectangle in the colour of figures, more or less opaque, with a text for the pointer.
    Bar { corner: (f64, f64), size: (f64, f64), opacity: f64, tip: String },
    /// The outline of a rectangle.
    Frame { corner: (f64, f64), size: (f64, f64) },
    /// An image, resized to a rectangle, and what it shows.
    Picture { corner: (f64, f64), size: (f64, f64), pixels: RgbImage, shows: String },
}

impl Scene {
    pub(super) fn text(&mut self, style: Style, at: (f64, f64), anchor: Anchor, text: impl Into<String>) {
        self.items.push(Item::Text { style, at, anchor, text: text.into() });
    }

    pub(super) fn bar(&mut self, corner: (f64, f64), size: (f64, f64), opacity: f64, tip: String) {
        self.items.push(Item::Bar { corner, size, opacity, tip });
    }

    pub(super) fn frame(&mut self, corner: (f64, f64), size: (f64, f64)) {
        self.items.push(Item::Frame { corner, size });
    }

    pub(super) fn picture(&mut self, corner: (f64, f64), size: (f64, f64), pixels: RgbImage, shows: String) {
        self.items.push(Item::Picture { corner, size, pixels, shows });
    }
}
