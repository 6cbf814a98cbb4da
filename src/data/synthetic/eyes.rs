//! Eyes, brows and the lines around them.

use super::action::Actions;
use super::identity::{Glasses, Identity};
use super::pen::{Colour, Pen, Spot, flat};
use super::scene::Scene;

/// Samples along a lid.
const STEPS: usize = 8;

/// Draws both eyes, open as the actions say, looking where the scene says.
pub(super) fn eyes(pen: &mut Pen, person: &Identity, actions: &Actions, scene: &Scene) {
    for side in [-1.0, 1.0] {
        eye(pen, person, actions, scene, side);
    }
}

fn eye(pen: &mut Pen, person: &Identity, actions: &Actions, scene: &Scene, side: f32) {
    let a = actions;
    let (cx, cy) = (person.eye_x, person.eye_y);
    let narrow = 0.42 * a.lid_tight * (1.0 - 0.5 * a.upper_lid) + 0.12 * a.cheek;
    let open = ((1.0 + 0.62 * a.upper_lid - narrow) * (1.0 - a.droop)).max(0.0);
    let above = person.eye_height * open;
    let below = person.eye_height
        * (0.72 - 0.45 * a.cheek - 0.28 * a.lid_tight + 0.15 * a.upper_lid).max(0.05)
        * (1.0 - a.droop * 0.6);
    // With raised inner brows and no raised lids (sadness) the lids slope outwards.
    let slope = person.eye_tilt - 0.035 * a.inner_brow * (1.0 - a.outer_brow) * (1.0 - a.upper_lid);
    let (mut upper, mut lower) = (vec![], vec![]);
    for step in 0..=STEPS {
        let t = 2.0 * step as f32 / STEPS as f32 - 1.0;
        let bell = (1.0 - t * t).max(0.0);
        let (x, line) = (side * (cx + person.eye_width * t), cy - slope * t);
        upper.push(pen.on(x, line - above * bell.powf(0.62), 0.0));
        lower.push(pen.on(x, line + below * bell.powf(0.75), 0.0));
    }
    let skin = person.skin;
    let socket = pen.on(side * cx, cy, 0.0);
    pen.glow(socket, person.eye_width * 1.5, skin.shade(0.5).alpha(0.35));
    let white: Vec<Spot> = upper.iter().chain(lower.iter().rev()).copied().collect();
    if above + below > 0.03 {
        pen.fill(&white, Colour::bytes([232, 228, 222]));
        let radius = 0.074;
        let [look_x, look_y] = scene.gaze;
        let middle = (side * cx + 0.045 * look_x, cy - 0.008 + 0.02 * look_y);
        pen.fill(&clipped(pen, middle, radius, &upper, &lower, side), person.iris);
        pen.fill(&clipped(pen, middle, 0.042, &upper, &lower, side), Colour::bytes([12, 10, 10]));
        if above > 0.04 {
            let glint = pen.on(middle.0 - 0.024, middle.1 - 0.022, 0.0);
            pen.ellipse(glint, 0.016, 0.016, Colour::bytes([255, 255, 255]).alpha(0.9));
        }
    }
    let lash = person.brow_colour.mix(Colour::bytes([16, 12, 12]), 0.7);
    pen.line(&upper, 0.034, lash);
    pen.line(&lower, 0.014, skin.shade(0.6).alpha(0.75));
    // The crease of the upper lid, and the bag below the lower one.
    let crease: Vec<Spot> =
        upper[1..STEPS].iter().map(|spot| Spot { y: spot.y - 0.05 + 0.025 * a.brow_lower, ..*spot }).collect();
    pen.line(&crease, 0.016, skin.shade(0.55).alpha(0.6));
    let bag: Vec<Spot> = lower[1..STEPS].iter().map(|spot| Spot { y: spot.y + 0.05, ..*spot }).collect();
    pen.line(
        &bag,
        0.02,
        skin.shade(0.5).alpha((0.1 + 0.35 * person.age + 0.5 * a.cheek + 0.25 * a.lid_tight).min(0.8)),
    );
    if a.cheek > 0.3 || person.age > 0.5 {
        let outer = cx + person.eye_width;
        for rise in [-0.06, 0.0, 0.06] {
            let spots = [
                pen.on(side * (outer + 0.035), cy + rise * 0.4, 0.0),
                pen.on(side * (outer + 0.11), cy + rise * 1.3 - 0.01, 0.0),
            ];
            pen.line(
                &spots,
                0.016,
                skin.shade(0.55).alpha((0.55 * a.cheek + 0.3 * (person.age - 0.5)).clamp(0.0, 0.7)),
            );
        }
    }
}

/// A disc cut off by the lids.
fn clipped(pen: &Pen, middle: (f32, f32), radius: f32, upper: &[Spot], lower: &[Spot], side: f32) -> Vec<Spot> {
    // The lids run outwards from the nose: mirrored on the picture's left.
    let at = |lid: &[Spot], x: f32| {
        let (first, last) = (lid[0].x, lid[STEPS].x);
        let place = ((x - first) / (last - first) * STEPS as f32).clamp(0.0, STEPS as f32 - 0.001);
        let (index, part) = (place as usize, place.fract());
        lid[index].y + (lid[index + 1].y - lid[index].y) * part
    };
    debug_assert!((upper[STEPS].x - upper[0].x) * side > 0.0, "invariant: lids run outwards");
    (0..16)
        .map(|step| {
            let angle = step as f32 * std::f32::consts::TAU / 16.0;
            let x = middle.0 + radius * angle.cos();
            let y = middle.1 + radius * angle.sin();
            let (top, bottom) = (at(upper, x), at(lower, x));
            pen.on(x, y.clamp(top.min(bottom), bottom.max(top)), 0.0)
        })
        .collect()
}

/// Draws both brows and the furrows that they push up or together.
pub(super) fn brows(pen: &mut Pen, person: &Identity, actions: &Actions) {
    let a = actions;
    let base = person.eye_y + person.brow_y;
    let furrow = person.skin.shade(0.6);
    for side in [-1.0, 1.0] {
        let lower = 0.10 * a.brow_lower * (1.0 - 0.75 * a.inner_brow) + 0.05 * a.nose_wrinkle;
        let inner_x = 0.115 - 0.045 * a.brow_lower - 0.01 * a.nose_wrinkle;
        let inner_y = base + 0.002 - 0.12 * a.inner_brow + 1.15 * lower;
        let middle_y = base - 0.6 * person.brow_arch - 0.045 * a.inner_brow - 0.085 * a.outer_brow + 0.75 * lower;
        let peak_y = base - person.brow_arch - 0.11 * a.outer_brow + 0.02 * a.inner_brow + 0.15 * lower;
        let outer_y = base + 0.05 - 0.09 * a.outer_brow + 0.025 * a.inner_brow + 0.01 * a.brow_lower;
        let eye = person.eye_x;
        let path = [
            (inner_x, inner_y, 0.85),
            (0.5 * (inner_x + eye), 0.5 * (inner_y + middle_y), 1.15),
            (eye, middle_y, 1.1),
            (eye + 0.12, peak_y, 0.9),
            (eye + 0.23, outer_y, 0.35),
        ];
        let half = person.brow_width;
        let above = path.iter().map(|(x, y, part)| pen.on(side * x, y - half * part, 0.03));
        let below = path.iter().rev().map(|(x, y, part)| pen.on(side * x, y + half * part, 0.03));
        let brow: Vec<Spot> = above.chain(below).collect();
        pen.fill(&brow, person.brow_colour.alpha(0.92));
        if a.brow_lower > 0.25 {
            let lines = [pen.on(side * 0.045, inner_y - 0.07, 0.03), pen.on(side * 0.035, inner_y + 0.05, 0.05)];
            pen.line(&lines, 0.022, furrow.alpha(0.75 * a.brow_lower * (1.0 - 0.5 * a.inner_brow)));
        }
    }
    let raised = a.inner_brow.max(a.outer_brow);
    let lines = (0.75 * raised).max(0.35 * person.age) - 0.1;
    if lines > 0.05 {
        // Raised all along: long lines; raised inside only: short ones.
        let reach = if a.outer_brow > 0.3 { 0.36 } else { 0.18 + 0.15 * (1.0 - raised) };
        for height in [0.19, 0.27] {
            let y = base - height;
            let spots = [pen.on(-reach, y + 0.02, 0.0), pen.on(0.0, y, 0.0), pen.on(reach, y + 0.02, 0.0)];
            pen.line(&spots, 0.018, furrow.alpha(lines.min(0.6)));
        }
    }
}

/// Draws glasses: rims, bridge, temples, and lenses that tint or reflect a little.
pub(super) fn glasses(pen: &mut Pen, person: &Identity, glasses: &Glasses) {
    let Glasses { rim, thick, round, dark } = *glasses;
    let (x, y) = (person.eye_x, person.eye_y + 0.02);
    let (wide, high) = if round { (0.205, 0.195) } else { (0.225, 0.15) };
    for side in [-1.0, 1.0] {
        // A superellipse: between a circle and a box.
        let power = if round { 1.0 } else { 0.55 };
        let lens: Vec<Spot> = (0..16)
            .map(|step| {
                let (sin, cos) = (step as f32 * std::f32::consts::TAU / 16.0).sin_cos();
                let bend = |value: f32| value.signum() * value.abs().powf(power);
                pen.on(side * x + wide * bend(cos), y + high * bend(sin), 0.1)
            })
            .collect();
        let tint =
            if dark { Colour::bytes([18, 18, 24]).alpha(0.88) } else { Colour::bytes([220, 235, 245]).alpha(0.07) };
        pen.fill(&lens, tint);
        pen.outline(&lens, thick, rim);
        pen.line(&[pen.on(side * (x + wide), y - 0.03, 0.1), flat(side * person.width * 0.98, y - 0.06)], thick, rim);
    }
    let inner = x - wide;
    pen.line(&[pen.on(-inner, y - 0.03, 0.12), pen.on(0.0, y - 0.06, 0.16), pen.on(inner, y - 0.03, 0.12)], thick, rim);
}
