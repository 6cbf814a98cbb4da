//! Where everything stands: the answer and the face at the top, then a row for each branch.

use image::RgbImage;

use super::{
    Branch, Explanation, TITLE, figure, largest,
    overlay::{self, over, ramp},
    range,
    scene::{Anchor, Scene, Style},
};
use crate::{
    Result,
    models::Decision,
    predict::{KINDS, Kinship},
};

/// Around everything, and between columns.
const MARGIN: f64 = 20.0;
/// Names, bars and figures of the classes.
const BARS: f64 = 290.0;
/// The edge of a face.
const TILE: f64 = 160.0;
/// From the top of a row to its bars and faces.
const HEADING: f64 = 24.0;
/// Below a row.
const GAP: f64 = 30.0;
/// From one class to the next.
const LINE: f64 = 18.0;
/// More classes than this are not all shown.
const MOST: usize = 10;

/// The scene of an explanation.
pub(super) fn scene(of: &Explanation<'_>) -> Result<Scene> {
    let branches: Vec<_> = of.branches().collect();
    let attention = of.attention();
    let row = TILE.max(LINE * of.classes.len().min(MOST) as f64) + HEADING + GAP;
    let first = 2.0 * MARGIN + 30.0;
    let key = first + row * (1 + branches.len()) as f64;
    let mut scene = Scene {
        width: MARGIN + BARS + 2.0 * (MARGIN + TILE) + MARGIN,
        height: key + if attention.is_some() { 74.0 } else { 54.0 },
        title: format!("{TITLE}{}", of.name),
        items: vec![],
    };
    let face = overlay::face(of.image)?;
    title(&mut scene, of);
    ensemble(&mut scene, of, &face, first);
    for (index, branch) in branches.iter().enumerate() {
        branch_row(&mut scene, of, branch, &face, first + row * (1 + index) as f64);
    }
    legend(&mut scene, of, key);
    Ok(scene)
}

/// The left edge of a column of faces.
fn column(index: usize) -> f64 {
    MARGIN + BARS + MARGIN + (TILE + MARGIN) * index as f64
}

fn title(scene: &mut Scene, of: &Explanation<'_>) {
    let answer = &of.classes[of.prediction.class];
    let name = clipped(of.name, 44);
    scene.text(Style::Head, (MARGIN, MARGIN + 14.0), Anchor::Start, format!("{name}: {}", clipped(answer, 20)));
    let how = match of.network.decision() {
        Decision::Vote => {
            let mut votes: Vec<_> =
                of.prediction.votes.iter().zip(of.classes).filter(|(votes, _)| **votes > 0).collect();
            votes.sort_by_key(|(votes, _)| std::cmp::Reverse(**votes));
            let votes: Vec<_> = votes.into_iter().map(|(votes, class)| format!("{class} {votes}")).collect();
            format!("apparent expression; the branches' votes: {}", votes.join(", "))
        }
        Decision::Last => "apparent expression by the combined head".into(),
    };
    scene.text(Style::Soft, (MARGIN, MARGIN + 34.0), Anchor::Start, clipped(&how, 110));
}

/// The answer's probabilities, the face, and how alike the branches are.
fn ensemble(scene: &mut Scene, of: &Explanation<'_>, face: &RgbImage, top: f64) {
    let heading = match of.network.decision() {
        _ if of.prediction.probabilities != of.prediction.mean => "answer: calibrated probability",
        Decision::Vote => "all: mean probability",
        Decision::Last => "combined head",
    };
    let heading = match of.classes.len() {
        all if all > MOST => format!("{heading}, {MOST} of {all} classes"),
        _ => heading.into(),
    };
    scene.text(Style::Plain, (MARGIN, top + 12.0), Anchor::Start, heading);
    bars(scene, of, &of.prediction.probabilities, of.prediction.class, top + HEADING);
    scene.text(Style::Plain, (column(0), top + 12.0), Anchor::Start, "face");
    let corner = (column(0), top + HEADING);
    scene.picture(corner, (TILE, TILE), face.clone(), "the face".into());
    let kinships = KINDS.iter().zip(&of.prediction.kinships);
    let kinships: Vec<_> = kinships.filter_map(|(kind, kinship)| Some((kind, kinship.as_ref()?))).collect();
    if kinships.is_empty() {
        return;
    }
    let heading = format!("similarity of {}", of.learners());
    scene.text(Style::Plain, (column(1), top + 12.0), Anchor::Start, heading);
    let side = (TILE - 12.0) / 2.0;
    for (index, (kind, kinship)) in kinships.into_iter().enumerate() {
        let corner = (column(1) + (side + 12.0) * index as f64, top + HEADING);
        matrix(scene, kinship, corner, side);
        scene.text(Style::Soft, (corner.0, corner.1 + side + 16.0), Anchor::Start, *kind);
        let determinant = format!("det S {}", figure(kinship.determinant));
        scene.text(Style::Soft, (corner.0, corner.1 + side + 31.0), Anchor::Start, determinant);
    }
}

fn matrix(scene: &mut Scene, kinship: &Kinship, corner: (f64, f64), side: f64) {
    let count = kinship.similarity.len().isqrt();
    let cell = side / count as f64;
    for (index, &value) in kinship.similarity.iter().enumerate() {
        let at = (corner.0 + cell * (index % count) as f64, corner.1 + cell * (index / count) as f64);
        let shade = if value.is_finite() { f64::from(value).clamp(0.0, 1.0) } else { 0.0 };
        scene.bar(at, (cell, cell), shade, format!("{} and {}: {value:.4}", index / count, index % count));
    }
    scene.frame(corner, (side, side));
}

fn branch_row(scene: &mut Scene, of: &Explanation<'_>, branch: &Branch<'_>, face: &RgbImage, top: f64) {
    let class = |class: usize| clipped(&of.classes[class], 14);
    let heading = format!("{}: {}", branch.name, class(branch.answer.class));
    scene.text(Style::Head, (MARGIN, top + 12.0), Anchor::Start, heading);
    bars(scene, of, &branch.answer.probabilities, branch.answer.class, top + HEADING);
    let mut tile = |index: usize, heading: &str, pixels: Option<RgbImage>, caption: &str| {
        let corner = (column(index), top + HEADING);
        scene.text(Style::Plain, (corner.0, top + 12.0), Anchor::Start, heading);
        if let Some(pixels) = pixels {
            scene.picture(corner, (TILE, TILE), pixels, format!("{}: {heading}, {caption}", branch.name));
        } else {
            scene.frame(corner, (TILE, TILE));
        }
        scene.text(Style::Soft, (corner.0, corner.1 + TILE + 14.0), Anchor::Start, caption);
    };
    let mut next = 0;
    if let Some((kind, within_one)) = of.attention() {
        match &branch.answer.attention {
            Some(map) => {
                let full = if within_one { 1.0 } else { largest(map) };
                let [low, high] = range(map).map(figure);
                tile(0, kind, Some(over(face, map, full)), &format!("{low} to {high}"));
            }
            None => tile(0, kind, None, "this branch has none"),
        }
        next = 1;
    }
    let strongest = branch.strongest();
    let caption = match strongest {
        0.0 => "nothing speaks for it".into(),
        _ => format!("largest {}", figure(strongest)),
    };
    let heading = format!("Grad-CAM: {}", class(branch.class));
    tile(next, &heading, Some(over(face, &branch.grad_cam, strongest)), &caption);
}

/// The probabilities of the classes, that of `chosen` in full colour.
fn bars(scene: &mut Scene, of: &Explanation<'_>, probabilities: &[f32], chosen: usize, top: f64) {
    let mut classes: Vec<usize> = (0..of.classes.len()).collect();
    if classes.len() > MOST {
        classes.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
        classes.truncate(MOST);
    }
    let (name, figure) = (98.0, 44.0);
    for (line, class) in classes.into_iter().enumerate() {
        let y = top + LINE * line as f64;
        let p = f64::from(probabilities[class]);
        scene.text(Style::Plain, (MARGIN + name, y + 13.0), Anchor::End, clipped(&of.classes[class], 13));
        let (left, most) = (MARGIN + name + 8.0, BARS - name - 8.0 - figure);
        let opacity = if class == chosen { 1.0 } else { 0.4 };
        let tip = format!("{}: {p:.4}", of.classes[class]);
        scene.bar((left, y + 3.0), ((most * p).max(0.5), LINE - 6.0), opacity, tip);
        scene.text(Style::Soft, (left + most * p + 6.0, y + 13.0), Anchor::Start, format!("{p:.3}"));
    }
}

/// What the colours mean.
fn legend(scene: &mut Scene, of: &Explanation<'_>, top: f64) {
    let (width, height) = (120.0, 10.0);
    let mut y = top + 4.0;
    let mut line = |what: &str, end: &str, more: &str| {
        scene.text(Style::Soft, (MARGIN, y + 9.0), Anchor::Start, what);
        scene.text(Style::Soft, (MARGIN + 116.0, y + 9.0), Anchor::End, "0");
        scene.picture((MARGIN + 122.0, y), (width, height), ramp(240, 20), "from grey to orange".into());
        scene.text(Style::Soft, (MARGIN + 128.0 + width, y + 9.0), Anchor::Start, format!("{end}{more}"));
        y += 20.0;
    };
    match of.attention() {
        Some((kind, true)) => line(kind, "1", ""),
        Some((kind, false)) => line(kind, "the map's largest", "; of each patch the mean over channels"),
        None => {}
    }
    line("Grad-CAM", "the map's largest", "; what a place adds to the class's logit");
    if of.attention().is_none() {
        scene.text(Style::Soft, (MARGIN, y + 9.0), Anchor::Start, "This model has no attention.");
    }
}

/// At most `most` letters, without control characters.
fn clipped(text: &str, most: usize) -> String {
    let mut letters = text.chars().map(|c| if c.is_control() { '?' } else { c });
    let start: String = letters.by_ref().take(most).collect();
    if letters.next().is_none() { start } else { start.chars().take(most - 2).chain("..".chars()).collect() }
}
