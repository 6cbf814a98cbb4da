//! What `moue eval` prints.

use super::{super::output::say, choose::Judged};
use crate::{
    evaluation::{Answered, Evaluation, Figures, MapFigures, Members, statistics::wilson},
    predict::arg_max,
    train::ablation::Exit,
};

/// The figures, a few to a line.
pub(super) fn figures(evaluation: &Evaluation, vote: f64, figures: &Figures, members: &Members, branches: &[String]) {
    let hits: usize = (0..evaluation.confusion.len()).map(|class| evaluation.confusion[class][class]).sum();
    let [low, high] = wilson(hits, evaluation.images);
    say!(
        "accuracy {:.4} (95 % interval {low:.4} to {high:.4}), by vote {vote:.4}; {} images",
        evaluation.accuracy,
        evaluation.images
    );
    say!("balanced accuracy {:.4}; macro F1 {:.4}", evaluation.balanced_accuracy, figures.macro_f1);
    for class in &evaluation.per_class {
        let interval = class.recall.map_or(String::new(), |recall| {
            let [low, high] = wilson((recall * class.images as f64).round() as usize, class.images);
            format!(" ({low:.3} to {high:.3})")
        });
        let recall = class.recall.map_or("–".into(), |recall| format!("{recall:.4}"));
        say!("  {:<12} {recall:>7}{interval}  ({} images)", class.class, class.images);
    }
    say!("branches: {}", branches.join("  "));
    let or_none = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    if members.accuracy.len() > 1 {
        say!(
            "some branch is right for {:.4}; the branches' errors correlate by {}, Q statistic {}",
            members.oracle,
            or_none(members.error_correlation),
            or_none(members.q_statistic)
        );
    }
    say!(
        "negative log-likelihood {:.4}; Brier score {:.4}; calibration error {:.4}; label among the two largest {:.4}",
        figures.nll,
        figures.brier,
        figures.calibration_error,
        figures.top2
    );
    say!(
        "confidence finds errors with an AUROC of {}; area under risk against coverage {:.4}",
        or_none(figures.error_auroc),
        figures.risk_area
    );
    if let Some(votes) = &figures.votes {
        say!(
            "beside the annotators' votes: cross-entropy {:.4}; divergence (KL) {:.4}; answers that got votes {:.4}",
            votes.soft_cross_entropy,
            votes.kl,
            votes.chosen
        );
    }
}

/// What the learners look at.
pub(super) fn maps(maps: &MapFigures) {
    let share = maps.static_share.map_or("–".to_owned(), |share| format!("{share:.3}"));
    say!(
        "{} maps: mean distance {:.4}, of whose squares {share} is the same for every image; {:.4} of the values saturated",
        maps.kind,
        maps.distance,
        maps.saturated
    );
}

/// The accuracy of each early exit; a network whose last head answers has the one of all.
pub(super) fn exits(exits: &[Exit], by_branches: &[f64], of_all: f64) {
    for (index, exit) in exits.iter().enumerate() {
        let answer = by_branches.get(index).unwrap_or(&of_all);
        say!(
            "first {:>2} branches: {answer:.4} by the answer, {:.4} by vote, {:.4} by mean probability",
            exit.branches,
            exit.vote,
            exit.mean
        );
    }
}

/// The groups of a column.
pub(super) fn groups(judged: &Judged) {
    say!("groups by {}: the largest difference has p = {:.4} by permutation", judged.column, judged.p);
    for group in &judged.groups {
        let [low, high] = group.interval;
        say!("  {:<16} {:.4} ({low:.4} to {high:.4})  ({} images)", group.group, group.accuracy, group.images);
    }
}

/// The share of errors among the most confident 5, 10, … 100 % of the answers.
pub(super) fn risk_curve(risks: &[f64]) -> Vec<[f64; 2]> {
    let at = |part: usize| {
        let count = (risks.len() * part).div_ceil(20).max(1);
        risks.get(count - 1).map(|&risk| [part as f64 / 20.0, risk])
    };
    (1..=20).filter_map(at).collect()
}

/// What is left when unsure answers are left open.
#[derive(Debug, serde::Serialize)]
pub(super) struct Abstained {
    /// The confidence below which they are; none where all of them are.
    least_confidence: Option<f32>,
    /// The share of images that are answered.
    coverage: f64,
    /// The share of wrong answers among these; none where there is none.
    risk: Option<f64>,
}

impl Abstained {
    pub(super) fn of(answered: Answered<'_>, least: f32) -> Self {
        let (mut given, mut wrong) = (0_usize, 0_usize);
        for (row, label) in answered.probabilities.chunks_exact(answered.classes).zip(answered.labels) {
            let class = arg_max(row);
            if row[class] >= least {
                given += 1;
                wrong += usize::from(class != *label);
            }
        }
        Self {
            least_confidence: least.is_finite().then_some(least),
            coverage: given as f64 / answered.labels.len().max(1) as f64,
            risk: (given > 0).then(|| wrong as f64 / given as f64),
        }
    }

    pub(super) fn say(&self) {
        match (self.least_confidence, self.risk) {
            (Some(least), Some(risk)) => {
                say!("answers as sure as {least:.4}: {:.4} of the images, of which {risk:.4} wrong", self.coverage);
            }
            _ => say!("no answer is as sure as that: all are left open"),
        }
    }
}
