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

/// The golden file that a software adapter compares in every run; the others take it too long. It has all that the network
/// without diversity has.
const QUICK: &str = "esr3_gamma0.005";
/// All golden files, in the order in which they run.
pub(super) const GOLDEN: [&str; 5] = ["esr3_plain", "esr3_gamma0.005", "esr3", "esr9", "manet"];

/// A training that takes a software adapter half a minute: a batch that is seen again and again.
const TRAINING: &str = "--data synthetic:train=8,valid=8,size=54 --augment none --image-size 54 --width 0.125 --branches 2 \
                        --epochs 24 --batch-size 8 --log-every 1 --lr 0.03 --lr-schedule constant --warmup-fraction 0 --seed 1";

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

/// The arguments that choose one adapter's trials: those that contain its slug, less those of longer slugs, and less
/// those in mixed precision, which not every adapter has and `cargo xtask test` runs by themselves.
pub(super) fn filter(slug: &str, all: &[String]) -> Vec<String> {
    let mut args = vec![format!("::{slug}"), "--skip".to_owned(), format!("::{slug}_mixed")];
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
    if adapter.software && !full && name != QUICK {
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
    let (out, device) = (folder.to_string_lossy().into_owned(), adapter.device());
    let args = ["train", "--out", &out, "--name", "run", "--device", &device, "--json"];
    let args = args.into_iter().chain(TRAINING.split_whitespace());
    let output = Command::new(&programs.moue, args).env(variables).limit_minutes(15).run()?;
    let metrics = std::fs::read_to_string(folder.join("run").join("metrics.jsonl")).unwrap_or_default();
    Ok(Tally::one(&test, trained(&output, &metrics, &adapter.name)))
}

/// Whether a training ended, on this adapter, having learned: the cross-entropy of its last steps is well below that
/// of its first.
fn trained(output: &Output, metrics: &str, adapter: &str) -> bool {
    let steps = metrics.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let losses: Vec<f64> = steps.filter_map(|step| step["cross_entropy"].as_f64()).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let learned = losses.len() >= 16 && mean(&losses[losses.len() - 8..]) < 0.8 * mean(&losses[..8]);
    let json = output.last_json().unwrap_or_default();
    output.success() && learned && json["device"].as_str().is_some_and(|device| device.contains(adapter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(code: i32, stdout: &str) -> Output {
        Output { code: Some(code), stdout: stdout.to_owned(), timed_out: false, seconds: 1.0, peak_rss: None }
    }

    #[test]
    fn a_slug_that_starts_another_leaves_the_others_tests_out() {
        let all = ["gpu_vulkan_a".to_owned(), "gpu_vulkan_a_2".to_owned(), "gpu_gl_a".to_owned()];
        let skipped = ["::gpu_vulkan_a_mixed", "--skip", "::gpu_vulkan_a_2"];
        assert_eq!(filter("gpu_vulkan_a", &all), [&["::gpu_vulkan_a", "--skip"], &skipped[..]].concat());
        assert_eq!(filter("gpu_gl_a", &all), ["::gpu_gl_a", "--skip", "::gpu_gl_a_mixed"]);
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
        let losses = |last: f64| {
            let step = |i: usize| format!("{{\"cross_entropy\":{}}}\n", if i < 8 { 4.0 } else { last });
            (0..16).map(step).collect::<String>()
        };
        let ended = |code, device: &str| output(code, &format!("{{\"device\":\"{device}\"}}"));
        assert!(trained(&ended(0, "llvmpipe (Vulkan)"), &losses(3.0), "llvmpipe"));
        assert!(!trained(&ended(0, "llvmpipe (Vulkan)"), &losses(3.5), "llvmpipe"));
        assert!(!trained(&ended(0, "llvmpipe (Vulkan)"), "", "llvmpipe"));
        assert!(!trained(&ended(0, "cpu, 2 threads"), &losses(3.0), "llvmpipe"));
        assert!(!trained(&ended(1, "llvmpipe (Vulkan)"), &losses(3.0), "llvmpipe"));
    }
}
