//! `--abstain`: answers that are left open because they are too unsure.

use std::path::PathBuf;

use crate::{Error, Result, models::Calibration};

/// What stands in place of a class.
pub(super) const UNSURE: &str = "unsure";

/// A share of wrong answers that is accepted.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct Abstain {
    /// Says "unsure" instead of an answer that is not sure enough: of the others at most this share, such as 0.05, was wrong
    /// on the images that the model was calibrated on.
    #[arg(long, value_name = "RISK", conflicts_with = "raw")]
    abstain: Option<f64>,
}

impl Abstain {
    /// The confidence below which answers are left open; none where all are given. `calibration` is the one model's.
    ///
    /// # Errors
    /// [`Error::Usage`] for a share out of range or several models, [`Error::File`] for a model without a risk–coverage curve.
    pub(super) fn threshold(self, models: &[PathBuf], calibration: Option<&Calibration>) -> Result<Option<f32>> {
        let Some(risk) = self.abstain else { return Ok(None) };
        let [path] = models else {
            return Err(Error::Usage {
                setting: "--abstain".into(),
                expected: "one model, whose own errors were counted".into(),
                found: format!("{} models", models.len()),
                hint: "evaluate them one by one".into(),
            });
        };
        if !(0.0..=1.0).contains(&risk) {
            return Err(Error::Usage {
                setting: "--abstain".into(),
                expected: "the share of wrong answers that is accepted, from 0 to 1".into(),
                found: risk.to_string(),
                hint: "say 0.05 for one in twenty".into(),
            });
        }
        match calibration.and_then(|calibration| calibration.threshold(risk)) {
            Some(threshold) => Ok(Some(threshold)),
            None => Err(Error::File {
                path: path.clone(),
                expected: "a model that knows how often its answers are wrong".into(),
                found: if calibration.is_some() { "a calibration without their curve" } else { "none" }.into(),
                hint: "measure it on a validation split: `moue calibrate --model MODEL --data SPEC`".into(),
            }),
        }
    }
}
