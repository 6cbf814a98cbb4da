//! `moue data`: looking at a data set before training on it.

use std::path::PathBuf;

use super::{
    Outcome,
    output::{note, results, say},
};
use crate::{
    Error, Result,
    data::{Dataset, PER_SHARD, SPLITS, Spec, prepare_affectnet},
};

/// Commands of `moue data`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Counts the images of each split and class, lists every dropped file with its reason and what is not used, and
    /// names pictures that stand under two labels or, if only nearly the same, in two splits.
    Check {
        /// ferplus:DIR, fer2013:DIR, rafdb:DIR, rafdb-original:DIR, affectnet:DIR, folder:DIR or synthetic.
        spec: Spec,
        /// Counts groups too, by a column of the folder's labels.csv, and checks that no two splits share one
        #[arg(long, value_name = "COLUMN")]
        group_by: Option<String>,
    },
    /// Cuts out AffectNet's faces, resizes them and packs them into files that are read in minutes; an interrupted
    /// call goes on where it stopped.
    Prepare {
        /// affectnet:DIR.
        spec: Spec,
        /// The folder of the packed files, then used as affectnet:DIR.
        #[arg(long)]
        out: PathBuf,
        /// The edge of the faces in pixels: 96 for ESR, 224 for MA-Net.
        #[arg(long, default_value_t = 96)]
        size: usize,
        /// Images of a file.
        #[arg(long, default_value_t = PER_SHARD)]
        per_shard: usize,
    },
}

pub(super) fn run(command: &Command, json: bool) -> Result<Outcome> {
    match command {
        Command::Check { spec, group_by } => check(spec, group_by.as_deref(), json),
        Command::Prepare { spec, out, size, per_shard } => {
            let Spec::AffectNet(dir) = spec else {
                return Err(Error::Usage {
                    setting: "the data set to prepare".into(),
                    expected: "affectnet:DIR".into(),
                    found: format!("`{spec}`"),
                    hint: "the other data sets are small enough to be read as they are".into(),
                });
            };
            let done = prepare_affectnet(dir, out, *size, *per_shard, |path, kept| {
                note!("{}: {}", path.display(), if kept { "was there" } else { "written" });
            })?;
            say!(
                "{} images in {} files ({} of them were there), {} unreadable; use them as affectnet:{}",
                done.images,
                done.written + done.kept,
                done.kept,
                done.unreadable.len(),
                out.display()
            );
            Ok(Outcome::passed(serde_json::to_value(&done).expect("invariant: plain data")))
        }
    }
}

/// Says on stderr what a training or a result should know of the data.
pub(super) fn say_notes(data: &Dataset) {
    data.notes().iter().for_each(|note| note!("data: {note}"));
}

fn check(spec: &Spec, group_by: Option<&str>, json: bool) -> Result<Outcome> {
    let report = spec.load_divided(&SPLITS, group_by, 0, 0)?.check();
    if !json {
        results(format_args!("{report}"));
    }
    let mut json = serde_json::to_value(&report.splits).expect("invariant: a report is plain data");
    json["unused"] = serde_json::to_value(&report.unused).expect("invariant: a report is plain data");
    Ok(Outcome { json, passed: report.is_as_expected() })
}
