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
