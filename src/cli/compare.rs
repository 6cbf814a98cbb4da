//! `moue compare`: whether networks differ, from their predictions on the same images.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    Outcome,
    output::{note, say},
};
use crate::{
    Error, Result,
    evaluation::{Arm, Kept, compare},
};

/// Arguments of `moue compare`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Predictions that `moue eval --predictions` wrote: files, or folders whose files that end in
    /// `predictions.safetensors` are trainings of one kind, paired with those of the other folders by their paths. All
    /// others are compared with the first.
    #[arg(required = true, num_args = 2..)]
    predictions: Vec<PathBuf>,
    /// A file of predictions of the same images that has the annotators' votes, where the others are compact.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Soft cross-entropies whose difference is surely smaller count as equivalent.
    #[arg(long, default_value_t = 0.005)]
    margin: f64,
    /// Resamples of the bootstrap.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    resamples: u32,
}

const ENDING: &str = "predictions.safetensors";

/// The files of predictions below a folder, by their paths in it.
fn below(folder: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let failed = |source| Error::io(folder, "reading the folder", source, "check the path");
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            below(&path, &format!("{name}/"), found)?;
        } else if name.ends_with(ENDING) {
            found.push((name, path));
        }
    }
    Ok(())
}

/// An arm, and the names of its trainings; a file alone has none.
fn arm(path: &Path) -> Result<(Arm, Vec<String>)> {
    let mut files = Vec::new();
    if path.is_dir() {
        below(path, "", &mut files)?;
        files.sort();
        if files.is_empty() {
            return Err(Error::File {
                path: path.into(),
                expected: format!("files that end in {ENDING}"),
                found: "none".into(),
                hint: "write them with `moue eval --predictions FILE`".into(),
            });
        }
    } else {
        files.push((String::new(), path.to_owned()));
    }
    let trainings = files.iter().map(|(_, path)| Kept::read(path)).collect::<Result<_>>()?;
    Ok((Arm { name: path.display().to_string(), trainings }, files.into_iter().map(|(name, _)| name).collect()))
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let mut arms = Vec::new();
    let mut first: Option<Vec<String>> = None;
    for path in &args.predictions {
        let (arm, names) = arm(path)?;
        let expected = first.get_or_insert_with(|| names.clone());
        if *expected != names {
            return Err(Error::File {
                path: path.clone(),
                expected: format!("the trainings of {}: {}", args.predictions[0].display(), expected.join(", ")),
                found: names.join(", "),
                hint: "compare the same seeds on both sides".into(),
            });
        }
        arms.push(arm);
    }
    let calibrated = |kept: &Kept| kept.about.calibrated;
    let is_first = calibrated(&arms[0].trainings[0]);
    if let Some(other) = arms.iter().find(|arm| arm.trainings.iter().any(|kept| calibrated(kept) != is_first)) {
        let words = |is_calibrated| if is_calibrated { "calibrated" } else { "mean probabilities" };
        note!(
            "the answers of {} are {}, those of {} {}: their difference is also one of calibration; `moue eval --raw` leaves \
             it out",
            arms[0].name,
            words(is_first),
            other.name,
            words(!is_first)
        );
    }
    let truth = args.truth.as_deref().map(Kept::read).transpose()?;
    let images = arms[0].trainings[0].images();
    let found = compare(arms, truth.as_ref(), args.margin, args.resamples as usize)?;
    say!("{images} images; cross-entropy against the votes where there are some; differences from the first");
    for arm in &found {
        say!(
            "{}: cross-entropy {:.4}, accuracy {:.4}, by vote {:.4}, balanced {:.4}; trainings: {}",
            arm.name,
            arm.soft_cross_entropy,
            arm.accuracy,
            arm.vote_accuracy,
            arm.balanced_accuracy,
            arm.trainings
        );
        let Some(versus) = &arm.versus else { continue };
        for (what, difference) in [
            ("cross-entropy", versus.soft_cross_entropy),
            ("accuracy", versus.accuracy),
            ("by vote", versus.vote_accuracy),
        ] {
            let [low, high] = difference.interval;
            say!("  {what:<13} {:+.4} (95 % interval {low:+.4} to {high:+.4}), p {:.4}", difference.mean, difference.p);
        }
        if let Some((first, this, p)) = versus.mcnemar {
            say!("  right alone: {first} the first, {this} this one; McNemar's exact p {p:.4}");
        }
        say!("  cross-entropy is {}; p by Holm {:.4}", versus.verdict, versus.holm);
    }
    Ok(Outcome::passed(json!({"images": images, "margin": args.margin, "arms": found})))
}
