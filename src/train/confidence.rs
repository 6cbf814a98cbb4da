//! What a model's confidence is worth, as a chart.

use super::svg::{Anchor, Svg};
use crate::evaluation::Reliability;

/// The side of a panel.
const SIDE: f64 = 220.0;
const TOP: f64 = 48.0;

/// On the left the accuracy of answers beside their confidence, in bins of equally many images, and where both are equal;
/// on the right the share of errors among the most confident answers, from all of them to few. `risks` is of the most
/// confident 1, 2, … N answers.
#[must_use]
pub fn confidence_svg(bins: &[Reliability], risks: &[f64]) -> String {
    let mut svg =
        Svg::new(620.0, TOP + SIDE + 44.0, "Confidence and accuracy; errors among the most confident answers");
    let lefts = [56.0, 56.0 + SIDE + 90.0];
    let most = risks.iter().copied().fold(0.05_f64, f64::max);
    let titles = ["Accuracy by confidence", "Errors by share answered"];
    for (left, title) in lefts.into_iter().zip(titles) {
        svg.text("head", (left, 24.0), Anchor::Start, title);
        for part in 0..=4 {
            let share = f64::from(part) / 4.0;
            let (x, y) = (left + share * SIDE, TOP + (1.0 - share) * SIDE);
            svg.line("grid", (x, TOP), (x, TOP + SIDE));
            svg.line("grid", (left, y), (left + SIDE, y));
            svg.text("soft small", (x, TOP + SIDE + 18.0), Anchor::Middle, &format!("{:.0} %", 100.0 * share));
        }
    }
    let [first, second] = lefts;
    let place = |left: f64, x: f64, y: f64| (left + x.clamp(0.0, 1.0) * SIDE, TOP + (1.0 - y.clamp(0.0, 1.0)) * SIDE);
    for share in [0.0, 0.5, 1.0] {
        let label = format!("{:.0} %", 100.0 * share);
        svg.text("soft small", (first - 8.0, place(first, 0.0, share).1 + 4.0), Anchor::End, &label);
        let label = format!("{:.1} %", 100.0 * share * most);
        svg.text("soft small", (second - 8.0, place(second, 0.0, share).1 + 4.0), Anchor::End, &label);
    }
    svg.polyline("thin", [place(first, 0.0, 0.0), place(first, 1.0, 1.0)]);
    svg.polyline("one", bins.iter().map(|bin| place(first, bin.confidence, bin.accuracy)));
    for bin in bins {
        let tip = format!("confidence {:.3}, accuracy {:.3}, {} images", bin.confidence, bin.accuracy, bin.images);
        svg.dot("one", place(first, bin.confidence, bin.accuracy), 3.0, &tip);
    }
    // A point for each percent: the first few answers jump between 0 and 1.
    let points = (1..=100).map(|percent| percent * risks.len() / 100).filter(|&count| count > 0);
    let at = |count: usize| (count as f64 / risks.len() as f64, risks[count - 1] / most);
    svg.polyline("two", points.map(at).map(|(coverage, risk)| place(second, coverage, risk)));
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_has_a_point_for_each_bin_and_stands_without_images() {
        let bins = [0.4, 0.8].map(|share| Reliability { images: 5, confidence: share, accuracy: share });
        let chart = confidence_svg(&bins, &[0.0, 0.5, 0.33]);
        assert_eq!(chart.matches("5 images").count(), 2);
        assert!(!chart.contains("NaN") && !confidence_svg(&[], &[]).contains("NaN"));
    }
}
