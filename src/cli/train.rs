//! `moue train`: trains a network and leaves a run folder.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Outcome, device, launcher,
    output::{note, say},
    progress::Progress,
    signal,
};
use crate::{
    Result,
    train::{
        Given, Settings, Summary,
        run::{Place, Run, Trained, TrainingSet},
    },
};

/// Arguments of `moue train`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A TOML file whose keys have the flags' names; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Continues an interrupted run: its folder or its last.safetensors
    #[arg(long, value_name = "RUN", conflicts_with = "config")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    settings: Given,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    launcher::expect_one_process("train")?;
    let place = match &args.resume {
        Some(folder) => Place::of_run(folder, &args.settings)?,
        None => {
            let file = args.config.as_deref().map(Given::load).transpose()?.unwrap_or_default();
            let settings = Settings::resolve(&file, &args.settings)?;
            // What is wrong with the data or the device is said before there is a folder.
            let (set, device) = (load(&settings)?, settings.open_device()?);
            let run = Run::start(&settings, set, device)?;
            return finish(train_to_the_end(run)?);
        }
    };
    finish(train_at(place)?)
}

/// Trains the run of a place, on the data and the device that its settings name.
///
/// # Errors
/// Whatever ends the training; [`crate::Error::Interrupted`] with a checkpoint saved.
pub(super) fn train_at(place: Place) -> Result<Trained> {
    let (set, device) = (load(place.settings())?, place.settings().open_device()?);
    train_to_the_end(Run::at(place, set, device)?)
}

/// Loads the data, and says what the training should know of them.
fn load(settings: &Settings) -> Result<TrainingSet> {
    let set = TrainingSet::load(settings)?;
    super::data::say_notes(set.data());
    Ok(set)
}

fn train_to_the_end(run: Run) -> Result<Trained> {
    let _deferred = signal::defer();
    device::announce(run.device());
    note!("images: {}", run.images());
    run.settings().warnings().iter().for_each(|warning| note!("warning: {warning}"));
    for note in run.notes() {
        note!("init: {note}");
    }
    note!("run folder: {}", run.folder().display());
    let mut progress = Progress::new(signal::asked());
    let trained = run.train(&mut progress);
    progress.finish();
    trained
}

fn finish(done: Trained) -> Result<Outcome> {
    let Summary { best_val_accuracy, best_epoch, epochs, images_per_s, .. } = done.summary;
    let by = if done.summary.vote_accuracy.is_some() { " by vote" } else { "" };
    say!(
        "best validation accuracy{by} {best_val_accuracy:.4} in epoch {best_epoch} of {epochs}; {images_per_s:.0} images/s; {}",
        done.folder.display()
    );
    let json = json!({
        "run": done.folder, "best_val_accuracy": best_val_accuracy, "epochs": epochs,
        "seconds": done.summary.seconds, "images_per_s": images_per_s, "device": done.summary.device,
    });
    Ok(Outcome::passed(json))
}
