//! `moue verify`: golden files on a device.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Outcome, device::DeviceArgs, output::say};
use crate::{
    Result,
    verify::{Golden, verify},
};

/// Arguments of `moue verify`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("device", |device| device.default_value("cpu")),
    mut_arg("precision", |precision| precision.help("What the device computes in; mixed is held to the bars of f32"))
)]
pub(super) struct Args {
    /// Golden files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    // A file that cannot be read is told before a device is opened.
    let goldens = args.files.iter().map(|file| Golden::open(file)).collect::<Result<Vec<_>>>()?;
    let mut opened = args.device.open()?;
    let device = opened.name();
    let mut results = Vec::new();
    for golden in &goldens {
        let verdict = verify(golden, opened.executor.as_mut(), args.device.precision)?;
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
