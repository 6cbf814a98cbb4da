//! The tests of one adapter.

use std::path::PathBuf;

use super::{Adapter, Programs};
use crate::{
    Result,
    command::{Command, Output},
    environment::{Variables, shared},
    report::Tally,
    target,
};

/// The golden files that a software adapter compares in every run; the others take it too long.
const QUICK: [&str; 2] = ["esr3_plain", "esr3_gamma0.005"];
/// All golden files of the ESR, in the order in which they run.
const GOLDEN: [&str; 4] = ["esr3_plain", "esr3_gamma0.005", "esr3", "esr9"];

/// A training that takes a software adapter about a minute.
const TRAINING: [&str; 14] = [
    "--data",
    "synthetic:train=800,valid=200,size=48",
    "--size",
    "48",
    "--width",
    "0.125",
    "--branches",
    "2",
    "--epochs",
    "4",
    "--batch",
    "16",
    "--seed",
    "1",
];

/// Runs every op test, the golden files and a short training.
///
/// # Errors
/// A sentence where a program could not be started.
pub(super) fn run(
    adapter: &Adapter,
    all: &[Adapter],
    programs: &Programs,
    variables: &Variables,
    full: bool,
) -> Result<Tally> {
    let mut tally = ops(adapter, all, programs, variables)?;
    for name in GOLDEN {
        tally.absorb(golden(adapter, name, programs, variables, full)?);
    }
    tally.absorb(training(adapter, programs, variables)?);
    Ok(tally)
}

/// The arguments that choose one adapter's trials: those that contain its slug, less those of longer slugs.
fn filter(slug: &str, all: &[String]) -> Vec<String> {
    let mut args = vec![format!("::{slug}")];
    for longer in all.iter().filter(|other| other.starts_with(slug) && *other != slug) {
        args.extend(["--skip".to_owned(), format!("::{longer}")]);
    }
    args
}

fn ops(adapter: &Adapter, all: &[Adapter], programs: &Programs, variables: &Variables) -> Result<Tally> {
    let slug = adapter.slug();
    let slugs: Vec<String> = all.iter().map(Adapter::slug).collect();
    let output = Command::new(&programs.ops, filter(&slug, &slugs)).env(variables).limit_minutes(25).run()?;
    let what = format!("op tests on {slug}");
    let mut tally = Tally::parse(&what, &output.stdout, output.success());
    if tally.total() == 0 {
        tally.absorb(Tally::one(&format!("{what}: expected trials that end in ::{slug}, found none"), false));
    }
    Ok(tally)
}

fn golden(adapter: &Adapter, name: &str, programs: &Programs, variables: &Variables, full: bool) -> Result<Tally> {
    let test = format!("golden::{name}::{}", adapter.slug());
    if adapter.software && !full && !QUICK.contains(&name) {
        return Ok(Tally::skipped(&test, "slow on a software adapter; runs with --full"));
    }
    let file = shared().map(|shared| shared.join("golden").join(format!("{name}.safetensors")));
    let Some(file) = file.filter(|file| file.is_file()) else {
        return Ok(Tally::skipped(&test, "needs ../shared/golden"));
    };
    let (file, device) = (file.to_string_lossy().into_owned(), adapter.device());
    let args = ["verify", &file, "--device", &device, "--json"];
    let output = Command::new(&programs.moue, args).env(variables).limit_minutes(30).run()?;
    Ok(Tally::one(&test, verified(&output)))
}

/// Whether every key of a golden file was compared and passed.
fn verified(output: &Output) -> bool {
    output.success()
        && output.last_json().is_ok_and(|json| {
            json["passed"] == true && json["compared"].as_u64() > Some(0) && json["compared"] == json["total"]
        })
}

fn training(adapter: &Adapter, programs: &Programs, variables: &Variables) -> Result<Tally> {
    let test = format!("training::{}", adapter.slug());
    let folder: PathBuf = target("matrix").join(adapter.slug());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let (folder, device) = (folder.to_string_lossy().into_owned(), adapter.device());
    let args = ["train", "--out", &folder, "--device", &device, "--json"].into_iter().chain(TRAINING);
    let output = Command::new(&programs.moue, args).env(variables).limit_minutes(15).run()?;
    Ok(Tally::one(&test, trained(&output, &adapter.name)))
}

/// Whether a training ended, on this adapter, with clearly more right answers than guessing one of 8 classes gives.
fn trained(output: &Output, adapter: &str) -> bool {
    output.success()
        && output.last_json().is_ok_and(|json| {
            json["best_val_accuracy"].as_f64() > Some(0.25)
                && json["device"].as_str().is_some_and(|device| device.contains(adapter))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(code: i32, stdout: &str) -> Output {
        Output { code: Some(code), stdout: stdout.to_owned(), timed_out: false, seconds: 1.0 }
    }

    #[test]
    fn a_slug_that_starts_another_leaves_the_others_tests_out() {
        let all = ["gpu_vulkan_a".to_owned(), "gpu_vulkan_a_2".to_owned(), "gpu_gl_a".to_owned()];
        assert_eq!(filter("gpu_vulkan_a", &all), ["::gpu_vulkan_a", "--skip", "::gpu_vulkan_a_2"]);
        assert_eq!(filter("gpu_gl_a", &all), ["::gpu_gl_a"]);
    }

    #[test]
    fn a_golden_file_with_a_key_left_out_has_failed() {
        assert!(verified(&output(0, r#"{"passed": true, "compared": 9, "total": 9}"#)));
        assert!(!verified(&output(0, r#"{"passed": true, "compared": 8, "total": 9}"#)));
        assert!(!verified(&output(0, r#"{"passed": true, "compared": 0, "total": 0}"#)));
        assert!(!verified(&output(1, r#"{"passed": true, "compared": 9, "total": 9}"#)));
        assert!(!verified(&output(0, "done")));
    }

    #[test]
    fn a_training_that_learned_nothing_or_ran_elsewhere_has_failed() {
        let good = |json: &str| trained(&output(0, json), "llvmpipe");
        assert!(good(r#"{"best_val_accuracy": 0.5, "device": "llvmpipe (Vulkan)"}"#));
        assert!(!good(r#"{"best_val_accuracy": 0.125, "device": "llvmpipe (Vulkan)"}"#));
        assert!(!good(r#"{"best_val_accuracy": 0.5, "device": "cpu, 2 threads"}"#));
        assert!(!good(r#"{"device": "llvmpipe (Vulkan)"}"#));
        let failed = output(1, r#"{"best_val_accuracy": 0.5, "device": "llvmpipe (Vulkan)"}"#);
        assert!(!trained(&failed, "llvmpipe"));
    }
}
