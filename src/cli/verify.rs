//! `moue verify`: golden files on a device.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Outcome, device, output::say};
use crate::{
    Result,
    exec::{DeviceChoice, Precision},
    verify::{Golden, verify},
};

/// Arguments of `moue verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Golden files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// cpu, gpu, gpu:NUMBER or gpu:NAME.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// What the device computes in; mixed is held to the bars of f32.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Threads of the processor; all by default.
    #[arg(long)]
    threads: Option<usize>,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    // A file that cannot be read is told before a device is opened.
    let goldens = args.files.iter().map(|file| Golden::open(file)).collect::<Result<Vec<_>>>()?;
    let mut opened = device::open(&args.device, args.precision, args.threads)?;
    device::announce(&opened);
    let device = opened.name();
    let mut results = Vec::new();
    for golden in &goldens {
        let verdict = verify(golden, opened.executor.as_mut(), args.precision)?;
        let word = if verdict.passed() { "passed" } else { "FAILED" };
        say!("{}: {word}, {}/{} keys on {device}", golden.path().display(), verdict.compared, verdict.total);
        for (group, error) in &verdict.worst {
            say!("  {group:<36} {error:.2e}");
        }
        for failure in &verdict.failures {
            say!("  {failure}");
        }
        results.push(json!({
            "file": golden.path().display().to_string(), "device": device, "passed": verdict.passed(), "compared": verdict.compared,
            "total": verdict.total, "worst": verdict.worst,
        }));
    }
    let passed = results.iter().all(|result| result["passed"] == true);
    let json = if results.len() == 1 { results.remove(0) } else { Value::from(results) };
    Ok(Outcome { json, passed })
}
