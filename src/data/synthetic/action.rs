//! Expressions as facial action units (Ekman and Friesen's FACS), with the prototypes of EMFACS.

use crate::rng::Rng;

/// How strongly each action unit is contracted: 0 not at all, 1 fully. The AU's number is in parentheses; a
/// pair is (left, right) in the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Actions {
    /// (1) The inner brows go up.
    pub(super) inner_brow: f32,
    /// (2) The outer brows go up.
    pub(super) outer_brow: f32,
    /// (4) The brows come down and together.
    pub(super) brow_lower: f32,
    /// (5) The upper lids go up: white shows above the iris.
    pub(super) upper_lid: f32,
    /// (6) The cheeks push the lower lids up: crow's feet.
    pub(super) cheek: f32,
    /// (7) Both lids tighten.
    pub(super) lid_tight: f32,
    /// (9) The nose wrinkles.
    pub(super) nose_wrinkle: f32,
    /// (10) The upper lip goes up.
    pub(super) upper_lip: f32,
    /// (12) The lip corners are pulled up and out.
    pub(super) corner_pull: [f32; 2],
    /// (14) The lip corners are drawn in: a dimple.
    pub(super) dimple: [f32; 2],
    /// (15) The lip corners go down.
    pub(super) corner_down: f32,
    /// (16) The lower lip goes down.
    pub(super) lower_lip: f32,
    /// (17) The chin pushes the lower lip up.
    pub(super) chin: f32,
    /// (20) The lips are stretched sideways.
    pub(super) stretch: f32,
    /// (23, 24) The lips are tightened and pressed.
    pub(super) tight: f32,
    /// (25) The lips part.
    pub(super) part: f32,
    /// (26) The jaw drops.
    pub(super) jaw: f32,
    /// (27) The mouth is stretched open.
    pub(super) gape: f32,
    /// (43) The upper lids droop, up to closed eyes.
    pub(super) droop: f32,
}

impl Actions {
    /// A drawn instance of an expression.
    ///
    /// The intensity has a floor, so that the class stays visible; below the prototype there is a little
    /// activity of every unit, as in any living face.
    pub(super) fn draw(expression: usize, rng: &mut Rng) -> Self {
        let mut face = Self::idle(rng);
        let strength = rng.range(0.78, 1.0) as f32;
        let open = rng.uniform();
        let side = rng.below(2);
        // An action near `level`, scaled by the expression's strength.
        let mut act = |level: f64| (rng.range(level - 0.12, level + 0.12) as f32 * strength).clamp(0.0, 1.0);
        match expression {
            1 => {
                let pull = act(0.95);
                face.corner_pull = [pull, pull];
                face.cheek = act(0.7);
                if open < 0.65 {
                    (face.part, face.upper_lip, face.jaw) = (act(0.85), act(0.2), act(0.2));
                }
            }
            2 => {
                (face.inner_brow, face.brow_lower, face.corner_down) = (act(0.95), act(0.35), act(0.95));
                (face.chin, face.droop) = (act(0.6), act(0.3));
            }
            3 => {
                (face.inner_brow, face.outer_brow, face.upper_lid) = (act(0.9), act(0.95), act(0.75));
                (face.part, face.jaw) = (act(0.9), act(0.85));
                if open < 0.5 {
                    face.gape = act(0.6);
                }
            }
            4 => {
                (face.inner_brow, face.outer_brow, face.brow_lower) = (act(0.95), act(0.35), act(0.6));
                (face.upper_lid, face.lid_tight) = (act(0.95), act(0.15));
                (face.stretch, face.part, face.corner_down) = (act(0.95), act(0.6), act(0.3));
                (face.jaw, face.lower_lip) = (act(0.3), act(0.5));
            }
            5 => {
                (face.nose_wrinkle, face.upper_lip) = (act(0.95), act(0.9));
                (face.brow_lower, face.lid_tight, face.cheek) = (act(0.4), act(0.55), act(0.4));
                if open < 0.45 {
                    (face.part, face.lower_lip) = (act(0.6), act(0.45));
                } else {
                    (face.corner_down, face.chin) = (act(0.4), act(0.5));
                }
            }
            6 => {
                (face.brow_lower, face.upper_lid, face.lid_tight) = (act(1.0), act(0.6), act(0.4));
                if open < 0.4 {
                    (face.part, face.lower_lip, face.upper_lip) = (act(0.75), act(0.75), act(0.35));
                    face.stretch = act(0.2);
                } else {
                    (face.tight, face.chin) = (act(0.95), act(0.4));
                }
            }
            7 => {
                face.corner_pull[side] = act(0.95);
                face.dimple[side] = act(0.95);
                face.corner_pull[1 - side] = 0.0;
                face.tight = act(0.25);
                face.droop = act(0.15);
            }
            _ => {}
        }
        face
    }

    /// The low activity of a face at rest; now and then lips stand a little open, rarely a blink.
    fn idle(rng: &mut Rng) -> Self {
        let part = if rng.chance(0.12) { rng.range(0.1, 0.25) as f32 } else { 0.0 };
        let blink = if rng.chance(0.02) { 1.0 } else { 0.0 };
        let mut little = || rng.range(0.0, 0.08) as f32;
        let pull = little() * 0.7;
        Self {
            inner_brow: little(),
            outer_brow: little(),
            brow_lower: little(),
            upper_lid: little(),
            cheek: little(),
            lid_tight: little(),
            nose_wrinkle: little() * 0.5,
            upper_lip: little() * 0.5,
            corner_pull: [pull, pull],
            dimple: [little() * 0.3; 2],
            corner_down: little() * 0.5,
            lower_lip: little() * 0.5,
            chin: little(),
            stretch: little(),
            tight: little(),
            part,
            jaw: little() * 0.5,
            gape: 0.0,
            droop: (little() + blink).min(1.0),
        }
    }
}
