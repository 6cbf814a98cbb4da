//! `moue eval --steadiness`: whether answers outlast changes of the pictures that leave the expression as it is.

use std::sync::Arc;

use super::super::output::say;
use crate::{
    Result,
    data::{Change, Sample},
};

/// What became of the answers under one change.
#[derive(Debug, serde::Serialize)]
pub(super) struct Steadiness {
    /// The change in words.
    change: String,
    /// The share of images that are then answered with another class.
    changed: f64,
    /// The accuracy under it.
    accuracy: f64,
}

/// Under each change of [`Change::ALL`]; `plain` are the answers to the samples as they are, `answer` those to others.
pub(super) fn judge(
    samples: &[Sample],
    plain: &[usize],
    mut answer: impl FnMut(&[Sample]) -> Result<Vec<usize>>,
) -> Result<Vec<Steadiness>> {
    let share = |count: usize| count as f64 / samples.len().max(1) as f64;
    let mut all = Vec::new();
    for change in Change::ALL {
        let changed = |sample: &Sample| Ok(Sample { image: Arc::new(change.apply(&sample.image)?), ..sample.clone() });
        let changed: Vec<Sample> = samples.iter().map(changed).collect::<Result<_>>()?;
        let answers = answer(&changed)?;
        let steadiness = Steadiness {
            change: change.to_string(),
            changed: share(answers.iter().zip(plain).filter(|(now, before)| now != before).count()),
            accuracy: share(answers.iter().zip(samples).filter(|(class, sample)| **class == sample.label).count()),
        };
        say!("{}: {:.4} answered otherwise, accuracy {:.4}", change, steadiness.changed, steadiness.accuracy);
        all.push(steadiness);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Image;

    /// Pictures whose left half is as bright as the first number says, the right half as the second.
    fn halves([left, right]: [u8; 2], label: usize) -> Sample {
        let pixels = (0..24 * 24).map(|at| if at % 24 < 12 { left } else { right }).collect();
        Sample::new("halves", Arc::new(Image { width: 24, height: 24, channels: 1, pixels }), label)
    }

    /// 0 where the left side is brighter, 1 where the right is, 2 where the whole is brighter than 120.
    fn class(sample: &Sample) -> usize {
        let Image { width, ref pixels, .. } = *sample.image;
        let sum = |is_left: bool| -> u32 {
            let at = pixels.iter().enumerate().filter(|(at, _)| (at % width < width / 2) == is_left);
            at.map(|(_, value)| u32::from(*value)).sum()
        };
        match sum(true) + sum(false) {
            all if all > 120 * pixels.len() as u32 => 2,
            _ => usize::from(sum(false) > sum(true)),
        }
    }

    #[test]
    fn answers_that_change_and_answers_that_stay_are_counted_under_each_change() {
        let samples = [halves([90, 60], 0), halves([60, 90], 0), halves([110, 100], 2), halves([240, 240], 2)];
        let answer = |samples: &[Sample]| samples.iter().map(class).collect::<Vec<_>>();
        let plain = answer(&samples);
        assert_eq!(plain, [0, 1, 0, 2]);
        let judged = judge(&samples, &plain, |changed| Ok(answer(changed))).expect("pictures");
        let of = |words: &str| {
            let found = judged.iter().find(|one| one.change == words).expect("a change");
            (found.changed, found.accuracy)
        };
        // Both halves change sides: of the first three.
        assert_eq!(of("mirrored"), (0.75, 0.5));
        // 105 × 1.3 is more than 120; 240 × 0.7 stays so.
        assert_eq!((of("30 % brighter"), of("30 % darker")), ((0.25, 0.75), (0.0, 0.5)));
        assert_eq!(of("in a larger frame, 10 % larger"), (0.0, 0.5));
    }
}
