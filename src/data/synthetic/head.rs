//! The head from back to front: hair behind, neck, ears, skin, features, hair before.

use super::action::Actions;
use super::identity::{Beard, Identity};
use super::pen::{Colour, Pen, Spot, flat};
use super::scene::Scene;
use super::{eyes, hair, mouth};

/// Half a face's outline, from the top down, as (part of the width, y).
fn contour(person: &Identity, drop: f32) -> [(f32, f32); 8] {
    let Identity { jaw, chin, forehead, .. } = *person;
    [
        (0.0, -forehead),
        (0.55, -forehead * 0.93),
        (0.90, -forehead * 0.62),
        (1.0, -0.12),
        (0.97, 0.25 + 0.2 * drop),
        (0.93 * jaw, 0.55 + 0.6 * drop),
        (chin / 0.72 + 0.1, 0.86 + 0.95 * drop),
        (0.0, 1.0 + drop),
    ]
}

/// The outline of the face, all around.
pub(super) fn outline(person: &Identity, drop: f32) -> Vec<Spot> {
    let half = contour(person, drop);
    let right = half.iter().map(|(x, y)| flat(x * person.width, *y));
    let left = half[1..7].iter().rev().map(|(x, y)| flat(-x * person.width, *y));
    right.chain(left).collect()
}

/// Draws the whole head.
pub(super) fn draw(pen: &mut Pen, person: &Identity, actions: &Actions, scene: &Scene) {
    let drop = mouth::jaw_drop(actions);
    hair::behind(pen, person);
    body(pen, person);
    ears(pen, person);
    skin(pen, person, actions, scene, drop);
    beard(pen, person, actions, drop);
    eyes::eyes(pen, person, actions, scene);
    nose(pen, person, actions, scene);
    mouth::draw(pen, person, actions);
    if person.beard == Beard::Moustache || person.beard == Beard::Full || person.beard == Beard::Goatee {
        moustache(pen, person, actions);
    }
    eyes::brows(pen, person, actions);
    hair::before(pen, person);
    if let Some(glasses) = &person.glasses {
        eyes::glasses(pen, person, glasses);
    }
}

fn body(pen: &mut Pen, person: &Identity) {
    let width = person.width;
    let at = |x: f32, y: f32| Spot { x, y, z: -0.3 };
    let neck =
        [at(-0.62 * width, 0.5), at(0.62 * width, 0.5), at(0.66 * width, 1.5), at(0.0, 1.75), at(-0.66 * width, 1.5)];
    pen.fill(&neck, person.skin.shade(0.28));
    let shoulders = [
        at(-0.6 * width, 1.27),
        at(0.0, 1.52),
        at(0.6 * width, 1.27),
        at(1.5, 1.55),
        at(1.9, 2.6),
        at(-1.9, 2.6),
        at(-1.5, 1.55),
    ];
    pen.fill(&shoulders, person.cloth);
    pen.line(&shoulders[..3], 0.05, person.cloth.times(0.75));
}

fn ears(pen: &mut Pen, person: &Identity) {
    for side in [-1.0, 1.0] {
        let x = side * person.width;
        let middle = Spot { x: x * 1.03, y: 0.0, z: -0.08 };
        pen.ellipse(middle, 0.11 * person.ears, 0.20 * person.ears, person.skin.shade(0.12));
        pen.ellipse(Spot { x: x * 1.05, ..middle }, 0.055, 0.11, person.skin.shade(0.38));
    }
}

fn skin(pen: &mut Pen, person: &Identity, actions: &Actions, scene: &Scene, drop: f32) {
    let around = outline(person, drop);
    let [light_x, light_y] = scene.light;
    let skin = person.skin;
    let bright = pen.on(0.32 * light_x, -0.05 + 0.3 * light_y, 0.0);
    let pale = skin.mix(Colour::bytes([255, 244, 232]), 0.12);
    pen.fill_shaded(&around, bright, 1.35, pale, skin.shade(0.36));
    pen.outline(&around, 0.03, skin.shade(0.45).alpha(0.5));
    // Blood in the cheeks, more when they are raised.
    for side in [-1.0, 1.0] {
        let cheek = pen.on(side * 0.40, 0.20 - 0.05 * actions.cheek, 0.0);
        pen.glow(cheek, 0.26, Colour::bytes([214, 92, 84]).alpha(0.16 + 0.10 * actions.cheek));
        if actions.cheek > 0.3 {
            pen.glow(pen.on(side * 0.40, 0.12, 0.0), 0.15, pale.alpha(0.55 * actions.cheek));
        }
        if person.freckles {
            for (x, y) in [(0.24, 0.12), (0.33, 0.18), (0.42, 0.11), (0.29, 0.24), (0.38, 0.27), (0.49, 0.2)] {
                pen.ellipse(pen.on(side * x, y, 0.0), 0.012, 0.012, skin.shade(0.5).alpha(0.6));
            }
        }
    }
    if actions.chin > 0.35 {
        let y = 0.82 + drop;
        for x in [-0.06, 0.0, 0.06] {
            pen.glow(pen.on(x, y + 0.3 * x.abs(), 0.05), 0.05, skin.shade(0.6).alpha(0.5 * actions.chin));
        }
    }
    if actions.jaw.max(actions.gape) > 0.4 {
        // A dropped jaw hollows the cheeks.
        for side in [-1.0, 1.0] {
            let spots = [pen.on(side * 0.43, 0.3, 0.0), pen.on(side * 0.45, 0.55 + drop, 0.0)];
            pen.line(&spots, 0.05, skin.shade(0.5).alpha(0.22));
        }
    }
}

fn nose(pen: &mut Pen, person: &Identity, actions: &Actions, scene: &Scene) {
    let skin = person.skin;
    let shade = skin.shade(0.55);
    let wrinkle = actions.nose_wrinkle;
    let y = person.nose_y - 0.055 * wrinkle - 0.015 * actions.upper_lip;
    let width = person.nose_width * (1.0 + 0.16 * wrinkle);
    // The side away from the light lies in shadow.
    let away = if scene.light[0] > 0.0 { -1.0 } else { 1.0 };
    let side = [
        pen.on(away * 0.07, person.eye_y - 0.02, 0.05),
        pen.on(away * 0.075, 0.5 * (person.eye_y + y), 0.14),
        pen.on(away * width * 0.85, y - 0.06, 0.16),
    ];
    pen.line(&side, 0.05, shade.alpha(0.32));
    pen.line(
        &[pen.on(0.0, person.eye_y, 0.1), pen.on(0.0, y - 0.06, 0.26)],
        0.06,
        skin.mix(Colour::bytes([255, 250, 240]), 0.4).alpha(0.35),
    );
    for side in [-1.0, 1.0] {
        let wing = [
            pen.on(side * width * 0.78, y - 0.09, 0.12),
            pen.on(side * width * 1.02, y - 0.02, 0.10),
            pen.on(side * width * 0.72, y + 0.035, 0.12),
        ];
        pen.line(&wing, 0.024, shade.alpha(0.6 + 0.3 * wrinkle));
        pen.ellipse(pen.on(side * width * 0.45, y + 0.015, 0.16), 0.042, 0.022, skin.shade(0.78).alpha(0.9));
        if wrinkle > 0.25 {
            // The wrinkles across the bridge and down its sides.
            for step in 0..3 {
                let height = person.eye_y + 0.02 + 0.075 * step as f32;
                let spots = [pen.on(side * 0.02, height + 0.02, 0.14), pen.on(side * 0.115, height - 0.025, 0.06)];
                pen.line(&spots, 0.024, shade.alpha(0.75 * wrinkle));
            }
        }
    }
    let under =
        [pen.on(-width * 0.7, y + 0.03, 0.12), pen.on(0.0, y + 0.055, 0.2), pen.on(width * 0.7, y + 0.03, 0.12)];
    pen.line(&under, 0.022, shade.alpha(0.5));
    let [x, _] = scene.light;
    pen.glow(pen.on(0.04 * x, y - 0.05, 0.26), 0.08, Colour::bytes([255, 250, 244]).alpha(0.35));
}

/// The skin of the lower face that a beard covers; the mouth is drawn over it.
fn beard(pen: &mut Pen, person: &Identity, actions: &Actions, drop: f32) {
    let hair = person.hair_colour.mix(person.brow_colour, 0.5);
    let width = person.width;
    match person.beard {
        Beard::None | Beard::Moustache => {}
        Beard::Stubble | Beard::Full => {
            let full = person.beard == Beard::Full;
            let low = if full { 0.08 } else { 0.0 };
            let half = contour(person, drop);
            let mut spots: Vec<Spot> = half[4..8].iter().map(|(x, y)| flat(x * width, y + low)).collect();
            spots.extend(half[4..7].iter().rev().map(|(x, y)| flat(-x * width, y + low)));
            let up = mouth::corner(person, actions, 0).1.min(person.mouth_y);
            spots.extend([
                pen.on(-0.42, up - 0.02, 0.0),
                pen.on(0.0, person.nose_y + 0.1, 0.05),
                pen.on(0.42, up - 0.02, 0.0),
            ]);
            pen.fill(&spots, hair.alpha(if full { 0.85 } else { 0.26 }));
            if full {
                // Room around the mouth, so that its corners stay visible.
                let (x, y) = mouth::corner(person, actions, 1);
                pen.ellipse(
                    pen.on(0.0, 0.5 * (y + person.mouth_y) + 0.3 * drop, 0.0),
                    x + 0.07,
                    0.14 + drop,
                    person.skin.shade(0.2).alpha(0.75),
                );
            }
        }
        Beard::Goatee => {
            let y = 0.83 + drop;
            let spots = [
                pen.on(-0.2, y - 0.06, 0.0),
                pen.on(0.2, y - 0.06, 0.0),
                pen.on(0.14, y + 0.2, 0.0),
                pen.on(-0.14, y + 0.2, 0.0),
            ];
            pen.fill(&spots, hair.alpha(0.85));
        }
    }
}

fn moustache(pen: &mut Pen, person: &Identity, actions: &Actions) {
    let hair = person.hair_colour.mix(person.brow_colour, 0.5);
    let top = person.nose_y + 0.075;
    let lip = person.mouth_y - person.lips[0] - 0.05 * actions.upper_lip - 0.015;
    for side in [0, 1] {
        let sign = if side == 0 { -1.0 } else { 1.0 };
        let (x, y) = mouth::corner(person, actions, side);
        let spots = [
            pen.on(0.0, top, 0.1),
            pen.on(sign * 0.6 * x, top + 0.03, 0.08),
            pen.on(sign * 0.85 * x, y - 0.07, 0.05),
            pen.on(sign * 0.55 * x, lip.max(top + 0.06), 0.08),
            pen.on(0.0, lip.max(top + 0.05), 0.1),
        ];
        pen.fill(&spots, hair.alpha(0.9));
    }
}
