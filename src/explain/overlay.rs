//! Maps over faces.

use image::{Rgb, RgbImage};

use crate::{
    Result,
    data::{ColourOrder, Image, Transform},
    predict::SpatialMap,
};

/// Rows and columns of a face, in pixels.
pub(super) const SIDE: usize = 320;

/// The colour of a map where it is strongest; the web page's `--heat`.
const HEAT: [f32; 3] = [222.0, 96.0, 10.0];

/// The face as the network sees it, brought to a square, but with more pixels.
///
/// # Errors
/// [`crate::Error::Data`] where the image's bytes do not fit its size.
pub(super) fn face(image: &Image) -> Result<RgbImage> {
    let mut planes = vec![0.0; 3 * SIDE * SIDE];
    Transform { size: SIDE, normalise: None, order: ColourOrder::Rgb }.evaluate(image, &mut planes)?;
    let byte = |channel: usize, place: usize| (255.0 * planes[channel * SIDE * SIDE + place]).round() as u8;
    let pixel = |x: u32, y: u32| {
        let place = y as usize * SIDE + x as usize;
        Rgb([0, 1, 2].map(|channel| byte(channel, place)))
    };
    Ok(RgbImage::from_fn(SIDE as u32, SIDE as u32, pixel))
}

/// A map divided by `full`, as a colour over the face without its own: the stronger, the more opaque.
pub(super) fn over(face: &RgbImage, map: &SpatialMap, full: f32) -> RgbImage {
    let (columns, rows) = face.dimensions();
    let paint = |x: u32, y: u32| {
        let strength = at(map, (x as f32 + 0.5) / columns as f32, (y as f32 + 0.5) / rows as f32) / full;
        let [r, g, b] = face.get_pixel(x, y).0.map(f32::from);
        // Paler than the face: the colour is seen on dark hair too.
        blend(0.8 * (0.299 * r + 0.587 * g + 0.114 * b) + 0.2 * 255.0, strength)
    };
    RgbImage::from_fn(columns, rows, paint)
}

/// What the colours mean, from 0 at the left to 1 at the right.
pub(super) fn ramp(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| blend(190.0, (x as f32 + 0.5) / width as f32))
}

/// The map's colour over a grey, by the web page's curve.
fn blend(grey: f32, strength: f32) -> Rgb<u8> {
    let strength = if strength.is_finite() { strength.clamp(0.0, 1.0) } else { 0.0 };
    let opacity = 200.0 / 255.0 * strength.powf(1.3);
    Rgb(HEAT.map(|heat| (grey + (heat - grey) * opacity).round() as u8))
}

/// The map at a place of the unit square: bilinear between the centres of its cells, constant beyond the outer ones.
fn at(map: &SpatialMap, x: f32, y: f32) -> f32 {
    let along = |at: f32, count: usize| {
        let at = (at * count as f32 - 0.5).clamp(0.0, count as f32 - 1.0);
        (at as usize, (at as usize + 1).min(count - 1), at.fract())
    };
    let (left, right, u) = along(x, map.width);
    let (above, below, v) = along(y, map.height);
    let row = |y: usize| {
        let [left, right] = [left, right].map(|x| map.values[y * map.width + x]);
        left + (right - left) * u
    };
    row(above) + (row(below) - row(above)) * v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_met_at_the_centres_of_its_cells_and_halved_between_them() {
        let map = SpatialMap { width: 2, height: 2, values: vec![0.0, 1.0, 2.0, 4.0] };
        let found = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (1.0, 1.0), (0.0, 0.0), (0.5, 0.25), (0.5, 0.5)];
        assert_eq!(found.map(|(x, y)| at(&map, x, y)), [0.0, 1.0, 2.0, 4.0, 0.0, 0.5, 1.75]);
    }

    #[test]
    fn the_colour_lies_where_the_map_is_strong() {
        let map = SpatialMap { width: 2, height: 3, values: vec![0.0, 5.0, 0.0, 0.0, 0.0, 0.0] };
        let image = over(&RgbImage::from_pixel(60, 60, Rgb([100; 3])), &map, 5.0);
        assert_eq!((*image.get_pixel(59, 0), *image.get_pixel(0, 0)), (blend(131.0, 1.0), blend(131.0, 0.0)));
        assert_eq!(image.get_pixel(59, 59), image.get_pixel(0, 0));
    }

    #[test]
    fn a_stronger_place_is_more_of_the_maps_colour_and_none_is_grey() {
        assert_eq!(blend(100.0, 0.0), Rgb([100; 3]));
        assert_eq!((blend(100.0, f32::NAN), blend(100.0, 7.0)), (Rgb([100; 3]), blend(100.0, 1.0)));
        let redness = |strength: f32| i32::from(blend(100.0, strength).0[0]) - i32::from(blend(100.0, strength).0[2]);
        assert!((1..10).all(|i| redness(i as f32 / 10.0) > redness((i - 1) as f32 / 10.0)));
    }
}
