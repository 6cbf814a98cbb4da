//! The mouth: where most of an expression is told.

use super::action::Actions;
use super::identity::Identity;
use super::pen::{Colour, Pen, Spot};

/// Samples along a lip.
const STEPS: usize = 12;

/// The four lines of a mouth, left to right.
struct Lines {
    /// Upper edge of the upper lip.
    top: Vec<Spot>,
    /// Lower edge of the upper lip.
    upper: Vec<Spot>,
    /// Upper edge of the lower lip.
    lower: Vec<Spot>,
    /// Lower edge of the lower lip.
    bottom: Vec<Spot>,
    /// Half of the largest distance between the lips.
    gap: f32,
}

/// How far the chin moves down.
pub(super) fn jaw_drop(actions: &Actions) -> f32 {
    0.125 * actions.jaw + 0.12 * actions.gape + 0.02 * actions.part
}

/// Where the lip corner of a side (0 left, 1 right) is: (x away from the middle, y).
pub(super) fn corner(person: &Identity, actions: &Actions, side: usize) -> (f32, f32) {
    let (pull, dimple) = (actions.corner_pull[side], actions.dimple[side]);
    // A corner pulled up alone strains the other one down a little.
    let strain = (actions.corner_pull[1 - side] - pull).max(0.0);
    let width = person.mouth_width
        * (1.0 + 0.30 * pull + 0.30 * actions.stretch - 0.16 * actions.tight + 0.04 * dimple)
        - person.mouth_width * (0.26 * actions.jaw + 0.14 * actions.gape) * (1.0 - pull) * (1.0 - actions.stretch);
    let y = person.corners - 0.13 * pull - 0.07 * dimple
        + 0.125 * actions.corner_down
        + 0.02 * actions.stretch
        + 0.035 * strain
        + 0.4 * jaw_drop(actions);
    (width, person.mouth_y + y)
}

fn lines(pen: &Pen, person: &Identity, actions: &Actions) -> Lines {
    let a = actions;
    let drop = jaw_drop(a);
    let corners = [corner(person, a, 0), corner(person, a, 1)];
    // One corner alone leaves the middle and the other corner where they are.
    let smile = a.corner_pull[0].min(a.corner_pull[1]);
    let middle = person.mouth_y + 0.4 * drop - 0.03 * a.chin + 0.035 * smile;
    let rise = 0.035 * a.part + 0.06 * a.upper_lip * (0.4 + a.part) + 0.09 * drop;
    let fall = 0.045 * a.part + 0.06 * a.lower_lip * (0.3 + a.part) + 0.80 * drop;
    let open = a.part > 0.08 || drop > 0.03;
    let gap = if open { (rise + fall) / 2.0 } else { 0.0 };
    // Stretched mouths are square, dropped jaws oval.
    let roundness = 0.55 - 0.25 * a.stretch.max(a.lower_lip);
    let thin = (1.0 - 0.62 * a.tight - 0.22 * smile - 0.2 * a.stretch).max(0.25);
    let [upper_lip, lower_lip] = person.lips;
    let mut lines = Lines { top: vec![], upper: vec![], lower: vec![], bottom: vec![], gap };
    for step in 0..=STEPS {
        let t = 2.0 * step as f32 / STEPS as f32 - 1.0;
        let (width, end) = corners[usize::from(t > 0.0)];
        let x = width * t;
        let bell = (1.0 - t * t).max(0.0);
        // Corners that go up bend the whole line, corners that go down only its ends.
        let bend = if end < middle { 1.7 } else { 2.3 };
        let raised = -0.065 * a.upper_lip.max(0.6 * a.nose_wrinkle) * (1.0 - (1.6 * t.abs() - 0.7).powi(2)).max(0.0);
        let line = middle + (end - middle) * t.abs().powf(bend);
        let (up, down) = if open { (rise * bell.powf(roundness), fall * bell.powf(roundness)) } else { (0.0, 0.0) };
        // The smile's upper lip lies flat over the teeth.
        let up = up * (1.0 - 0.8 * smile);
        let bow = 1.0 - 0.35 * (-(t / 0.16).powi(2)).exp();
        let upper = line - up + raised;
        let lower = line + down + 0.5 * raised;
        lines.top.push(pen.on(x, upper - upper_lip * thin * bow * bell.powf(0.75), 0.06));
        lines.upper.push(pen.on(x, upper, 0.06));
        lines.lower.push(pen.on(x, lower, 0.06));
        let pout = 1.0 + 0.35 * a.chin - 0.3 * a.lower_lip;
        lines.bottom.push(pen.on(x, lower + lower_lip * thin * pout * bell.powf(0.7), 0.06));
    }
    lines
}

/// The area between two lines.
fn between(above: &[Spot], below: &[Spot]) -> Vec<Spot> {
    above.iter().chain(below.iter().rev()).copied().collect()
}

/// The line a part of the way from one to another.
fn part_way(from: &[Spot], to: &[Spot], part: f32) -> Vec<Spot> {
    from.iter().zip(to).map(|(a, b)| Spot { y: a.y + (b.y - a.y) * part, ..*a }).collect()
}

/// Draws lips, teeth and tongue, and the marks the mouth leaves on the skin around it.
pub(super) fn draw(pen: &mut Pen, person: &Identity, actions: &Actions) {
    let lines = lines(pen, person, actions);
    let fold = person.skin.shade(0.55);
    folds(pen, person, actions, fold);
    let lip = person.lip_colour;
    let dark = Colour::bytes([52, 16, 20]);
    pen.fill(&between(&lines.top, &lines.upper), lip.shade(0.16));
    pen.fill(&between(&lines.lower, &lines.bottom), lip);
    let shine: Vec<Spot> = part_way(&lines.lower, &lines.bottom, 0.42)[4..=8].to_vec();
    pen.line(&shine, 0.018, lip.mix(Colour::bytes([255, 240, 235]), 0.45).alpha(0.7));
    if lines.gap > 0.012 {
        pen.fill(&between(&lines.upper, &lines.lower), dark);
        let inner = 2..STEPS - 1;
        if lines.gap > 0.09 {
            let tongue = part_way(&lines.upper, &lines.lower, 0.66);
            pen.fill(&between(&tongue[3..STEPS - 2], &lines.lower[3..STEPS - 2]), Colour::bytes([176, 74, 82]));
        }
        let height = (0.055 + 0.03 * actions.upper_lip.max(actions.corner_pull[0].max(actions.corner_pull[1])))
            / (2.0 * lines.gap);
        let edge = part_way(&lines.upper, &lines.lower, height.min(0.82));
        let teeth = Colour::bytes([244, 238, 226]);
        pen.fill(&between(&lines.upper[inner.clone()], &edge[inner.clone()]), teeth);
        if actions.lower_lip > 0.25 && lines.gap > 0.03 {
            let edge = part_way(&lines.upper, &lines.lower, (1.0 - 0.6 * height).max(0.62));
            pen.fill(&between(&edge[inner.clone()], &lines.lower[inner]), teeth.times(0.93));
        }
        pen.line(&lines.upper, 0.014, dark.alpha(0.5));
    } else {
        pen.line(&lines.upper, 0.024 + 0.008 * actions.tight, lip.shade(0.68));
    }
    // The shadow below the lower lip.
    let below: Vec<Spot> = lines.bottom[3..=9].iter().map(|spot| Spot { y: spot.y + 0.035, ..*spot }).collect();
    pen.line(&below, 0.03, fold.alpha(0.28 + 0.3 * actions.chin));
}

/// Nasolabial folds, dimples and the furrows at the corners.
fn folds(pen: &mut Pen, person: &Identity, actions: &Actions, fold: Colour) {
    for (side, sign) in [(0, -1.0), (1, 1.0)] {
        let (x, y) = corner(person, actions, side);
        let (pull, dimple) = (actions.corner_pull[side], actions.dimple[side]);
        let depth = 0.08 + 0.25 * person.age + 0.65 * pull + 0.5 * actions.nose_wrinkle + 0.3 * actions.upper_lip;
        let wing = person.nose_width + 0.035;
        let spots = [
            pen.on(sign * wing, person.nose_y - 0.05, 0.04),
            pen.on(sign * (wing + 0.55 * (x + 0.07 - wing)), person.nose_y + 0.07, 0.04),
            pen.on(sign * (x + 0.075), y - 0.06, 0.02),
            pen.on(sign * (x + 0.085 + 0.02 * pull), y + 0.02, 0.0),
        ];
        pen.line(&spots, 0.026, fold.alpha(depth.min(0.85)));
        if dimple > 0.3 {
            let mark = [
                pen.on(sign * (x + 0.055), y - 0.055, 0.03),
                pen.on(sign * (x + 0.085), y, 0.03),
                pen.on(sign * (x + 0.05), y + 0.05, 0.03),
            ];
            pen.line(&mark, 0.04, fold.alpha(0.9 * dimple));
        }
        if actions.corner_down > 0.3 {
            let mark = [pen.on(sign * (x + 0.015), y + 0.02, 0.03), pen.on(sign * (x + 0.05), y + 0.12, 0.03)];
            pen.line(&mark, 0.028, fold.alpha(0.6 * actions.corner_down));
        }
    }
}
