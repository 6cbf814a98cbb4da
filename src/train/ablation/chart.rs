//! The rows as points with their deviations.

use super::{CellResult, DataSet, Row, grouped, mean_and_deviation, published};
use crate::train::svg::{Anchor, Svg, tick_label, ticks};

/// The height of a row.
const ROW: f64 = 26.0;

/// Each row's accuracy by vote: the seeds as small points, their mean with one standard deviation to each side, and
/// the paper's figure as a mark where it has one.
#[must_use]
pub fn chart(rows: &[Row], results: &[CellResult], data: Option<DataSet>) -> String {
    let groups = grouped(rows, results);
    let (left, right, top) = (230.0, 40.0, 62.0);
    let (width, height) = (820.0, top + ROW * groups.len() as f64 + 44.0);
    let mut svg = Svg::new(width, height, "Accuracy of each row of the ablation");
    svg.text("head", (16.0, 26.0), Anchor::Start, "Accuracy by vote, percent");
    let note = "points: seeds; line: mean ± standard deviation; cross: the paper's figure";
    svg.text("soft small", (16.0, 44.0), Anchor::Start, note);
    let accuracies = |cells: &[&CellResult]| cells.iter().map(|cell| 100.0 * cell.accuracy()).collect::<Vec<_>>();
    let paper = |row: &Row| data.and_then(|data| published(row.network, row.variant, data));
    let all = groups.iter().flat_map(|(row, cells)| accuracies(cells).into_iter().chain(paper(row)));
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if !low.is_finite() {
        return svg.finish();
    }
    let marks = ticks(low, high, 6);
    let (low, high) = (marks[0], marks[marks.len() - 1]);
    let x = |value: f64| left + (value - low) / (high - low) * (width - left - right);
    let bottom = top + ROW * groups.len() as f64;
    for &mark in &marks {
        svg.line("grid", (x(mark), top), (x(mark), bottom));
        let label = tick_label(mark, marks[1] - marks[0]);
        svg.text("soft small", (x(mark), bottom + 18.0), Anchor::Middle, &label);
    }
    for (at, (row, cells)) in groups.iter().enumerate() {
        let y = top + ROW * (at as f64 + 0.5);
        svg.text("", (left - 12.0, y + 4.0), Anchor::End, &row.name());
        let values = accuracies(cells);
        let (mean, deviation) = mean_and_deviation(&values);
        if let Some(deviation) = deviation {
            let ends = [mean - deviation, mean + deviation].map(|value| value.clamp(low, high));
            svg.polyline("one", ends.map(|value| (x(value), y)));
        }
        svg.polyline("one", [(x(mean), y - 7.0), (x(mean), y + 7.0)]);
        for (cell, value) in cells.iter().zip(values) {
            svg.dot("one", (x(value), y), 3.0, &format!("{}, seed {}: {value:.2}", row.name(), cell.seed));
        }
        if let Some(paper) = paper(row) {
            let (x, tip) = (x(paper), format!("the paper: {paper:.2}"));
            svg.polyline("two", [(x - 5.0, y - 5.0), (x + 5.0, y + 5.0)]);
            svg.polyline("two", [(x - 5.0, y + 5.0), (x + 5.0, y - 5.0)]);
            svg.dot("two", (x, y), 2.0, &tip);
        }
    }
    svg.finish()
}
