//! Matrices as coloured squares: `confusion.svg` and `similarity.svg`.

use super::curves::{Line, Panel, Unit, stage_starts};
use super::metrics::{EpochRecord, mean_off_diagonal};
use super::svg::{Anchor, Svg};
use crate::evaluation::Evaluation;

/// The share of each class's images that was called each class, in percent, with the number of images.
#[must_use]
pub fn confusion_svg(evaluation: &Evaluation) -> String {
    let classes: Vec<&str> = evaluation.per_class.iter().map(|score| score.class.as_str()).collect();
    let longest = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0) as f64 * 7.2;
    let cell = if classes.len() <= 10 { 54.0 } else { (540.0 / classes.len() as f64).max(24.0) };
    let side = cell * classes.len() as f64;
    let (left, top) = (longest + 46.0, 58.0 + longest * 0.62 + 16.0);
    let width = left + side + 70.0 + longest * 0.2;
    let mut svg = Svg::new(width.max(320.0).ceil(), (top + side + 40.0).ceil(), "Confusion matrix");
    svg.text("head", (16.0, 26.0), Anchor::Start, "Confusion");
    let note = format!("percent of each true class and images; {} images in all", evaluation.images);
    svg.text("soft small", (16.0, 44.0), Anchor::Start, &note);
    svg.turned_text("soft small", (18.0, top + side / 2.0), Anchor::Middle, -90.0, "true class");
    svg.text("soft small", (left + side / 2.0, top + side + 22.0), Anchor::Middle, "predicted class");
    svg.text("soft small", (left + side + 12.0, top - 8.0), Anchor::Start, "images");
    for (index, class) in classes.iter().enumerate() {
        let middle = (index as f64 + 0.5) * cell;
        svg.text("", (left - 10.0, top + middle + 4.0), Anchor::End, class);
        svg.turned_text("", (left + middle - 4.0, top - 8.0), Anchor::Start, -38.0, class);
        let row = &evaluation.confusion[index];
        let images: usize = row.iter().sum();
        svg.text("soft small", (left + side + 12.0, top + middle + 4.0), Anchor::Start, &images.to_string());
        for (predicted, &count) in row.iter().enumerate() {
            let share = if images > 0 { count as f64 / images as f64 } else { 0.0 };
            let corner = (left + predicted as f64 * cell, top + index as f64 * cell);
            let tip = format!("{class} called {}: {count} of {images}", classes[predicted]);
            svg.rect("heat", corner, (cell, cell), share, &tip);
            svg.rect("cell", corner, (cell, cell), 1.0, "");
            if count > 0 && cell >= 40.0 {
                let class = if share > 0.5 { "over" } else { "" };
                let middle = corner.0 + cell / 2.0;
                let percent = match share * 100.0 {
                    percent if percent < 0.95 => format!("{percent:.1}"),
                    percent => format!("{percent:.0}"),
                };
                svg.text(class, (middle, corner.1 + cell / 2.0), Anchor::Middle, &percent);
                let small = if share > 0.5 { "over small" } else { "soft small" };
                svg.text(small, (middle, corner.1 + cell / 2.0 + 15.0), Anchor::Middle, &count.to_string());
            }
        }
    }
    svg.finish()
}

/// The edge of a small similarity matrix.
const SMALL: f64 = 118.0;
/// From one small matrix to the next.
const STRIDE: f64 = SMALL + 20.0;
/// How many epochs are shown as matrices.
const SHOWN: usize = 6;

/// S between the branches over the epochs: the mean off the diagonal as a line, and the matrices of a few epochs.
#[must_use]
pub fn similarity_svg(records: &[EpochRecord]) -> String {
    type Pick = fn(&EpochRecord) -> Option<&Vec<Vec<f64>>>;
    let kinds: [(&str, &'static str, Pick); 3] = [
        ("branch", "three", |record| record.similarity_branch.as_ref()),
        ("spatial", "one", |record| record.similarity_spatial.as_ref()),
        ("channel", "two", |record| record.similarity_channel.as_ref()),
    ];
    let kinds: Vec<_> = kinds.into_iter().filter(|(_, _, pick)| records.iter().any(|r| pick(r).is_some())).collect();
    if kinds.is_empty() {
        let mut svg = Svg::new(960.0, 90.0, "Similarity between branches");
        svg.text("head", (16.0, 30.0), Anchor::Start, "Similarity between branches");
        let why = "not recorded: this training compared no maps";
        svg.text("soft", (16.0, 56.0), Anchor::Start, why);
        return svg.finish();
    }
    let chart = 300.0;
    let row = SMALL + 62.0;
    let height = chart + 28.0 + row * kinds.len() as f64 + 8.0;
    let mut svg = Svg::new(960.0, height, "Similarity between branches over the epochs");
    let line = |(label, class, pick): &(&str, &'static str, Pick)| Line {
        label: format!("{label} maps"),
        class,
        points: records
            .iter()
            .map(|r| (r.epoch as f64, pick(r).and_then(|s| mean_off_diagonal(s)).unwrap_or(f64::NAN)))
            .collect(),
    };
    let panel = Panel {
        title: "Similarity between branches, mean of S off the diagonal (0: different, 1: the same)".into(),
        unit: Unit::Plain,
        lines: kinds.iter().map(line).collect(),
        background: None,
        marks: stage_starts(records),
    };
    panel.draw(&mut svg, (0.0, 10.0), (960.0, chart));
    scale(&mut svg, (960.0 - 218.0, chart + 22.0));
    for (index, (label, _, pick)) in kinds.iter().enumerate() {
        let top = chart + 54.0 + row * index as f64;
        svg.turned_text("soft", (26.0, top + SMALL / 2.0), Anchor::Middle, -90.0, label);
        let recorded: Vec<&EpochRecord> = records.iter().filter(|record| pick(record).is_some()).collect();
        for (column, record) in spread(&recorded, SHOWN).into_iter().enumerate() {
            if let Some(matrix) = pick(record) {
                small_matrix(&mut svg, (58.0 + STRIDE * column as f64, top), matrix, record.epoch, column == 0);
            }
        }
    }
    svg.finish()
}

/// At most `count` items, evenly spread, the first and the last among them.
fn spread<'a, T>(items: &[&'a T], count: usize) -> Vec<&'a T> {
    if items.len() <= count {
        return items.to_vec();
    }
    (0..count).map(|i| items[(i * (items.len() - 1) + (count - 1) / 2) / (count - 1)]).collect()
}

fn small_matrix(svg: &mut Svg, corner: (f64, f64), matrix: &[Vec<f64>], epoch: usize, numbered: bool) {
    let cell = SMALL / matrix.len().max(1) as f64;
    for (l, values) in matrix.iter().enumerate() {
        let y = corner.1 + l as f64 * cell;
        if numbered && cell >= 10.0 {
            svg.text("soft small", (corner.0 - 6.0, y + cell / 2.0 + 4.0), Anchor::End, &(l + 1).to_string());
        }
        for (k, &value) in values.iter().enumerate() {
            let x = corner.0 + k as f64 * cell;
            let shade = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
            svg.rect("heat", (x, y), (cell, cell), shade, &format!("branches {} and {}: {value:.4}", l + 1, k + 1));
            if cell >= 28.0 {
                let class = if shade > 0.5 { "over small" } else { "small" };
                svg.text(class, (x + cell / 2.0, y + cell / 2.0 + 4.0), Anchor::Middle, &format!("{value:.2}"));
            }
        }
    }
    svg.rect("cell", corner, (SMALL, SMALL), 1.0, "");
    let mean = mean_off_diagonal(matrix).map_or_else(|| "–".into(), |mean| format!("{mean:.3}"));
    let caption = format!("epoch {epoch}: {mean}");
    svg.text("small", (corner.0 + SMALL / 2.0, corner.1 + SMALL + 17.0), Anchor::Middle, &caption);
}

/// What the shades of the matrices mean.
fn scale(svg: &mut Svg, corner: (f64, f64)) {
    let (steps, width, height) = (20, 120.0, 10.0);
    svg.text("soft small", (corner.0, corner.1 + 10.0), Anchor::End, "S   0 ");
    for step in 0..steps {
        let x = corner.0 + 4.0 + width * step as f64 / steps as f64;
        let shade = (step as f64 + 0.5) / steps as f64;
        svg.rect("heat", (x, corner.1), (width / steps as f64, height), shade, "");
    }
    svg.rect("cell", (corner.0 + 4.0, corner.1), (width, height), 1.0, "");
    svg.text("soft small", (corner.0 + width + 10.0, corner.1 + 10.0), Anchor::Start, "1");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_keeps_both_ends() {
        let items: Vec<usize> = (0..17).collect();
        let items: Vec<&usize> = items.iter().collect();
        assert_eq!(spread(&items, 6), [&0, &3, &6, &10, &13, &16]);
        assert_eq!(spread(&items[..3], 6), [&0, &1, &2]);
    }
}
