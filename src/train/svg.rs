//! Small SVG documents that follow the reader's light or dark theme and need no script.
//!
//! A chart library writes fixed colours into its elements; these charts are styled by class, so that one file reads well
//! on light and on dark ground and inside the report.

use std::fmt::Write;

/// Text with the characters that mean something in SVG and HTML replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML 1.0 has no room for the other control characters.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// The colours, light and dark. The two lines are Okabe and Ito's blue and vermilion, and their lighter kin on dark ground:
/// told apart with every kind of colour vision, by brightness as well.
const STYLE: &str = "\
.moue-chart text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#24292f}\
.moue-chart .ground{fill:#fff}.moue-chart .soft{fill:#57606a}.moue-chart .head{font-weight:600;font-size:14px}\
.moue-chart .small{font-size:11px}.moue-chart .over{fill:#fff}\
.moue-chart .grid{stroke:#d8dee4;stroke-width:1}.moue-chart .axis{stroke:#8c959f;stroke-width:1}\
.moue-chart .mark{stroke:#8c959f;stroke-width:1;stroke-dasharray:3 3}\
.moue-chart path{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}\
.moue-chart path.thin{stroke:#8c959f;stroke-width:1;stroke-opacity:.65}\
.moue-chart path.one{stroke:#0072b2}.moue-chart circle.one{fill:#0072b2}\
.moue-chart path.two{stroke:#d55e00;stroke-dasharray:7 4}.moue-chart circle.two{fill:#d55e00}\
.moue-chart path.three{stroke:#009e73;stroke-dasharray:2 4}.moue-chart circle.three{fill:#009e73}\
.moue-chart .heat{fill:#08519c;shape-rendering:crispEdges}.moue-chart .cell{fill:none;stroke:#d8dee4;stroke-width:1}\
@media (prefers-color-scheme:dark){\
.moue-chart text{fill:#e6edf3}.moue-chart .ground{fill:#161b22}.moue-chart .soft{fill:#9da7b1}\
.moue-chart .over{fill:#0d1117}.moue-chart .grid{stroke:#30363d}.moue-chart .axis,.moue-chart .mark{stroke:#6e7681}\
.moue-chart path.thin{stroke:#8b949e}\
.moue-chart path.one{stroke:#56b4e9}.moue-chart circle.one{fill:#56b4e9}\
.moue-chart path.two{stroke:#f0a35e}.moue-chart circle.two{fill:#f0a35e}\
.moue-chart path.three{stroke:#4cc9a0}.moue-chart circle.three{fill:#4cc9a0}\
.moue-chart .heat{fill:#79c0ff}.moue-chart .cell{stroke:#30363d}}";

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// Centred on it.
    Middle,
    /// To the left of it.
    End,
}

/// An SVG document in the making; lengths in pixels, y downwards.
#[derive(Debug, Clone)]
pub struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Svg {
    /// An empty document; `title` is what a screen reader says.
    #[must_use]
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: title.into(), body: String::new() }
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!("<line class='{class}' x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}'/>"));
    }

    /// A line through points; where one is not finite, the line has a gap.
    pub fn polyline(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut path = String::new();
        let mut pen_down = false;
        for (x, y) in points {
            if x.is_finite() && y.is_finite() {
                let _ = write!(path, "{}{x:.1} {y:.1}", if pen_down { 'L' } else { 'M' });
                pen_down = true;
            } else {
                pen_down = false;
            }
        }
        if !path.is_empty() {
            self.push(format_args!("<path class='{class}' d='{path}'/>"));
        }
    }

    /// A rectangle of `opacity`, with a text that shows when the pointer rests on it.
    pub fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), opacity: f64, tip: &str) {
        let ((x, y), (width, height)) = (corner, size);
        let tip = if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(tip)) };
        self.push(format_args!(
            "<rect class='{class}' x='{x:.1}' y='{y:.1}' width='{width:.1}' height='{height:.1}' \
             fill-opacity='{opacity:.3}'>{tip}</rect>"
        ));
    }

    /// A picture from elsewhere in the document or of a data URI; `description` is what a screen reader says.
    pub fn image(&mut self, corner: (f64, f64), size: (f64, f64), href: &str, description: &str) {
        let ((x, y), (width, height)) = (corner, size);
        let description = escape(description);
        self.push(format_args!(
            "<image x='{x:.1}' y='{y:.1}' width='{width:.1}' height='{height:.1}' preserveAspectRatio='none' \
             href='{href}' role='img' aria-label='{description}'><title>{description}</title></image>"
        ));
    }

    /// A point, with a text that shows when the pointer rests on it.
    pub fn dot(&mut self, class: &str, centre: (f64, f64), radius: f64, tip: &str) {
        let (x, y) = centre;
        if x.is_finite() && y.is_finite() {
            let tip = escape(tip);
            self.push(format_args!(
                "<circle class='{class}' cx='{x:.1}' cy='{y:.1}' r='{radius}'><title>{tip}</title></circle>"
            ));
        }
    }

    /// A text whose baseline starts, is centred or ends at a point.
    pub fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        self.turned_text(class, at, anchor, 0.0, text);
    }

    /// A text turned by `degrees` about its point.
    pub fn turned_text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, degrees: f64, text: &str) {
        let (x, y) = at;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let turn = if degrees == 0.0 { String::new() } else { format!(" transform='rotate({degrees} {x:.1} {y:.1})'") };
        let text = escape(text);
        self.push(format_args!(
            "<text class='{class}' x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'{turn}>{text}</text>"
        ));
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> String {
        let Self { width, height, title, body } = self;
        let title = escape(&title);
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' class='moue-chart' role='img' aria-label='{title}' \
             viewBox='0 0 {width} {height}' width='{width}' height='{height}'>\n<style>{STYLE}</style>\n\
             <rect class='ground' width='{width}' height='{height}'/>\n{body}</svg>\n"
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }
}

/// About `count` round numbers from at or below `low` to at or above `high`, evenly spaced.
#[must_use]
pub fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = if high > low { high - low } else { low.abs().max(1.0) * 0.1 };
    let raw = span / count.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let step = power * [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|m| power * m >= raw * 0.999).unwrap_or(10.0);
    let first = (low / step + 1e-9).floor();
    let steps = ((low + span) / step - 1e-9).ceil() - first;
    (0..=steps as usize).map(|i| (first + i as f64) * step).collect()
}

/// The shortest text that tells ticks `step` apart.
#[must_use]
pub fn tick_label(value: f64, step: f64) -> String {
    let digits = (-step.abs().log10()).ceil().clamp(0.0, 12.0) as usize;
    // A step of 2.5 or 0.25 needs one digit more than its power of ten.
    let fits = |digits: usize| (step * 10_f64.powi(digits as i32)).fract().abs() < 1e-6;
    let digits = (digits..digits + 2).find(|&digits| fits(digits)).unwrap_or(digits + 1);
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if step < 1e-4 || value.abs() >= 1e6 { format!("{value:e}") } else { format!("{value:.digits$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(0.0, 8.3, 4), [0.0, 2.5, 5.0, 7.5, 10.0]);
        for (low, high) in [(0.123, 0.124), (-3.0, 17.0), (5.0, 5.0), (0.0, 1e-9), (1e5, 3e7)] {
            let ticks = ticks(low, high, 5);
            assert!((2..=13).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            // A tick is a multiple of the step, to rounding: 615 · 0.0002 is not quite 0.123.
            let hair = (ticks[1] - ticks[0]) * 1e-6;
            assert!(ticks[0] <= low + hair && *ticks.last().unwrap() >= high - hair, "{low} {high}: {ticks:?}");
        }
    }

    #[test]
    fn labels_have_the_digits_that_their_step_needs() {
        assert_eq!(tick_label(0.6000000000000001, 0.2), "0.6");
        assert_eq!(tick_label(2.5, 2.5), "2.5");
        assert_eq!(tick_label(0.25, 0.25), "0.25");
        assert_eq!(tick_label(20.0, 20.0), "20");
        assert_eq!(tick_label(-1e-17, 0.2), "0.0");
    }

    #[test]
    fn text_is_escaped_and_gaps_split_a_line() {
        let mut svg = Svg::new(10.0, 10.0, "a 'title'");
        svg.text("", (0.0, 0.0), Anchor::Start, "<b> & \u{7}");
        svg.polyline("one", [(0.0, 0.0), (1.0, f64::NAN), (2.0, 2.0)]);
        let text = svg.finish();
        assert!(text.contains("&lt;b&gt; &amp; \u{FFFD}"), "{text}");
        assert!(text.contains("d='M0.0 0.0M2.0 2.0'"), "{text}");
        assert!(text.contains("a &#39;title&#39;"), "{text}");
    }
}
