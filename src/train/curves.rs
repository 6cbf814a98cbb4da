//! Figures over epochs as line charts: `curves.svg`.

use super::metrics::EpochRecord;
use super::svg::{Anchor, Svg, tick_label, ticks};

/// How a figure is written beside its axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// As it is.
    Plain,
    /// A share, in percent.
    Percent,
}

impl Unit {
    fn label(self, value: f64, step: f64) -> String {
        match self {
            Self::Plain => tick_label(value, step),
            Self::Percent => format!("{} %", tick_label(value * 100.0, step * 100.0)),
        }
    }

    /// The figure with about three digits.
    fn precise(self, value: f64) -> String {
        match self {
            Self::Plain if value != 0.0 && (value.abs() < 1e-3 || value.abs() >= 1e5) => format!("{value:.2e}"),
            Self::Plain if value.abs() >= 100.0 => format!("{value:.0}"),
            Self::Plain => format!("{value:.3}"),
            Self::Percent => format!("{:.1} %", value * 100.0),
        }
    }
}

/// A line of a chart: its name, its class in the style, its figure for each epoch.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) class: &'static str,
    pub(super) points: Points,
}

/// A line's figures: (epoch, figure).
pub(super) type Points = Vec<(f64, f64)>;

/// One set of axes.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) unit: Unit,
    pub(super) lines: Vec<Line>,
    /// Lines in the background, under one common name.
    pub(super) background: Option<(String, Vec<Points>)>,
    /// Epochs at whose start a stage began.
    pub(super) marks: Vec<f64>,
}

impl Panel {
    /// Draws the panel into a rectangle of `svg`.
    pub(super) fn draw(&self, svg: &mut Svg, corner: (f64, f64), size: (f64, f64)) {
        let (left, top) = (corner.0 + 58.0, corner.1 + 46.0);
        let (right, bottom) = (corner.0 + size.0 - 58.0, corner.1 + size.1 - 40.0);
        svg.text("head", (left, corner.1 + 16.0), Anchor::Start, &self.title);
        let background = self.background.iter().flat_map(|(_, lines)| lines);
        let points = || self.lines.iter().map(|line| &line.points).chain(background.clone()).flatten();
        let finite = || points().filter(|(_, y)| y.is_finite());
        if finite().next().is_none() {
            svg.text("soft", ((left + right) / 2.0, (top + bottom) / 2.0), Anchor::Middle, "nothing recorded yet");
            return;
        }
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (first, last) = range(&mut points().map(|(x, _)| *x));
        let (first, last) = if last > first { (first, last) } else { (first - 0.5, first + 0.5) };
        let (low, high) = range(&mut finite().map(|(_, y)| *y));
        // A figure that starts near 0 is shown from 0.
        let low = if low > 0.0 && low < 0.35 * high { 0.0 } else { low };
        let y_ticks = ticks(low, high, 5);
        let (low, high) = (y_ticks[0], y_ticks[y_ticks.len() - 1]);
        let place = |(x, y): (f64, f64)| {
            (left + (x - first) / (last - first) * (right - left), bottom - (y - low) / (high - low) * (bottom - top))
        };
        for tick in &y_ticks {
            let y = place((first, *tick)).1;
            svg.line(if *tick == low { "axis" } else { "grid" }, (left, y), (right, y));
            let label = self.unit.label(*tick, y_ticks[1] - y_ticks[0]);
            svg.text("soft small", (left - 8.0, y + 4.0), Anchor::End, &label);
        }
        let mut whole: Vec<f64> = ticks(first, last, 8).into_iter().map(f64::round).collect();
        whole.dedup();
        for tick in whole.into_iter().filter(|tick| (first..=last).contains(tick)) {
            svg.text("soft small", (place((tick, low)).0, bottom + 17.0), Anchor::Middle, &format!("{tick}"));
        }
        svg.text("soft small", ((left + right) / 2.0, bottom + 34.0), Anchor::Middle, "epoch");
        for mark in self.marks.iter().filter(|mark| **mark > first) {
            let x = place((mark - 0.5, low)).0;
            svg.line("mark", (x, top), (x, bottom));
        }
        if let Some((_, lines)) = &self.background {
            for line in lines {
                svg.polyline("thin", line.iter().map(|point| place(*point)));
            }
        }
        for line in &self.lines {
            svg.polyline(line.class, line.points.iter().map(|point| place(*point)));
            if line.points.len() <= 40 {
                for point in &line.points {
                    let tip = format!("{}, epoch {}: {}", line.label, point.0, self.unit.precise(point.1));
                    svg.dot(line.class, place(*point), 3.0, &tip);
                }
            }
        }
        self.legend(svg, left, corner.1 + 34.0);
        self.last_figures(svg, &place);
    }

    fn legend(&self, svg: &mut Svg, left: f64, y: f64) {
        let mut x = left;
        let background = self.background.iter().map(|(label, _)| ("thin", label));
        for (class, label) in self.lines.iter().map(|line| (line.class, &line.label)).chain(background) {
            svg.polyline(class, [(x, y - 4.0), (x + 24.0, y - 4.0)]);
            svg.text("small", (x + 30.0, y), Anchor::Start, label);
            x += 30.0 + 6.4 * label.chars().count() as f64 + 18.0;
        }
    }

    /// The last figure of each line at its end, moved apart where they would overlap.
    fn last_figures(&self, svg: &mut Svg, place: &dyn Fn((f64, f64)) -> (f64, f64)) {
        let mut ends: Vec<_> = self
            .lines
            .iter()
            .filter_map(|line| line.points.iter().rev().find(|(_, y)| y.is_finite()))
            .map(|point| (place(*point), self.unit.precise(point.1)))
            .collect();
        ends.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
        let mut free = f64::NEG_INFINITY;
        for ((x, y), label) in ends {
            let y = (y + 4.0).max(free);
            svg.text("small", (x + 8.0, y), Anchor::Start, &label);
            free = y + 13.0;
        }
    }
}

/// The epochs at whose start a stage began, the first stage left out.
pub(super) fn stage_starts(records: &[EpochRecord]) -> Vec<f64> {
    records.windows(2).filter(|pair| pair[0].stage != pair[1].stage).map(|pair| pair[1].epoch as f64).collect()
}

/// Cross-entropy and accuracy, training and validation, over the epochs; below them, where a training has diversity
/// terms, these and the loss that they are part of. Dashed where a stage begins.
#[must_use]
pub fn curves_svg(records: &[EpochRecord]) -> String {
    let points = |figure: &dyn Fn(&EpochRecord) -> f64| -> Points {
        records.iter().map(|record| (record.epoch as f64, figure(record))).collect()
    };
    let line = |label: &str, class, figure: &dyn Fn(&EpochRecord) -> f64| Line {
        label: label.into(),
        class,
        points: points(figure),
    };
    let panel = |title: &str, lines| Panel {
        title: title.into(),
        unit: Unit::Plain,
        lines,
        background: None,
        marks: stage_starts(records),
    };
    let branches = records.iter().map(|record| record.branch_accuracy.len()).max().unwrap_or(0);
    let each_branch: Vec<_> = (0..branches)
        .map(|branch| points(&|record| record.branch_accuracy.get(branch).copied().unwrap_or(f64::NAN)))
        .collect();
    let terms = diversity_terms(records);
    let second_row = if terms.is_empty() { 0.0 } else { 285.0 };
    let mut svg = Svg::new(960.0, 360.0 + second_row, "Cross-entropy and accuracy over the epochs");
    let entropies = vec![
        line("training", "one", &|record| record.train_cross_entropy),
        line("validation", "two", &|record| record.val_cross_entropy),
    ];
    panel("Cross-entropy, mean of the branches that learn", entropies).draw(&mut svg, (0.0, 10.0), (480.0, 345.0));
    let accuracies = vec![
        line("training", "one", &|record| record.train_accuracy),
        line("validation", "two", &|record| record.val_accuracy),
    ];
    let accuracy = Panel {
        unit: Unit::Percent,
        background: (branches > 1).then(|| ("each branch, validation".into(), each_branch)),
        ..panel("Accuracy", accuracies)
    };
    accuracy.draw(&mut svg, (480.0, 10.0), (480.0, 345.0));
    if !terms.is_empty() {
        let lines = terms.into_iter().map(|(label, class, pick)| {
            line(&format!("{label} maps"), class, &|record| pick(record).unwrap_or(f64::NAN))
        });
        let diversity = panel("Diversity terms in training", lines.collect());
        diversity.draw(&mut svg, (0.0, 365.0), (480.0, 275.0));
        let total = vec![line("training", "one", &|record| record.train_loss)];
        panel("Loss with its diversity terms", total).draw(&mut svg, (480.0, 365.0), (480.0, 275.0));
    }
    svg.finish()
}

/// A diversity term's name, its line's class, and where an epoch has it.
type Term = (&'static str, &'static str, fn(&EpochRecord) -> Option<f64>);

/// The diversity terms that some epoch has.
fn diversity_terms(records: &[EpochRecord]) -> Vec<Term> {
    let terms: [Term; 3] = [
        ("branch", "three", |record| record.diversity_branch),
        ("spatial", "one", |record| record.diversity_spatial),
        ("channel", "two", |record| record.diversity_channel),
    ];
    terms.into_iter().filter(|(.., pick)| records.iter().any(|record| pick(record).is_some())).collect()
}
