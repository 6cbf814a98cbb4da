//! `moue data`: looking at a data set before training on it.

use super::Outcome;
use crate::{Result, data::Spec};

/// Commands of `moue data`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Counts the images of each split and class, and lists every dropped file with its reason.
    Check {
        /// ferplus:DIR, folder:DIR or synthetic.
        spec: Spec,
    },
}

pub(super) fn run(command: &Command, json: bool) -> Result<Outcome> {
    let Command::Check { spec } = command;
    let report = spec.load()?.check();
    if !json {
        print!("{report}");
    }
    let splits = serde_json::to_value(&report.splits).expect("invariant: a report is plain data");
    Ok(Outcome { json: splits, passed: report.is_as_expected() })
}
