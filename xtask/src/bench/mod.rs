//! `cargo xtask bench`: moue beside PyTorch and ONNX Runtime, in turn, in one sitting.

mod engine;
mod options;
mod python;
mod table;
mod timing;

use crate::{
    Result,
    command::Command,
    environment::{self, Drivers},
};
use engine::Calls;
use options::{Case, Options};
use table::Sitting;
use timing::{Measured, Timing};

/// Times each case, prints the tables and writes them; fails where a program failed or did other work.
///
/// # Errors
/// A sentence where nothing could be timed.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let options = Options::parse(args)?;
    let built = Command::cargo(["build", "--release", "--package", "moue"]).run()?;
    if !built.success() {
        return Ok(false);
    }
    let variables = environment::variables(&Drivers::find(), false)?;
    let script = engine::script();
    let python = if script.is_some() { python::find(&options)? } else { None };
    let mut missing = Vec::new();
    match (&script, &python) {
        (None, _) => missing.push("no yardsticks beside moue: they take the folder ../shared/peer".to_owned()),
        (_, None) => missing.push("no yardsticks beside moue: they take --python PATH or --install".to_owned()),
        (_, Some(python)) if !python.has_onnx() || !python.has_torch() => {
            missing.push(format!("{} lacks {}", python.path.display(), python.missing().join(", ")));
        }
        _ => {}
    }
    let cuda = python.as_ref().and_then(|python| python.cuda.clone());
    let calls = Calls { options: &options, variables, peer: python.zip(script) };
    let sitting = Sitting { rounds: options.rounds, threads: options.threads, commit: commit(), cuda, missing };
    let mut all: Vec<Measured> = Vec::new();
    let mut text = String::new();
    for &case in &options.cases {
        all.push(measure(&calls, case)?);
        // After each case, so that an interrupted sitting leaves what it has.
        text = table::write(&sitting, &all)?;
    }
    println!("\n{text}\ntarget/bench.md and target/bench.json have the same");
    Ok(all.iter().flat_map(|measured| &measured.timings).all(|timing| timing.refused.is_none()))
}

/// Runs the programs in turn, as often as there are rounds.
fn measure(calls: &Calls<'_>, case: Case) -> Result<Measured> {
    let engines = calls.engines().into_iter().filter(|engine| engine.runs(case));
    let mut measured = Measured { case, timings: engines.map(Timing::new).collect() };
    for round in 1..=calls.options.rounds {
        for timing in measured.timings.iter_mut().filter(|timing| timing.refused.is_none()) {
            let output = calls.command(timing.engine, case).and_then(Command::run);
            match output.and_then(|output| timing.add(&output)) {
                Ok(()) => {
                    let seconds = timing.rounds.last().copied().unwrap_or_default();
                    println!("{case}, round {round}, {}: {seconds:.4} s", timing.engine.name());
                }
                Err(problem) => {
                    println!("{case}, round {round}: {problem}");
                    timing.refused = Some(problem);
                }
            }
        }
    }
    measured.compare();
    Ok(measured)
}

/// The commit that is checked out, and whether files differ from it.
fn commit() -> Option<String> {
    let output = Command::new("git", ["describe", "--always", "--dirty", "--exclude", "*"]).hidden().run().ok()?;
    output.success().then(|| output.stdout.trim().to_owned())
}
