//! Hair behind and before the face, and scarves. Nothing here comes lower than the brows can go up.

use super::identity::{Hair, Identity};
use super::pen::{Colour, Pen, Spot, flat};

/// What hangs behind the head.
pub(super) fn behind(pen: &mut Pen, person: &Identity) {
    let (width, top, colour) = (person.width, person.forehead, person.hair_colour);
    let back = colour.times(0.72);
    match person.hair {
        Hair::Bald | Hair::Buzz | Hair::Parted | Hair::Up => {}
        Hair::Fringe => pen.fill(&mane(width * 1.22, top * 1.16, 0.72), back),
        Hair::Long => pen.fill(&mane(width * 1.28, top * 1.14, 1.7), back),
        Hair::Curly => curls(pen, person, back),
        Hair::Bun => {
            pen.ellipse(flat(0.0, -top * 1.25), 0.3, 0.26, colour.times(0.9));
            pen.fill(&mane(width * 1.08, top * 1.1, 0.1), back);
        }
        Hair::Scarf => pen.fill(&mane(width * 1.28, top * 1.16, 1.6), person.cloth.times(0.8)),
    }
}

/// A shape around the head, down to `low`.
fn mane(width: f32, top: f32, low: f32) -> [Spot; 9] {
    let at = |x: f32, y: f32| Spot { x: x * width, y, z: -0.25 };
    [
        at(0.0, -top),
        at(0.75, -top * 0.8),
        at(1.0, -0.2),
        at(1.0, low * 0.7),
        at(0.7, low),
        at(-0.7, low),
        at(-1.0, low * 0.7),
        at(-1.0, -0.2),
        at(-0.75, -top * 0.8),
    ]
}

fn curls(pen: &mut Pen, person: &Identity, colour: Colour) {
    for step in 0..11 {
        let angle = std::f32::consts::PI * (1.0 + step as f32 / 10.0 * 1.24 - 0.12);
        let (sin, cos) = angle.sin_cos();
        let spot = Spot { x: 1.02 * person.width * cos, y: 0.95 * person.forehead * sin + 0.02, z: -0.2 };
        pen.ellipse(spot, 0.3, 0.3, colour.times(if step % 2 == 0 { 1.0 } else { 1.12 }));
    }
}

/// The cap from one temple over the crown to the other, down to a hairline given from left to right.
fn cap(person: &Identity, grow: f32, temple: f32, hairline: &[(f32, f32)]) -> Vec<Spot> {
    let (width, top) = (person.width, person.forehead);
    let mut spots = vec![
        flat(-width * (1.0 + 0.4 * grow), temple),
        flat(-width * (0.97 + 0.5 * grow), -top * 0.55),
        flat(-width * (0.58 + 0.4 * grow), -top * (0.93 + 0.6 * grow)),
        flat(0.0, -top * (1.0 + grow)),
        flat(width * (0.58 + 0.4 * grow), -top * (0.93 + 0.6 * grow)),
        flat(width * (0.97 + 0.5 * grow), -top * 0.55),
        flat(width * (1.0 + 0.4 * grow), temple),
    ];
    spots.extend(hairline.iter().rev().map(|(x, y)| {
        let bulge = (1.0 - x * x - (y / 1.3).powi(2)).max(0.0);
        Spot { x: x * width, y: *y, z: 0.5 * bulge.sqrt() }
    }));
    spots
}

/// What covers the crown and the forehead.
pub(super) fn before(pen: &mut Pen, person: &Identity) {
    let colour = person.hair_colour;
    let side = person.hair_side;
    let line = -0.78 * person.forehead;
    // Left to right for a parting on the right; mirrored for one on the left.
    let sided = |mut spots: Vec<(f32, f32)>| {
        if side < 0.0 {
            spots.reverse();
            spots.iter_mut().for_each(|spot| spot.0 = -spot.0);
        }
        spots
    };
    match person.hair {
        Hair::Bald => {
            let shine = pen.on(0.12 * side, -0.8 * person.forehead, 0.0);
            pen.glow(shine, 0.28, Colour::bytes([255, 250, 244]).alpha(0.28));
        }
        Hair::Buzz => {
            let hairline = [(-0.92, -0.35), (-0.72, line + 0.1), (0.0, line), (0.72, line + 0.1), (0.92, -0.35)];
            pen.fill(&cap(person, 0.02, -0.25, &hairline), colour.alpha(0.8));
        }
        Hair::Parted => {
            let hairline = sided(vec![
                (-0.93, -0.3),
                (-0.8, line + 0.14),
                (-0.2, line + 0.1),
                (0.45, line - 0.06),
                (0.75, line + 0.08),
                (0.93, -0.3),
            ]);
            pen.fill(&cap(person, 0.14, -0.15, &hairline), colour);
            strands(pen, person, side);
        }
        Hair::Up => {
            let hairline = [(-0.92, -0.3), (-0.75, line + 0.06), (0.0, line - 0.04), (0.75, line + 0.06), (0.92, -0.3)];
            pen.fill(&cap(person, 0.22, -0.1, &hairline), colour);
            strands(pen, person, side);
        }
        Hair::Fringe => {
            let low = line + 0.17;
            let hairline = [
                (-0.92, 0.1),
                (-0.86, -0.4),
                (-0.5, low),
                (-0.1, low + 0.02),
                (0.3, low - 0.02),
                (0.86, -0.4),
                (0.92, 0.1),
            ];
            pen.fill(&cap(person, 0.16, 0.35, &hairline), colour);
            strands(pen, person, side);
        }
        Hair::Long => {
            let hairline = sided(vec![
                (-0.94, 0.3),
                (-0.88, -0.3),
                (-0.55, line + 0.08),
                (0.1, line - 0.12),
                (0.62, line + 0.12),
                (0.9, -0.3),
                (0.94, 0.3),
            ]);
            pen.fill(&cap(person, 0.14, 0.6, &hairline), colour);
            strands(pen, person, side);
        }
        Hair::Curly => {
            for step in 0..8 {
                let place = step as f32 / 7.0 * 2.0 - 1.0;
                let y = line - 0.14 + 0.3 * place * place;
                let tone = colour.times(if step % 2 == 0 { 1.0 } else { 1.18 });
                pen.ellipse(Spot { x: 0.92 * person.width * place, y, z: 0.1 }, 0.19, 0.17, tone);
            }
        }
        Hair::Bun => {
            let hairline = [(-0.94, -0.2), (-0.8, line + 0.06), (0.0, line - 0.06), (0.8, line + 0.06), (0.94, -0.2)];
            pen.fill(&cap(person, 0.08, -0.1, &hairline), colour);
            strands(pen, person, side);
        }
        Hair::Scarf => scarf(pen, person, line),
    }
}

/// A few lighter strands, so that hair is not one flat patch.
fn strands(pen: &mut Pen, person: &Identity, side: f32) {
    let light = person.hair_colour.mix(Colour::bytes([255, 236, 210]), 0.22).alpha(0.6);
    let (width, top) = (person.width, person.forehead);
    for step in 0..4 {
        let x = width * (-0.6 + 0.36 * step as f32) * side;
        let spots = [flat(x * 0.6, -top * 1.04), flat(x, -top * 0.97), flat(x * 1.2, -top * 0.86)];
        pen.line(&spots, 0.028, light);
    }
}

/// A scarf: a ring of cloth around the face.
fn scarf(pen: &mut Pen, person: &Identity, line: f32) {
    let (width, top, cloth) = (person.width, person.forehead, person.cloth);
    let hairline = [
        (-0.93, 0.2),
        (-0.85, -0.35),
        (-0.6, line + 0.1),
        (0.0, line + 0.02),
        (0.6, line + 0.1),
        (0.85, -0.35),
        (0.93, 0.2),
    ];
    pen.fill(&cap(person, 0.14, 0.5, &hairline), cloth);
    let fold = [
        flat(-width * 1.05, 0.1),
        flat(-width * 0.98, -top * 0.55),
        flat(0.0, -top * 1.03),
        flat(width * 0.98, -top * 0.55),
        flat(width * 1.05, 0.1),
    ];
    pen.line(&fold, 0.03, cloth.times(0.72));
    for side in [-1.0, 1.0] {
        let x = side * width;
        let spots = [
            flat(x * 0.97, 0.1),
            flat(x * 0.9, 0.62),
            flat(x * 0.55, 1.02),
            flat(x * 0.7, 1.5),
            flat(x * 1.4, 1.5),
            flat(x * 1.2, 0.4),
        ];
        pen.fill(&spots, cloth);
    }
    let under = [
        Spot { x: -0.5 * width, y: 1.08, z: -0.1 },
        Spot { x: 0.0, y: 1.2, z: -0.1 },
        Spot { x: 0.5 * width, y: 1.08, z: -0.1 },
        Spot { x: 0.8 * width, y: 1.7, z: -0.1 },
        Spot { x: -0.8 * width, y: 1.7, z: -0.1 },
    ];
    pen.fill(&under, cloth.times(0.88));
}
