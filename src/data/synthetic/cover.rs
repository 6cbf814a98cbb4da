//! What stands before a face: a hand, a lock of hair, a corner or caption of something else, a mask.
//!
//! Rare, and mostly beside the parts that tell the expression, so that a face stays readable.

use super::identity::{Hair, Identity};
use super::pen::{Colour, Pen, Spot, flat};
use super::scene::Scene;

/// An occlusion, with its place in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cover {
    /// A hand at a cheek or the chin's side; negative on the left.
    Hand(f32),
    /// A lock of hair over one temple.
    Lock(f32),
    /// A box that covers a corner of the picture.
    Corner([f32; 2], Colour),
    /// A bar along the picture's lower or upper edge.
    Caption(f32, Colour),
    /// A mask pulled down below the lower lip.
    Mask,
}

/// Draws the scene's occlusion, if it has one.
pub(super) fn draw(pen: &mut Pen, person: &Identity, scene: &Scene) {
    match scene.cover {
        None => {}
        Some(Cover::Hand(side)) => hand(pen, person, side),
        Some(Cover::Lock(_)) if matches!(person.hair, Hair::Bald | Hair::Buzz | Hair::Scarf) => {}
        Some(Cover::Lock(side)) => {
            let x = side.signum() * person.width;
            let spots = [
                flat(x * 0.2, -person.forehead * 1.05),
                flat(x * 0.75, -0.75),
                flat(x * 0.82, -0.2),
                flat(x * 0.78, 0.35),
                flat(x * 1.06, 0.1),
                flat(x * 1.05, -0.6),
            ];
            pen.fill(&spots, person.hair_colour.times(0.95));
        }
        Some(Cover::Corner([x, y], colour)) => {
            let size = pen.size;
            let (left, top) = (if x < 0.5 { 0.0 } else { size * 0.74 }, if y < 0.5 { 0.0 } else { size * 0.78 });
            let (right, bottom) = (left + size * 0.26, top + size * 0.22);
            pen.polygon(&[[left, top], [right, top], [right, bottom], [left, bottom]], colour);
        }
        Some(Cover::Caption(place, colour)) => {
            let (size, high) = (pen.size, 0.07 + 0.04 * place.fract());
            let top = if place < 0.5 { 0.0 } else { size * (1.0 - high) };
            let bottom = top + size * high;
            pen.polygon(&[[0.0, top], [size, top], [size, bottom], [0.0, bottom]], colour);
            for step in 0..6 {
                // Something like letters.
                let x = size * (0.1 + 0.13 * step as f32);
                let (from, to) = (top + 0.3 * size * high, bottom - 0.3 * size * high);
                pen.polygon(
                    &[[x, from], [x + 0.07 * size, from], [x + 0.07 * size, to], [x, to]],
                    Colour { rgb: colour.rgb.map(|c| 1.0 - c), alpha: 0.8 },
                );
            }
        }
        Some(Cover::Mask) => {
            let w = person.width;
            let cloth = Colour::bytes([196, 214, 222]);
            let spots = [
                flat(-0.86 * w, 0.62),
                pen.on(0.0, 0.83, 0.1),
                flat(0.86 * w, 0.62),
                flat(0.62 * w, 0.98),
                flat(0.0, 1.16),
                flat(-0.62 * w, 0.98),
            ];
            pen.fill(&spots, cloth);
            pen.line(
                &[pen.on(-0.3, 0.92, 0.1), pen.on(0.0, 0.96, 0.12), pen.on(0.3, 0.92, 0.1)],
                0.02,
                cloth.times(0.8),
            );
        }
    }
}

/// Four fingers against the cheek and the back of the hand below.
fn hand(pen: &mut Pen, person: &Identity, side: f32) {
    let sign = side.signum();
    let skin = person.skin.times(0.96);
    let edge = skin.shade(0.5);
    let palm = [
        Spot { x: sign * 0.62, y: 0.55, z: 0.2 },
        Spot { x: sign * 1.05, y: 0.5, z: 0.1 },
        Spot { x: sign * 1.1, y: 1.6, z: 0.0 },
        Spot { x: sign * 0.55, y: 1.5, z: 0.1 },
    ];
    pen.fill(&palm, skin);
    for finger in 0..4 {
        let place = finger as f32;
        let base = Spot { x: sign * (0.66 + 0.11 * place), y: 0.62, z: 0.25 };
        let tip = Spot { x: sign * (0.50 + 0.13 * place), y: 0.20 - 0.10 * (1.5 - (place - 1.5).abs()), z: 0.3 };
        pen.line(&[base, tip], 0.135, edge);
        pen.line(&[base, tip], 0.11, skin);
    }
}
