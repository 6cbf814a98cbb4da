//! `cargo xtask test`: everything that must hold before a change is done.

use std::{collections::BTreeSet, time::Instant};

use crate::{
    Result, browsers, check,
    command::Command,
    environment::{self, Variables, shared},
    licences, lint, matrix,
    report::{Ignored, Report, Tally},
    setup, tint, web,
};

/// Sets the machine up, runs every check and test, prints the summary.
///
/// # Errors
/// A sentence where a program that is needed could not be started.
pub(crate) fn run(full: bool, install: bool) -> Result<bool> {
    let mut report = Report::default();
    let drivers = setup::prepare(install, &mut report);
    if shared().is_none() {
        report.missing("../shared (golden files, FER+); the tests that need it are ignored");
    }
    let begin = Instant::now();
    report.step("rules of the tree", check::tally()?, begin.elapsed().as_secs_f64());
    lint::run(&mut report)?;
    licences::run(&mut report)?;
    web_engine(&mut report);
    let variables = environment::variables(&drivers, full)?;
    cargo_test(&mut report, "tests of xtask", &["test", "--package", "xtask"], &variables)?;
    let all = ["test", "--release", "--no-fail-fast", "--package", "moue", "--features", "web"];
    cargo_test(&mut report, "unit and integration tests, all executors", &all, &variables)?;
    tint::run(&mut report, &variables, install)?;
    browsers::run(&mut report, &variables, install);
    matrix::run(&mut report, &variables, full, install)?;
    print!("{}", report.text());
    Ok(report.good())
}

/// Builds the web engine, which some tests run.
fn web_engine(report: &mut Report) {
    const NAME: &str = "cargo xtask web: built, small, without paths of this machine";
    let begin = Instant::now();
    let built = web::build().unwrap_or_else(|problem| {
        println!("{problem}");
        false
    });
    report.step("web engine", Tally::one(NAME, built), begin.elapsed().as_secs_f64());
}

fn cargo_test(report: &mut Report, name: &str, args: &[&str], variables: &Variables) -> Result<()> {
    let output = Command::cargo(args).env(variables).run()?;
    let mut tally = Tally::parse(name, &output.stdout, output.success());
    let mut seconds = output.seconds;
    let root = can_mount();
    let (ready, waiting): (Vec<Ignored>, _) =
        tally.ignored.into_iter().partition(|test| is_ready(&test.reason, variables, root));
    tally.ignored = waiting;
    if !ready.is_empty() {
        // What these tests need is there, which the compiler could not know. All in one call: to start every test program
        // for each of them took minutes.
        let skipped = tally.ignored.iter().flat_map(|test| ["--skip", test.name.as_str()]);
        let also = ["--tests", "--", "--ignored"].into_iter().chain(skipped);
        let output = Command::cargo(args.iter().copied().chain(also)).env(variables).run()?;
        seconds += output.seconds;
        let names: BTreeSet<String> = ready.into_iter().map(|test| test.name).collect();
        tally.absorb(Tally::parse(&format!("{name}, those that need more"), &output.stdout, output.success()));
        tally.failed.extend(not_run(&names, &output.stdout));
    }
    report.step(name, tally, seconds);
    Ok(())
}

/// A sentence for each of these tests that a test program says nothing of.
fn not_run(names: &BTreeSet<String>, stdout: &str) -> Vec<String> {
    let ran = |name: &&String| stdout.lines().any(|line| line.starts_with(&format!("test {name} ")));
    let missing = names.iter().filter(|name| !ran(name));
    missing.map(|name| format!("{name}: expected to find it again, found no such test")).collect()
}

/// Whether what an ignored test asks for is there: every variable `MOUE_…` that its reason names, or root.
fn is_ready(reason: &str, variables: &Variables, root: bool) -> bool {
    let is_set = |name: &str| variables.iter().any(|(set, value)| set == name && value.is_some());
    let words = reason.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut named = words.filter(|word| word.starts_with("MOUE_")).peekable();
    if named.peek().is_none() {
        return root && reason.ends_with("needs root");
    }
    named.all(is_set)
}

/// Whether this user may mount a file system: in a container root may not.
fn can_mount() -> bool {
    let args = ["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"];
    cfg!(target_os = "linux") && Command::new("unshare", args).quiet().run().is_ok_and(|output| output.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_was_to_run_and_did_not_has_failed() {
        let names = ["a".to_owned(), "a_b".to_owned(), "esr3::cpu".to_owned()].into();
        let stdout = "running 2 tests\ntest a_b ... ok\ntest esr3::cpu     ... FAILED\n";
        assert_eq!(not_run(&names, stdout), ["a: expected to find it again, found no such test"]);
    }

    #[test]
    fn an_ignored_test_runs_where_what_it_needs_is_there_and_only_there() {
        let set: Variables = vec![("MOUE_SHARED".into(), Some("shared".into())), ("MOUE_FERPLUS".into(), None)];
        assert!(is_ready("needs the golden files: set MOUE_SHARED", &set, false));
        assert!(!is_ready("needs the FER+ data: set MOUE_FERPLUS", &set, false));
        assert!(!is_ready("slow: set MOUE_SHARED and MOUE_FULL", &set, false));
        assert!(!is_ready("needs a Vulkan driver", &set, true));
        assert!(is_ready("mounts a file system: needs root", &set, true));
        assert!(!is_ready("mounts a file system: needs root", &set, false));
    }
}
