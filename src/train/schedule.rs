//! What is trained when, and how fast: stages of branches and the learning rate of each.

use super::settings::{Settings, words::BranchSchedule};
use crate::words::words;

/// One stage of training.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Branches that the network has.
    pub branches: usize,
    /// Weight of each branch's cross-entropy.
    pub weights: Vec<f32>,
    /// Epochs of this stage.
    pub epochs: usize,
    /// Learning rate of the base, before the schedule's factor.
    pub base_lr: f64,
    /// Learning rate of each branch, before the schedule's factor.
    pub branch_lr: Vec<f64>,
}

impl Stage {
    /// The learning rate of a part by its name: `branches.<b>.…`, or the base.
    #[must_use]
    pub fn lr_of(&self, part: &str) -> f64 {
        part.strip_prefix("branches.")
            .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok())
            .and_then(|branch| self.branch_lr.get(branch).copied())
            .unwrap_or(self.base_lr)
    }
}

/// The stages of a training of a network with `heads` heads.
///
/// [`Settings::epochs`] are the first stage's, [`Settings::stage_epochs`] each later one's; [`Settings::lr`] is the rate
/// of what learns anew, [`Settings::trained_lr`] of what has learnt before (the paper's: 0.1 and 0.01 from scratch, 0.1
/// and 0.02 when fine-tuning).
#[must_use]
pub fn stages(settings: &Settings, heads: usize) -> Vec<Stage> {
    let Settings { branch_schedule, epochs, stage_epochs, lr, trained_lr, .. } = *settings;
    if branch_schedule == BranchSchedule::Joint {
        let (weights, branch_lr) = (vec![1.0; heads], vec![lr; heads]);
        return vec![Stage { branches: heads, weights, epochs, base_lr: lr, branch_lr }];
    }
    let stage = |learning: usize| {
        let branches = if branch_schedule == BranchSchedule::Progressive { learning } else { heads };
        let mut branch_lr = vec![trained_lr; branches];
        branch_lr[learning - 1] = lr;
        Stage {
            branches,
            weights: (0..branches).map(|branch| if branch < learning { 1.0 } else { 0.0 }).collect(),
            epochs: if learning == 1 { epochs } else { stage_epochs },
            base_lr: if learning == 1 { lr } else { trained_lr },
            branch_lr,
        }
    };
    (1..=heads).map(stage).collect()
}

words! {
    /// How the learning rate changes within a stage.
    LrSchedule {
        /// Times `step-gamma` every `step-size` epochs, as PyTorch's StepLR.
        Step = "step",
        /// Half a cosine from 1 down to 0 at the end of the stage.
        Cosine = "cosine",
        /// From 1/25 up to 1 over the warm-up, then down to 10⁻⁴/25, along cosines, as PyTorch's OneCycleLR.
        OneCycle = "one-cycle",
        /// Not at all.
        Constant = "constant",
    }
}

/// The factor of the learning rate at a step of a stage.
///
/// `step` counts the stage's steps from 0, of `total`; over the share [`Settings::warmup_fraction`] of them the factor
/// rises: linearly before the schedule's own applies, or as the one cycle's first part.
#[must_use]
pub fn lr_factor(settings: &Settings, step: usize, total: usize, per_epoch: usize) -> f64 {
    let Settings { lr_schedule, step_size, step_gamma, warmup_fraction: warmup, .. } = *settings;
    let progress = step as f64 / total.saturating_sub(1).max(1) as f64;
    let cosine = |from: f64, to: f64, at: f64| to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * at).cos());
    let rising = (warmup * total as f64).ceil();
    let ramp = if (step as f64) < rising { (step + 1) as f64 / rising } else { 1.0 };
    match lr_schedule {
        LrSchedule::Constant => ramp,
        LrSchedule::Step => ramp * step_gamma.powi((step / per_epoch.max(1) / step_size.max(1)) as i32),
        LrSchedule::Cosine => ramp * cosine(1.0, 0.0, progress.min(1.0)),
        LrSchedule::OneCycle => {
            const START: f64 = 1.0 / 25.0;
            if progress < warmup {
                cosine(START, 1.0, progress / warmup)
            } else {
                cosine(1.0, START * 1e-4, ((progress - warmup) / (1.0 - warmup)).min(1.0))
            }
        }
    }
}

/// The factor of the diversity terms' weight at a step of a stage, of `per_epoch` in an epoch: it rises from 0 to 1 over
/// [`Settings::diversity_warmup`], and is 0 after [`Settings::diversity_epochs`].
#[must_use]
pub fn diversity_factor(settings: &Settings, step: usize, per_epoch: usize) -> f64 {
    let Settings { diversity_warmup: warmup, diversity_epochs: epochs, .. } = *settings;
    if epochs > 0 && step >= epochs * per_epoch {
        return 0.0;
    }
    let rising = warmup * per_epoch as f64;
    if (step as f64) < rising { step as f64 / rising } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(
        branch_schedule: BranchSchedule,
        [epochs, stage_epochs]: [usize; 2],
        [lr, trained_lr]: [f64; 2],
    ) -> Settings {
        Settings { branch_schedule, epochs, stage_epochs, lr, trained_lr, ..Settings::default() }
    }

    /// Halved every ten epochs where it is a step's.
    fn curve(lr_schedule: LrSchedule, warmup_fraction: f64) -> Settings {
        Settings { lr_schedule, warmup_fraction, step_size: 10, step_gamma: 0.5, ..Settings::default() }
    }

    #[test]
    fn progressive_adds_a_branch_a_stage_and_slows_what_has_learnt() {
        let stages = stages(&plan(BranchSchedule::Progressive, [50, 20], [0.1, 0.01]), 3);
        assert_eq!(stages.iter().map(|s| (s.branches, s.epochs)).collect::<Vec<_>>(), [(1, 50), (2, 20), (3, 20)]);
        assert_eq!((stages[0].base_lr, stages[2].base_lr), (0.1, 0.01));
        assert_eq!(stages[2].branch_lr, [0.01, 0.01, 0.1]);
        assert_eq!(stages[2].lr_of("branches.2.conv1.weight"), 0.1);
        assert_eq!(stages[2].lr_of("branches.0.conv1.weight"), 0.01);
        assert_eq!(stages[2].lr_of("base.conv1.weight"), 0.01);
    }

    #[test]
    fn fine_tuning_runs_all_branches_and_weighs_those_up_to_the_stage() {
        let stages = stages(&plan(BranchSchedule::FineTune, [100, 60], [0.1, 0.02]), 3);
        assert!(stages.iter().all(|stage| stage.branches == 3));
        assert_eq!(stages[0].weights, [1.0, 0.0, 0.0]);
        assert_eq!(stages[0].base_lr, 0.1);
        assert_eq!(stages[1].weights, [1.0, 1.0, 0.0]);
        assert_eq!(stages[1].branch_lr, [0.02, 0.1, 0.02]);
    }

    #[test]
    fn step_halves_every_ten_epochs() {
        let settings = curve(LrSchedule::Step, 0.0);
        assert_eq!(lr_factor(&settings, 99, 300, 10), 1.0);
        assert_eq!(lr_factor(&settings, 100, 300, 10), 0.5);
        assert_eq!(lr_factor(&settings, 299, 300, 10), 0.25);
    }

    #[test]
    fn cosine_and_one_cycle_start_peak_and_end_where_pytorch_does() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(lr_factor(&curve(LrSchedule::Cosine, 0.0), 0, 101, 10), 1.0);
        near(lr_factor(&curve(LrSchedule::Cosine, 0.0), 50, 101, 10), 0.5);
        near(lr_factor(&curve(LrSchedule::Cosine, 0.0), 100, 101, 10), 0.0);
        near(lr_factor(&curve(LrSchedule::OneCycle, 0.3), 0, 101, 10), 0.04);
        near(lr_factor(&curve(LrSchedule::OneCycle, 0.3), 30, 101, 10), 1.0);
        near(lr_factor(&curve(LrSchedule::OneCycle, 0.3), 100, 101, 10), 4e-6);
    }

    #[test]
    fn the_weight_of_diversity_rises_from_0_and_ends() {
        let factors = |diversity_warmup, diversity_epochs| {
            let settings = Settings { diversity_warmup, diversity_epochs, ..Settings::default() };
            (0..8).map(|step| diversity_factor(&settings, step, 2)).collect::<Vec<_>>()
        };
        assert_eq!(factors(0.0, 0), [1.0; 8]);
        assert_eq!(factors(2.0, 0), [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors(0.0, 3), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(factors(0.5, 1), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn warmup_rises_linearly() {
        assert_eq!(lr_factor(&curve(LrSchedule::Constant, 0.4), 0, 10, 5), 0.25);
        assert_eq!(lr_factor(&curve(LrSchedule::Constant, 0.4), 3, 10, 5), 1.0);
    }
}
