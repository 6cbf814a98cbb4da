//! The command line: arguments, output, exit codes. Results go to stdout, logs and progress to stderr.

mod ablate;
mod abstain;
mod bench;
mod calibrate;
mod compare;
mod data;
pub mod device;
mod doctor;
mod eval;
mod explain;
mod export;
mod import;
mod launcher;
mod output;
mod predict;
mod progress;
mod signal;
#[cfg(feature = "gpu")]
pub mod tile_store;
mod train;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::{note, say};
use serde_json::Value;

use crate::{
    Result,
    data::{MAX_PIXELS, limit_pixels},
    exec::threads,
};

/// Trains and runs facial-expression-recognition ensembles whose members are made to differ.
#[derive(Debug, Parser)]
#[command(name = "moue", version, about, propagate_version = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Ends stdout with one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Refuses a picture with more pixels before it is decoded
    #[arg(long, global = true, value_name = "PIXELS", default_value_t = MAX_PIXELS, value_parser = clap::value_parser!(u64).range(1..))]
    max_pixels: u64,
    /// Whether the fastest tile of each convolution is measured on the GPU, 1.5 s at most when a network is compiled,
    /// and kept in the user's cache folder; results do not depend on it
    #[cfg(feature = "gpu")]
    #[arg(long, global = true, value_enum, default_value = "auto", env = "MOUE_TILE_SEARCH", value_name = "WHEN")]
    tile_search: tile_store::TileSearch,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a network; with no arguments a small one on rendered faces.
    Train(Box<train::Args>),
    /// Trains the rows of the paper's ablation over several seeds and tabulates them; goes on where it was stopped.
    Ablate(Box<ablate::Args>),
    /// Evaluates a model on a split of a data set.
    Eval(eval::Args),
    /// Says whether networks differ, from their predictions on the same images.
    Compare(compare::Args),
    /// Fits how a model's mean probabilities become its answer, and writes that into the model file.
    Calibrate(calibrate::Args),
    /// Gives the probabilities of images.
    Predict(predict::Args),
    /// Shows what each branch of a model looks at in an image: attention and Grad-CAM, as a picture and in numbers.
    Explain(explain::Args),
    /// Runs golden files on a device and compares every number.
    Verify(verify::Args),
    /// Times training steps or inference.
    Bench(bench::Args),
    /// Makes a model file from weights of other programs.
    Import(import::Args),
    /// Writes a model for other programs (ONNX, PyTorch), for the web page, or with 16-bit weights.
    Export(export::Args),
    /// Counts and checks a data set.
    #[command(subcommand)]
    Data(data::Command),
    /// Lists the devices, and what `auto` picks and why.
    Doctor,
}

/// What a command leaves for `--json`, and whether it succeeded.
pub(crate) struct Outcome {
    json: Value,
    passed: bool,
}

impl Outcome {
    pub(crate) fn passed(json: Value) -> Self {
        Self { json, passed: true }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    signal::listen();
    limit_pixels(cli.max_pixels);
    #[cfg(feature = "gpu")]
    device::search_tiles(cli.tile_search);
    let code = match run(&cli) {
        Ok(outcome) => {
            if cli.json {
                say!("{}", outcome.json);
            }
            u8::from(!outcome.passed)
        }
        Err(error) => {
            note!("moue: {error}");
            error.exit_code()
        }
    };
    let lost = output::finish();
    if let Some(error) = &lost {
        note!("moue: standard output: writing the results failed: {error}; free space there, or send them elsewhere");
    }
    ExitCode::from(if code == 0 { u8::from(lost.is_some()) } else { code })
}

fn run(cli: &Cli) -> Result<Outcome> {
    // Pictures are decoded on these threads; `bench` times a number of them that it is given.
    if !matches!(cli.command, Command::Bench(_)) {
        let pool = rayon::ThreadPoolBuilder::new().build_global();
        pool.map_err(|error| threads::refused("the threads that decode pictures", &error))?;
    }
    match &cli.command {
        Command::Train(args) => train::run(args),
        Command::Ablate(args) => ablate::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Data(command) => data::run(command, cli.json),
        Command::Doctor => doctor::run(),
    }
}
