//! What `run.json` says of a run.

use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    checkpoint::TrainingData,
    train::{clock::now_utc, settings::Settings},
};

/// What is known when a training starts, beside its settings.
#[derive(Debug, Clone)]
pub struct RunStart {
    /// The device in words, and why it was chosen.
    pub device: String,
    /// What the driver says of the adapter: name, backend, driver, features; null on the CPU.
    pub adapter: Value,
    /// Where the training images are, and why.
    pub images: String,
    /// The data set, its hash and its counts.
    pub data: TrainingData,
    /// The class names in order.
    pub classes: Vec<String>,
    /// The number of trained values.
    pub parameters: usize,
    /// The command line.
    pub command: Vec<String>,
    /// What the weights to start from brought; null where there are none.
    pub init: Value,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has not ended: a process trains it, whose claim lies in the folder, or it was killed.
    #[serde(alias = "running")]
    Unfinished,
    /// It came to its end.
    Finished,
    /// The user stopped it; it can be resumed.
    Interrupted,
    /// It ended with an error.
    Failed,
}

/// The facts of run.json at the start.
pub(super) fn facts(config: &Settings, start: &RunStart) -> Map<String, Value> {
    let value = json!({
        "status": Status::Unfinished,
        "moue": env!("CARGO_PKG_VERSION"),
        "git": git_revision(),
        "command": start.command,
        "init": start.init,
        "started": now_utc(),
        "finished": null,
        "seed": config.seed,
        "device": start.device,
        "adapter": start.adapter,
        "images": start.images,
        "host": {
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "system": std::env::consts::OS,
            "processor": std::env::consts::ARCH,
        },
        "data": start.data,
        "classes": start.classes,
        "architecture": config.architecture(),
        "parameters": start.parameters,
    });
    value.as_object().expect("invariant: an object was written").clone()
}

/// The revision of the repository that the program runs in, with `-dirty` for changes; none outside of one.
fn git_revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let revision = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { revision } else { format!("{revision}-dirty") })
}
