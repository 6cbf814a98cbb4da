//! `cargo xtask test`: everything that must hold before a change is done.

use std::time::Instant;

use crate::{
    Result, check,
    command::Command,
    environment::{self, Variables, shared},
    lint, matrix,
    report::{Report, Tally},
    setup,
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
    let variables = environment::variables(&drivers, full)?;
    let begin = Instant::now();
    report.step("rules of the tree", check::tally()?, begin.elapsed().as_secs_f64());
    lint::run(&mut report)?;
    cargo_test(&mut report, "tests of xtask", &["test", "--package", "xtask"], &variables)?;
    let all = ["test", "--release", "--no-fail-fast", "--package", "moue"];
    cargo_test(&mut report, "unit and integration tests, all executors", &all, &variables)?;
    matrix::run(&mut report, &variables, full)?;
    print!("{}", report.text());
    Ok(report.good())
}

fn cargo_test(report: &mut Report, name: &str, args: &[&str], variables: &Variables) -> Result<()> {
    let output = Command::cargo(args).env(variables).run()?;
    report.step(name, Tally::parse(name, &output.stdout, output.success()), output.seconds);
    Ok(())
}
