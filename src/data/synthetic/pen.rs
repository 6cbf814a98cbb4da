//! Drawing on a turned head: smooth curves through points of the face, in its own coordinates.

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point,
    RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

/// Red, green, blue in [0, 1], and opacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour {
    pub(super) rgb: [f32; 3],
    pub(super) alpha: f32,
}

impl Colour {
    pub(super) fn bytes(rgb: [u8; 3]) -> Self {
        Self { rgb: rgb.map(|value| f32::from(value) / 255.0), alpha: 1.0 }
    }

    pub(super) fn times(self, factor: f32) -> Self {
        Self { rgb: self.rgb.map(|value| (value * factor).clamp(0.0, 1.0)), ..self }
    }

    /// `self` with a part of `other`.
    pub(super) fn mix(self, other: Self, part: f32) -> Self {
        let mut rgb = self.rgb;
        rgb.iter_mut().zip(other.rgb).for_each(|(a, b)| *a += (b - *a) * part);
        Self { rgb, ..self }
    }

    pub(super) fn alpha(self, alpha: f32) -> Self {
        Self { alpha, ..self }
    }

    /// The colour of its shadows: darker and warmer.
    pub(super) fn shade(self, depth: f32) -> Self {
        let [r, g, b] = self.rgb;
        Self { rgb: [r * (1.0 - 0.75 * depth), g * (1.0 - depth), b * (1.0 - 0.95 * depth)], ..self }
    }

    fn skia(self) -> Color {
        let [r, g, b] = self.rgb.map(|value| value.clamp(0.0, 1.0));
        Color::from_rgba(r, g, b, self.alpha.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
    }
}

/// A point of the head: x to the right, y down, z towards the viewer; 1 is half a face's height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) z: f32,
}

/// A point on the outline's plane.
pub(super) const fn flat(x: f32, y: f32) -> Spot {
    Spot { x, y, z: 0.0 }
}

/// How the head stands before the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pose {
    /// Radians, positive turns the face to the picture's right.
    pub(super) yaw: f32,
    /// Radians, positive lowers the face.
    pub(super) pitch: f32,
    /// Radians, clockwise.
    pub(super) roll: f32,
    /// Half a face's height as a part of the picture's side.
    pub(super) scale: f32,
    /// The face's centre as a part of the picture's side.
    pub(super) centre: [f32; 2],
}

/// A canvas with a head's coordinates.
pub(super) struct Pen {
    pub(super) pixmap: Pixmap,
    pub(super) size: f32,
    pose: Pose,
    width: f32,
}

impl Pen {
    /// An empty canvas; `width` is half the face's width.
    pub(super) fn new(size: usize, pose: Pose, width: f32) -> Self {
        let side = size as u32;
        let pixmap = Pixmap::new(side, side).expect("invariant: `render` checks that the size is not 0");
        Self { pixmap, size: size as f32, pose, width }
    }

    /// The point of the face's surface in front of (x, y), raised by `lift`.
    pub(super) fn on(&self, x: f32, y: f32, lift: f32) -> Spot {
        let bulge = 1.0 - (x / (1.15 * self.width)).powi(2) - (y / 1.3).powi(2);
        Spot { x, y, z: 0.6 * bulge.max(0.0).sqrt() + lift }
    }

    /// Where a spot appears, in pixels.
    fn project(&self, spot: Spot) -> Point {
        let Pose { yaw, pitch, roll, scale, centre } = self.pose;
        // Half of the depth is taken back, so that a turned head stays in the picture's middle.
        let depth = spot.z - 0.25;
        let x = spot.x * yaw.cos() + depth * yaw.sin();
        let y = spot.y * pitch.cos() + depth * pitch.sin();
        let (sin, cos) = roll.sin_cos();
        let unit = scale * self.size;
        Point::from_xy(
            centre[0] * self.size + unit * (x * cos - y * sin),
            centre[1] * self.size + unit * (x * sin + y * cos),
        )
    }

    /// A smooth curve (Catmull–Rom) through the spots.
    fn curve(&self, spots: &[Spot], closed: bool) -> Option<Path> {
        let points: Vec<Point> = spots.iter().map(|spot| self.project(*spot)).collect();
        let count = points.len();
        if count < 2 {
            return None;
        }
        let at = |index: isize| {
            let last = count as isize - 1;
            points[if closed { index.rem_euclid(count as isize) } else { index.clamp(0, last) } as usize]
        };
        let mut path = PathBuilder::new();
        path.move_to(points[0].x, points[0].y);
        for index in 0..(if closed { count } else { count - 1 }) as isize {
            let (before, from, to, after) = (at(index - 1), at(index), at(index + 1), at(index + 2));
            path.cubic_to(
                from.x + (to.x - before.x) / 6.0,
                from.y + (to.y - before.y) / 6.0,
                to.x - (after.x - from.x) / 6.0,
                to.y - (after.y - from.y) / 6.0,
                to.x,
                to.y,
            );
        }
        if closed {
            path.close();
        }
        path.finish()
    }

    /// Fills the picture with a gradient from its upper to its lower edge.
    pub(super) fn wall(&mut self, upper: Colour, lower: Colour) {
        let stops = vec![GradientStop::new(0.0, upper.skia()), GradientStop::new(1.0, lower.skia())];
        let (from, to) = (Point::from_xy(0.0, 0.0), Point::from_xy(0.0, self.size));
        let shader = LinearGradient::new(from, to, stops, SpreadMode::Pad, Transform::identity());
        let paint = Paint { shader: shader.unwrap_or(Shader::SolidColor(upper.skia())), ..Paint::default() };
        if let Some(all) = Rect::from_xywh(0.0, 0.0, self.size, self.size) {
            self.pixmap.fill_rect(all, &paint, Transform::identity(), None);
        }
    }

    /// Straight lines through points given in pixels.
    pub(super) fn polygon(&mut self, points: &[[f32; 2]], colour: Colour) {
        let mut path = PathBuilder::new();
        for (index, [x, y]) in points.iter().enumerate() {
            if index == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
        }
        path.close();
        if let Some(path) = path.finish() {
            self.fill_path(&path, colour);
        }
    }

    /// A disc given in pixels.
    pub(super) fn disc(&mut self, centre: [f32; 2], radius: f32, colour: Colour) {
        if let Some(path) = PathBuilder::from_circle(centre[0], centre[1], radius) {
            self.fill_path(&path, colour);
        }
    }

    fn fill_path(&mut self, path: &Path, colour: Colour) {
        let mut paint = Paint::default();
        paint.set_color(colour.skia());
        self.pixmap.fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    /// The inside of a smooth closed curve.
    pub(super) fn fill(&mut self, spots: &[Spot], colour: Colour) {
        if let Some(path) = self.curve(spots, true) {
            self.fill_path(&path, colour);
        }
    }

    /// The inside of a smooth closed curve, shaded from `inner` at `centre` to `outer` at `radius`.
    pub(super) fn fill_shaded(&mut self, spots: &[Spot], centre: Spot, radius: f32, inner: Colour, outer: Colour) {
        let Some(path) = self.curve(spots, true) else { return };
        let middle = self.project(centre);
        let stops = vec![GradientStop::new(0.0, inner.skia()), GradientStop::new(1.0, outer.skia())];
        let radius = radius * self.pose.scale * self.size;
        let shader = RadialGradient::new(middle, 0.0, middle, radius, stops, SpreadMode::Pad, Transform::identity());
        let shader = shader.unwrap_or_else(|| Shader::SolidColor(inner.skia()));
        let paint = Paint { shader, ..Paint::default() };
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    /// A soft round spot: `colour` in its middle, nothing at `radius`.
    pub(super) fn glow(&mut self, centre: Spot, radius: f32, colour: Colour) {
        let around: Vec<Spot> = (0..12)
            .map(|step| {
                let angle = step as f32 * std::f32::consts::TAU / 12.0;
                Spot { x: centre.x + radius * angle.cos(), y: centre.y + radius * angle.sin(), z: centre.z }
            })
            .collect();
        self.fill_shaded(&around, centre, radius, colour, colour.alpha(0.0));
    }

    /// An ellipse around a spot.
    pub(super) fn ellipse(&mut self, centre: Spot, width: f32, height: f32, colour: Colour) {
        let around: Vec<Spot> = (0..8)
            .map(|step| {
                let angle = step as f32 * std::f32::consts::TAU / 8.0;
                Spot { x: centre.x + width * angle.cos(), y: centre.y + height * angle.sin(), z: centre.z }
            })
            .collect();
        self.fill(&around, colour);
    }

    /// A smooth line; `width` in units of the face.
    pub(super) fn line(&mut self, spots: &[Spot], width: f32, colour: Colour) {
        let Some(path) = self.curve(spots, false) else { return };
        self.stroke_path(&path, width, colour);
    }

    /// A smooth closed line.
    pub(super) fn outline(&mut self, spots: &[Spot], width: f32, colour: Colour) {
        let Some(path) = self.curve(spots, true) else { return };
        self.stroke_path(&path, width, colour);
    }

    fn stroke_path(&mut self, path: &Path, width: f32, colour: Colour) {
        let mut paint = Paint::default();
        paint.set_color(colour.skia());
        let width = width * self.pose.scale * self.size;
        let stroke = Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        self.pixmap.stroke_path(path, &paint, &stroke, Transform::identity(), None);
    }
}
