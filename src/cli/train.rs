//! `moue train`: trains a network and leaves a run folder.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use super::{Outcome, progress::Progress};
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
    let interrupted = interrupt();
    let place = match &args.resume {
        Some(folder) => Place::of_run(folder, &args.settings)?,
        None => {
            let file = args.config.as_deref().map(Given::load).transpose()?.unwrap_or_default();
            let settings = Settings::resolve(&file, &args.settings)?;
            // What is wrong with the data or the device is said before there is a folder.
            let (set, device) = (TrainingSet::load(&settings)?, settings.open_device()?);
            let run = Run::start(&settings, set, device)?;
            return finish(train_to_the_end(run, &interrupted)?);
        }
    };
    finish(train_at(place, &interrupted)?)
}

/// Trains the run of a place, on the data and the device that its settings name.
///
/// # Errors
/// Whatever ends the training; [`crate::Error::Interrupted`] with a checkpoint saved.
pub(super) fn train_at(place: Place, interrupted: &Arc<AtomicBool>) -> Result<Trained> {
    let (set, device) = (TrainingSet::load(place.settings())?, place.settings().open_device()?);
    train_to_the_end(Run::at(place, set, device)?, interrupted)
}

fn train_to_the_end(run: Run, interrupted: &Arc<AtomicBool>) -> Result<Trained> {
    run.device().announce();
    eprintln!("images: {}", run.images());
    for note in run.notes() {
        eprintln!("init: {note}");
    }
    eprintln!("run folder: {}", run.folder().display());
    let mut progress = Progress::new(Arc::clone(interrupted));
    let trained = run.train(&mut progress);
    progress.finish();
    trained
}

fn finish(done: Trained) -> Result<Outcome> {
    let Summary { best_val_accuracy, best_epoch, epochs, images_per_s, .. } = done.summary;
    println!(
        "best validation accuracy {best_val_accuracy:.4} in epoch {best_epoch} of {epochs}; {images_per_s:.0} images/s; {}",
        done.folder.display()
    );
    let json = json!({
        "run": done.folder, "best_val_accuracy": best_val_accuracy, "epochs": epochs,
        "seconds": done.summary.seconds, "images_per_s": images_per_s, "device": done.summary.device,
    });
    Ok(Outcome::passed(json))
}

/// A flag that Ctrl-C sets; the second one ends the process at once.
pub(super) fn interrupt() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let installed = ctrlc::set_handler(move || {
        if set.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; once more to stop at once without saving");
    });
    if let Err(error) = installed {
        eprintln!("Ctrl-C will not save: {error}");
    }
    flag
}
