//! The ranges of the settings.

use super::{
    Settings,
    words::{BranchSchedule, Gamma, ModelKind},
};
use crate::{Error, Result, exec::Precision};

impl Settings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Usage`] for the first setting out of its range, by name.
    pub fn check(&self) -> Result<()> {
        let wrong = |setting: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(Error::Usage {
                setting: setting.into(),
                expected: expected.into(),
                found: found.to_string(),
                hint: format!("change --{setting} or the key `{setting}`"),
            })
        };
        if self.data.trim().is_empty() {
            return wrong("data", "a data set such as `synthetic` or `ferplus:DIR`", &"nothing");
        }
        let counts = [
            ("image-size", self.image_size),
            ("epochs", self.epochs),
            ("stage-epochs", self.stage_epochs),
            ("step-size", self.step_size),
            ("checkpoint-every", self.checkpoint_every),
            ("log-every", self.log_every),
        ];
        for (setting, count) in counts {
            if count == 0 {
                return wrong(setting, "at least 1", &count);
            }
        }
        if self.precision == Precision::F64 {
            return wrong("precision", "f32 or mixed, since model files keep f32", &self.precision);
        }
        if !(1..=16).contains(&self.branches) {
            return wrong("branches", "1 to 16", &self.branches);
        }
        if self.model == ModelKind::Manet && self.branch_schedule != BranchSchedule::Joint {
            return wrong(
                "branch-schedule",
                "`joint` for a MA-Net, whose branches always learn together",
                &self.branch_schedule,
            );
        }
        if self.batch_size < 2 {
            return wrong("batch-size", "at least 2, since batch norm needs a variance", &self.batch_size);
        }
        let positive = [
            ("width", self.width),
            ("lr", self.lr),
            ("trained-lr", self.trained_lr),
            ("step-gamma", self.step_gamma),
            ("claim-timeout", self.claim_timeout),
        ];
        for (setting, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return wrong(setting, "a number above 0", &value);
            }
        }
        if self.width > 4.0 {
            return wrong("width", "at most 4", &self.width);
        }
        for (setting, value) in [("mixup", self.mixup), ("weight-decay", self.weight_decay)] {
            if !(value.is_finite() && value >= 0.0) {
                return wrong(setting, "0 or a number above it", &value);
            }
        }
        for (setting, value) in [("momentum", self.momentum), ("warmup-fraction", self.warmup_fraction)] {
            if !(0.0..1.0).contains(&value) {
                return wrong(setting, "a number from 0 to below 1", &value);
            }
        }
        if !(self.val_fraction > 0.0 && self.val_fraction < 1.0) {
            return wrong("val-fraction", "a share above 0 and below 1", &self.val_fraction);
        }
        if self.nesterov && self.momentum == 0.0 {
            return wrong("nesterov", "a momentum above 0 for it", &"momentum 0");
        }
        if let Gamma::Value(gamma) = self.gamma
            && !(gamma.is_finite() && gamma > 0.0)
        {
            return wrong("gamma", "a number above 0, or `auto`", &gamma);
        }
        if let Some(name) = &self.name {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if name.is_empty() || name.starts_with('.') || !plain {
                return wrong("name", "letters, digits, `-`, `_` and `.`, not starting with `.`", &format!("`{name}`"));
            }
        }
        Ok(())
    }
}
