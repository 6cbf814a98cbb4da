//! What is trained when, and how fast: stages of branches and the learning rate of each.

/// The order in which branches learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// All branches from the start.
    Joint,
    /// A branch at a time, from scratch: the network grows (the paper's recipe on AffectNet).
    Progressive,
    /// All branches are there, cross-entropy covers one more at each stage (the paper's recipe on FER+ and RAF-DB).
    FineTune,
}

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

/// The stages of a plan.
///
/// `epochs` are the first stage's, `stage_epochs` each later one's; `lr` is what learns anew, `lr_old` what has
/// learnt before (paper.md: 0.1 and 0.01 from scratch, 0.1 and 0.02 when fine-tuning).
#[must_use]
pub fn stages(plan: Plan, branches: usize, epochs: usize, stage_epochs: usize, lr: f64, lr_old: f64) -> Vec<Stage> {
    let all = |count: usize, value: f64| vec![value; count];
    match plan {
        Plan::Joint => {
            vec![Stage { branches, weights: vec![1.0; branches], epochs, base_lr: lr, branch_lr: all(branches, lr) }]
        }
        Plan::Progressive => (1..=branches)
            .map(|count| {
                let mut branch_lr = all(count, lr_old);
                branch_lr[count - 1] = lr;
                Stage {
                    branches: count,
                    weights: vec![1.0; count],
                    epochs: if count == 1 { epochs } else { stage_epochs },
                    base_lr: if count == 1 { lr } else { lr_old },
                    branch_lr,
                }
            })
            .collect(),
        Plan::FineTune => (1..=branches)
            .map(|count| {
                let mut branch_lr = all(branches, lr_old);
                branch_lr[count - 1] = lr;
                Stage {
                    branches,
                    weights: (0..branches).map(|branch| if branch < count { 1.0 } else { 0.0 }).collect(),
                    epochs: if count == 1 { epochs } else { stage_epochs },
                    base_lr: if count == 1 { lr } else { lr_old },
                    branch_lr,
                }
            })
            .collect(),
    }
}

/// How the learning rate changes within a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LrSchedule {
    /// It does not.
    Constant,
    /// Multiplied by `gamma` every `every` epochs (`StepLR`).
    Step {
        /// Epochs between two changes, at least 1.
        every: usize,
        /// The factor.
        gamma: f64,
    },
    /// Half a cosine from 1 to 0 over the stage.
    Cosine,
    /// From 1/25 up to 1 over the warm-up, then down to 10⁻⁴/25, both along cosines (`OneCycleLR`, whose warm-up is
    /// 0.3 by default).
    OneCycle,
}

impl LrSchedule {
    /// The factor of the learning rate at a step of a stage.
    ///
    /// `step` counts the stage's steps from 0, of `total`; over the share `warmup` of them, in [0, 1), the factor rises:
    /// linearly before the schedule's own applies, or as the one cycle's first part.
    #[must_use]
    pub fn factor(self, step: usize, total: usize, per_epoch: usize, warmup: f64) -> f64 {
        let progress = step as f64 / total.saturating_sub(1).max(1) as f64;
        let cosine = |from: f64, to: f64, at: f64| to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * at).cos());
        let rising = (warmup * total as f64).ceil();
        let ramp = if (step as f64) < rising { (step + 1) as f64 / rising } else { 1.0 };
        match self {
            Self::Constant => ramp,
            Self::Step { every, gamma } => ramp * gamma.powi((step / per_epoch.max(1) / every.max(1)) as i32),
            Self::Cosine => ramp * cosine(1.0, 0.0, progress.min(1.0)),
            Self::OneCycle => {
                const START: f64 = 1.0 / 25.0;
                if progress < warmup {
                    cosine(START, 1.0, progress / warmup)
                } else {
                    cosine(1.0, START * 1e-4, ((progress - warmup) / (1.0 - warmup)).min(1.0))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progressive_adds_a_branch_a_stage_and_slows_what_has_learnt() {
        let stages = stages(Plan::Progressive, 3, 50, 20, 0.1, 0.01);
        assert_eq!(stages.iter().map(|s| (s.branches, s.epochs)).collect::<Vec<_>>(), [(1, 50), (2, 20), (3, 20)]);
        assert_eq!((stages[0].base_lr, stages[2].base_lr), (0.1, 0.01));
        assert_eq!(stages[2].branch_lr, [0.01, 0.01, 0.1]);
        assert_eq!(stages[2].lr_of("branches.2.conv1.weight"), 0.1);
        assert_eq!(stages[2].lr_of("branches.0.conv1.weight"), 0.01);
        assert_eq!(stages[2].lr_of("base.conv1.weight"), 0.01);
    }

    #[test]
    fn fine_tuning_runs_all_branches_and_weighs_those_up_to_the_stage() {
        let stages = stages(Plan::FineTune, 3, 100, 60, 0.1, 0.02);
        assert!(stages.iter().all(|stage| stage.branches == 3));
        assert_eq!(stages[0].weights, [1.0, 0.0, 0.0]);
        assert_eq!(stages[0].base_lr, 0.1);
        assert_eq!(stages[1].weights, [1.0, 1.0, 0.0]);
        assert_eq!(stages[1].branch_lr, [0.02, 0.1, 0.02]);
    }

    #[test]
    fn step_halves_every_ten_epochs() {
        let schedule = LrSchedule::Step { every: 10, gamma: 0.5 };
        assert_eq!(schedule.factor(99, 300, 10, 0.0), 1.0);
        assert_eq!(schedule.factor(100, 300, 10, 0.0), 0.5);
        assert_eq!(schedule.factor(299, 300, 10, 0.0), 0.25);
    }

    #[test]
    fn cosine_and_one_cycle_start_peak_and_end_where_pytorch_does() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(LrSchedule::Cosine.factor(0, 101, 10, 0.0), 1.0);
        near(LrSchedule::Cosine.factor(50, 101, 10, 0.0), 0.5);
        near(LrSchedule::Cosine.factor(100, 101, 10, 0.0), 0.0);
        near(LrSchedule::OneCycle.factor(0, 101, 10, 0.3), 0.04);
        near(LrSchedule::OneCycle.factor(30, 101, 10, 0.3), 1.0);
        near(LrSchedule::OneCycle.factor(100, 101, 10, 0.3), 4e-6);
    }

    #[test]
    fn warmup_rises_linearly() {
        assert_eq!(LrSchedule::Constant.factor(0, 10, 5, 0.4), 0.25);
        assert_eq!(LrSchedule::Constant.factor(3, 10, 5, 0.4), 1.0);
    }
}
