//! The range of every setting, and which do not go together.

use super::{
    Settings,
    words::{BranchSchedule, DiversityWeight, Gamma, ModelKind, ObjectiveKind, Resident, SimilarityKind},
};
use crate::{
    Error, Result,
    data::{Augment, ClassMap, Targets},
    exec::Precision,
    models::BRANCH_LAYERS,
};

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
        self.class_map.parse::<ClassMap>()?;
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
        let from_0 =
            [("mixup", self.mixup), ("weight-decay", self.weight_decay), ("diversity-warmup", self.diversity_warmup)];
        for (setting, value) in from_0 {
            if !(value.is_finite() && value >= 0.0) {
                return wrong(setting, "0 or a number above it", &value);
            }
        }
        for (setting, value) in [
            ("momentum", self.momentum),
            ("label-smoothing", self.label_smoothing),
            ("warmup-fraction", self.warmup_fraction),
            ("ema", self.ema),
        ] {
            if !(0.0..1.0).contains(&value) {
                return wrong(setting, "a number from 0 to below 1", &value);
            }
        }
        if self.ema > 0.0 && self.branch_schedule != BranchSchedule::Joint {
            return wrong("ema", "0 with branches that are trained one after another", &self.ema);
        }
        if !(0.01..=100.0).contains(&self.teacher_temperature) {
            return wrong("teacher-temperature", "0.01 to 100", &self.teacher_temperature);
        }
        if self.resample_votes && self.targets == Targets::Hard {
            return wrong("resample-votes", "`false` with `--targets hard`, which knows no votes", &true);
        }
        if self.own_targets() && self.answer_diversity > 0.0 {
            let expected = "0 where branches have targets of their own (--teacher, --resample-votes)";
            return wrong("answer-diversity", expected, &self.answer_diversity);
        }
        if (!self.teacher.is_empty() || self.augment.parse::<Augment>()?.needs_host()) && self.resident == Resident::On
        {
            let expected = "`auto` or `off` with teachers, border, blur or jpeg, which need the host's images";
            return wrong("resident", expected, &self.resident);
        }
        if !(self.val_fraction > 0.0 && self.val_fraction < 1.0) {
            return wrong("val-fraction", "a share above 0 and below 1", &self.val_fraction);
        }
        for (setting, value) in [
            ("local-weight", self.local_weight),
            ("answer-diversity", self.answer_diversity),
            ("teacher-share", self.teacher_share),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return wrong(setting, "a share from 0 to 1", &value);
            }
        }
        if self.folds == 1 {
            return wrong("folds", "0 for none, or at least 2", &self.folds);
        }
        if self.fold < 1 || self.fold > self.folds.max(1) {
            let expected = match self.folds {
                0 => "1, since there are no folds".into(),
                folds => format!("1 to {folds}, the number of folds"),
            };
            return wrong("fold", &expected, &self.fold);
        }
        if self.nesterov && self.momentum == 0.0 {
            return wrong("nesterov", "a momentum above 0 for it", &"momentum 0");
        }
        if let Gamma::Value(gamma) = self.gamma
            && !(gamma.is_finite() && gamma > 0.0)
        {
            return wrong("gamma", "a number above 0, or `auto`", &gamma);
        }
        if !(1..=BRANCH_LAYERS).contains(&self.diversity_layer) {
            return wrong("diversity-layer", &format!("1 to {BRANCH_LAYERS}"), &self.diversity_layer);
        }
        if self.model == ModelKind::Manet && self.diversity_layer != BRANCH_LAYERS {
            let expected = format!("{BRANCH_LAYERS}, the last, for a MA-Net");
            return wrong("diversity-layer", &expected, &self.diversity_layer);
        }
        if self.logdet_epsilon != 0.0 {
            if !(1e-3..=1.0).contains(&self.logdet_epsilon) {
                return wrong("logdet-epsilon", "0, or a number from 0.001 to 1", &self.logdet_epsilon);
            }
            if self.objective != ObjectiveKind::LogDet {
                return wrong("logdet-epsilon", "the objective logdet for it", &self.objective);
            }
            if self.similarity != SimilarityKind::Paper {
                return wrong("logdet-epsilon", "a similarity matrix with a diagonal of 1 for it", &self.similarity);
            }
        }
        match self.diversity_weight {
            DiversityWeight::Value(weight) if !(weight.is_finite() && weight >= 0.0) => {
                return wrong("diversity-weight", "0 or a number above it, or `share:` and a number above 0", &weight);
            }
            DiversityWeight::Share(share) if !(share.is_finite() && share > 0.0) => {
                return wrong("diversity-weight", "a number above 0 after `share:`", &share);
            }
            DiversityWeight::Share(_) if self.model == ModelKind::Manet => {
                let expected = "a number for a MA-Net, whose answer does not pass through the maps that are compared";
                return wrong("diversity-weight", expected, &self.diversity_weight);
            }
            _ => {}
        }
        if self.diversity_epochs > 0 && self.diversity_warmup > self.diversity_epochs as f64 {
            let expected = format!("at most the {} of diversity-epochs", self.diversity_epochs);
            return wrong("diversity-warmup", &expected, &self.diversity_warmup);
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
