//! Who a face belongs to: proportions, colours, hair, glasses, age.

use super::pen::Colour;
use crate::rng::Rng;

/// A cut of hair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hair {
    /// None at all.
    Bald,
    /// A shaved cap.
    Buzz,
    /// Short, parted on one side.
    Parted,
    /// Short, brushed up.
    Up,
    /// With a fringe over the forehead, to the jaw.
    Fringe,
    /// Over the shoulders, parted in the middle.
    Long,
    /// Round and curly.
    Curly,
    /// Tied together on top.
    Bun,
    /// Under a scarf.
    Scarf,
}

/// Hair on the lower face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beard {
    None,
    Stubble,
    Moustache,
    Goatee,
    Full,
}

/// A person. Lengths are in units of half a face's height, x to the right and y down from the face's centre.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) width: f32,
    pub(super) jaw: f32,
    pub(super) chin: f32,
    pub(super) forehead: f32,
    pub(super) eye_x: f32,
    pub(super) eye_y: f32,
    pub(super) eye_width: f32,
    pub(super) eye_height: f32,
    pub(super) eye_tilt: f32,
    pub(super) brow_y: f32,
    pub(super) brow_width: f32,
    pub(super) brow_arch: f32,
    pub(super) nose_y: f32,
    pub(super) nose_width: f32,
    pub(super) mouth_y: f32,
    pub(super) mouth_width: f32,
    pub(super) lips: [f32; 2],
    pub(super) corners: f32,
    pub(super) ears: f32,
    pub(super) age: f32,
    pub(super) skin: Colour,
    pub(super) lip_colour: Colour,
    pub(super) iris: Colour,
    pub(super) hair_colour: Colour,
    pub(super) brow_colour: Colour,
    pub(super) cloth: Colour,
    pub(super) hair: Hair,
    pub(super) hair_side: f32,
    pub(super) beard: Beard,
    pub(super) glasses: Option<Glasses>,
    pub(super) freckles: bool,
}

/// Rims, and lenses that may be dark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glasses {
    pub(super) rim: Colour,
    pub(super) thick: f32,
    pub(super) round: bool,
    pub(super) dark: bool,
}

/// The Monk Skin Tone scale's ten tones (Monk 2019), lightest first; the lightest three are tinted a little,
/// because the swatches are paler than a face under a lamp.
const SKIN: [[u8; 3]; 10] = [
    [246, 222, 206],
    [243, 214, 192],
    [240, 208, 178],
    [231, 196, 158],
    [212, 170, 130],
    [168, 120, 84],
    [136, 92, 62],
    [104, 68, 46],
    [78, 52, 38],
    [60, 40, 32],
];

const HAIR: [[u8; 3]; 9] = [
    [24, 20, 20],
    [34, 26, 24],
    [52, 36, 28],
    [84, 56, 38],
    [120, 84, 52],
    [196, 156, 96],
    [150, 74, 38],
    [150, 148, 146],
    [216, 212, 206],
];

const IRIS: [[u8; 3]; 6] = [[60, 38, 24], [84, 54, 30], [48, 32, 24], [104, 92, 50], [84, 120, 150], [92, 128, 96]];

const CLOTH: [[u8; 3]; 8] = [
    [52, 74, 110],
    [140, 52, 52],
    [70, 106, 84],
    [220, 216, 208],
    [46, 46, 52],
    [198, 158, 84],
    [120, 92, 132],
    [92, 132, 148],
];

fn pick(palette: &[[u8; 3]], rng: &mut Rng) -> Colour {
    let wobble = rng.range(0.9, 1.1) as f32;
    Colour::bytes(palette[rng.below(palette.len())]).times(wobble)
}

impl Identity {
    /// A drawn person.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let age = (rng.range(-0.5, 1.0) as f32).max(0.0);
        let tone = rng.range(0.0, 8.999);
        let skin = Colour::bytes(SKIN[tone as usize]).mix(Colour::bytes(SKIN[tone as usize + 1]), tone.fract() as f32);
        let skin = skin.times(rng.range(0.95, 1.04) as f32);
        let hair = [
            Hair::Bald,
            Hair::Buzz,
            Hair::Parted,
            Hair::Parted,
            Hair::Up,
            Hair::Fringe,
            Hair::Fringe,
            Hair::Long,
            Hair::Long,
            Hair::Curly,
            Hair::Bun,
            Hair::Scarf,
        ][rng.below(12)];
        // Dark hair with dark skin, every colour with light skin, grey with age.
        let mut colours = if tone > 4.5 { 3 } else { 7 };
        if age > 0.6 {
            colours = 9;
        }
        let first = if age > 0.8 { 7 } else { 0 };
        let hair_colour = pick(&HAIR[first..colours], rng);
        let short = matches!(hair, Hair::Bald | Hair::Buzz | Hair::Parted | Hair::Up | Hair::Curly);
        let beard = match rng.below(10) {
            0 | 1 if short => Beard::Stubble,
            2 if short => Beard::Moustache,
            3 if short => Beard::Goatee,
            4 if short => Beard::Full,
            _ => Beard::None,
        };
        let glasses = rng.chance(0.18).then(|| Glasses {
            rim: pick(&[[30, 28, 30], [70, 50, 36], [150, 130, 90], [120, 30, 40]], rng),
            thick: rng.range(0.022, 0.05) as f32,
            round: rng.chance(0.5),
            dark: rng.chance(0.03),
        });
        let made_up = !short && rng.chance(0.4);
        let lip_colour = if made_up {
            Colour::bytes([186, 48, 66]).mix(skin, rng.range(0.0, 0.4) as f32)
        } else {
            skin.mix(Colour::bytes([176, 74, 78]), rng.range(0.4, 0.62) as f32)
        };
        let (iris, cloth) = (pick(&IRIS[..if tone > 5.0 { 3 } else { 6 }], rng), pick(&CLOTH, rng));
        let mut within = |low: f64, high: f64| rng.range(low, high) as f32;
        Self {
            width: within(0.66, 0.78),
            jaw: within(0.80, 1.0),
            chin: within(0.30, 0.46),
            forehead: within(0.92, 1.04),
            eye_x: within(0.285, 0.345),
            eye_y: within(-0.16, -0.08),
            eye_width: within(0.145, 0.18),
            eye_height: within(0.072, 0.096),
            eye_tilt: within(-0.02, 0.035),
            brow_y: within(-0.25, -0.21),
            brow_width: within(0.026, 0.055),
            brow_arch: within(0.02, 0.06),
            nose_y: within(0.22, 0.30),
            nose_width: within(0.115, 0.18),
            mouth_y: within(0.52, 0.59),
            mouth_width: within(0.255, 0.32),
            lips: [within(0.035, 0.07), within(0.045, 0.085)],
            corners: within(-0.012, 0.012),
            ears: within(0.8, 1.2),
            age,
            skin,
            lip_colour,
            iris,
            hair_colour,
            brow_colour: if age > 0.8 {
                hair_colour.times(0.8)
            } else {
                hair_colour.mix(Colour::bytes([30, 22, 18]), 0.6)
            },
            cloth,
            hair,
            hair_side: if within(0.0, 1.0) < 0.5 { -1.0 } else { 1.0 },
            beard,
            glasses,
            freckles: tone < 3.0 && within(0.0, 1.0) < 0.15,
        }
    }
}
