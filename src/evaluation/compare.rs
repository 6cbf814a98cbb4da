//! Whether networks differ, from what they answered to the same images.

use serde::Serialize;

use super::{
    kept::Kept,
    statistics::{Difference, bootstrap, holm, mcnemar},
};
use crate::{Error, Result};

/// One of the things compared: trainings of one kind with different seeds, or a single network.
#[derive(Debug, Clone)]
pub struct Arm {
    /// Its name, for messages and tables.
    pub name: String,
    /// The answers of each training.
    pub trainings: Vec<Kept>,
}

/// The mean figures of an arm's trainings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmFigures {
    /// Its name.
    pub name: String,
    /// Trainings.
    pub trainings: usize,
    /// By the mean of the branches' probabilities.
    pub accuracy: f64,
    /// By majority vote.
    pub vote_accuracy: f64,
    /// By the mean.
    pub balanced_accuracy: f64,
    /// Against the votes; against the labels where the data have no votes.
    pub soft_cross_entropy: f64,
    /// What stands in [`Versus`]; none for the first arm.
    pub versus: Option<Versus>,
}

/// An arm beside the first one: its figures less the first's, over the same images, training by training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// Of the soft cross-entropy.
    pub soft_cross_entropy: Difference,
    /// The p of that, by Holm over all arms but the first.
    pub holm: f64,
    /// Of the accuracy by the mean.
    pub accuracy: Difference,
    /// Of the accuracy by majority vote.
    pub vote_accuracy: Difference,
    /// Images that only the first arm, and only this one, answers rightly by the mean, and McNemar's exact p; where each
    /// has one training.
    pub mcnemar: Option<(usize, usize, f64)>,
    /// In a word, from the interval of the soft cross-entropy.
    pub verdict: Verdict,
}

/// What the 95 % interval of a difference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Wholly below 0.
    Lower,
    /// Wholly above 0.
    Higher,
    /// Wholly within the margin on both sides of 0, and 0 is in it.
    Equivalent,
    /// None of these.
    Undecided,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::Equivalent => "equivalent",
            Self::Undecided => "undecided",
        })
    }
}

fn verdict(interval: [f64; 2], margin: f64) -> Verdict {
    match interval {
        [_, high] if high < 0.0 => Verdict::Lower,
        [low, _] if low > 0.0 => Verdict::Higher,
        [low, high] if low > -margin && high < margin => Verdict::Equivalent,
        _ => Verdict::Undecided,
    }
}

/// Compares arms with the first one. Votes that a training's file lacks are taken from `truth`, or from another training
/// of the same images.
///
/// # Errors
/// [`Error::Data`] for arms of different images, classes or numbers of trainings.
pub fn compare(mut arms: Vec<Arm>, truth: Option<&Kept>, margin: f64, resamples: usize) -> Result<Vec<ArmFigures>> {
    check(&arms, truth)?;
    let all = || arms.iter().flat_map(|arm| &arm.trainings);
    let votes = truth.into_iter().chain(all()).find_map(|kept| kept.votes.clone());
    arms.iter_mut().flat_map(|arm| &mut arm.trainings).for_each(|kept| kept.votes.clone_from(&votes));
    let right = |answers: Vec<usize>, kept: &Kept| -> Vec<f64> {
        answers.iter().zip(&kept.labels).map(|(answer, label)| f64::from(u8::from(answer == label))).collect()
    };
    // Per arm and training: each image's soft cross-entropy, and whether mean and vote are right.
    let of = |kept: &Kept| {
        let answered = kept.answered();
        [answered.soft_cross_entropies(), right(answered.answers(), kept), right(kept.vote(), kept)]
    };
    let images: Vec<Vec<[Vec<f64>; 3]>> = arms.iter().map(|arm| arm.trainings.iter().map(of).collect()).collect();
    let mean = |trainings: &[[Vec<f64>; 3]], figure: usize| {
        let all = trainings.iter().flat_map(|training| &training[figure]);
        all.clone().sum::<f64>() / all.count().max(1) as f64
    };
    let mut found: Vec<ArmFigures> = arms
        .iter()
        .zip(&images)
        .map(|(arm, own)| {
            let balanced = arm.trainings.iter().map(|kept| kept.answered().figures().balanced_accuracy);
            ArmFigures {
                name: arm.name.clone(),
                trainings: arm.trainings.len(),
                accuracy: mean(own, 1),
                vote_accuracy: mean(own, 2),
                balanced_accuracy: balanced.sum::<f64>() / arm.trainings.len() as f64,
                soft_cross_entropy: mean(own, 0),
                versus: None,
            }
        })
        .collect();
    for (figures, own) in found.iter_mut().zip(&images).skip(1) {
        let difference = |figure: usize| {
            let pairs = own.iter().zip(&images[0]);
            let of = |(own, first): (&[Vec<f64>; 3], &[Vec<f64>; 3])| -> Vec<f64> {
                own[figure].iter().zip(&first[figure]).map(|(own, first)| own - first).collect()
            };
            bootstrap(&pairs.map(of).collect::<Vec<_>>(), resamples)
        };
        let soft_cross_entropy = difference(0);
        let only = |one: &[f64], other: &[f64]| one.iter().zip(other).filter(|(one, other)| one > other).count();
        let alone = (own.len() == 1).then(|| {
            let (first, this) = (&images[0][0][1], &own[0][1]);
            let (first, this) = (only(first, this), only(this, first));
            (first, this, mcnemar(first, this))
        });
        figures.versus = Some(Versus {
            verdict: verdict(soft_cross_entropy.interval, margin),
            soft_cross_entropy,
            holm: 1.0,
            accuracy: difference(1),
            vote_accuracy: difference(2),
            mcnemar: alone,
        });
    }
    let ps: Vec<f64> = found.iter().filter_map(|arm| arm.versus.as_ref()).map(|v| v.soft_cross_entropy.p).collect();
    for (versus, holm) in found.iter_mut().filter_map(|arm| arm.versus.as_mut()).zip(holm(&ps)) {
        versus.holm = holm;
    }
    Ok(found)
}

fn check(arms: &[Arm], truth: Option<&Kept>) -> Result<()> {
    let wrong = |what: &str, expected: String, found: String, hint: &str| {
        Err(Error::Data { what: what.into(), expected, found, hint: hint.into() })
    };
    let trainings = arms.first().map_or(0, |arm| arm.trainings.len());
    let Some(first) = arms.first().and_then(|arm| arm.trainings.first()) else {
        return wrong("the comparison", "predictions".into(), "none".into(), "name at least two files or folders");
    };
    if arms.len() < 2 {
        let hint = "name at least two files or folders";
        return wrong("the comparison", "at least two of them".into(), arms.len().to_string(), hint);
    }
    for arm in arms {
        if arm.trainings.len() != trainings {
            let expected = format!("{trainings} files, as {} has: a pair for each seed", arms[0].name);
            let hint = "compare the same seeds on both sides";
            return wrong(&arm.name, expected, arm.trainings.len().to_string(), hint);
        }
    }
    let named = arms.iter().flat_map(|arm| arm.trainings.iter().map(move |kept| (&*arm.name, kept)));
    for (name, kept) in named.chain(truth.map(|kept| ("--truth", kept))) {
        if kept.about.classes != first.about.classes {
            let (expected, found) = (first.about.classes.join(", "), kept.about.classes.join(", "));
            return wrong(name, format!("the classes {expected}"), found, "compare models of the same classes");
        }
        let said = |kept: &Kept| {
            let of = |split: &super::kept::SplitOf| {
                let hash = split.hash.get(..12).unwrap_or(&split.hash);
                format!("{} images of {}, hash {hash}", split.images, split.name)
            };
            kept.about.splits.iter().map(of).collect::<Vec<_>>().join("; ")
        };
        if kept.about.splits != first.about.splits || kept.labels != first.labels {
            let expected = format!("the images of {}: {}", arms[0].name, said(first));
            return wrong(name, expected, said(kept), "evaluate both on the same data and splits");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::kept::{About, SplitOf};

    /// 40 images of two classes whose label has this probability.
    fn kept(p: impl Fn(usize) -> f32, hash: &str) -> Kept {
        let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let row = |(i, &label): (usize, &usize)| if label == 0 { [p(i), 1.0 - p(i)] } else { [1.0 - p(i), p(i)] };
        let mean: Vec<f32> = labels.iter().enumerate().flat_map(row).collect();
        let members = mean.chunks(2).map(|row| u8::from(row[1] > row[0])).collect();
        let split = SplitOf { name: "test".into(), images: 40, hash: hash.into() };
        let about = About::new(vec!["a".into(), "b".into()], "made".into(), vec![split], vec![], vec![]);
        Kept { about, mean, members, labels, votes: None }
    }

    fn arm(name: &str, trainings: Vec<Kept>) -> Arm {
        Arm { name: name.into(), trainings }
    }

    #[test]
    fn a_network_that_is_surer_and_right_has_the_lower_cross_entropy_and_one_that_errs_loses_mcnemar() {
        let first = || arm("first", vec![kept(|_| 0.7, "x")]);
        let surer = arm("surer", vec![kept(|_| 0.8, "x")]);
        let errs = arm("errs", vec![kept(|i| if i < 9 { 0.4 } else { 0.7 }, "x")]);
        let found = compare(vec![first(), surer, errs], None, 0.005, 500).expect("comparable");
        let [surer, errs] = [1, 2].map(|i| found[i].versus.clone().expect("beside the first"));
        assert!((surer.soft_cross_entropy.mean - (0.7_f64 / 0.8).ln()).abs() < 1e-6, "{surer:?}");
        assert_eq!((surer.verdict, surer.mcnemar), (Verdict::Lower, Some((0, 0, 1.0))));
        assert_eq!((errs.verdict, errs.mcnemar), (Verdict::Higher, Some((9, 0, 2.0 / 512.0))));
        assert!((errs.accuracy.mean + 9.0 / 40.0).abs() < 1e-12 && found[2].accuracy == 31.0 / 40.0);
        assert!(surer.holm >= surer.soft_cross_entropy.p);
    }

    #[test]
    fn votes_come_from_the_truth_and_the_same_answers_are_equivalent() {
        let mut truth = kept(|_| 0.5, "x");
        truth.votes = Some([0.5, 0.5].repeat(40));
        let arms = vec![arm("a", vec![kept(|_| 0.7, "x")]), arm("b", vec![kept(|_| 0.7, "x")])];
        let found = compare(arms, Some(&truth), 0.005, 100).expect("comparable");
        let expected = -(0.7_f64.ln() + 0.3_f64.ln()) / 2.0;
        assert!((found[0].soft_cross_entropy - expected).abs() < 1e-6, "{found:?}");
        assert_eq!(found[1].versus.as_ref().expect("versus").verdict, Verdict::Equivalent);
    }

    #[test]
    fn other_images_and_other_numbers_of_trainings_are_refused() {
        let one = || arm("one", vec![kept(|_| 0.7, "x")]);
        for (other, word) in [
            (arm("other", vec![kept(|_| 0.7, "y")]), "evaluate both on the same data"),
            (arm("other", vec![kept(|_| 0.7, "x"), kept(|_| 0.7, "x")]), "a pair for each seed"),
        ] {
            let error = compare(vec![one(), other], None, 0.005, 100).expect_err("not comparable").to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(compare(vec![one()], None, 0.005, 100).is_err());
    }
}
