//! Tint, Chromium's compiler of WGSL, judges the shaders that naga accepted.

use std::{ffi::OsString, fs, path::Path, time::Instant};

use crate::{
    Result,
    browsers::{packages, parse},
    command::{Command, on_path},
    environment::Variables,
    report::{Report, Tally},
    root, target,
};

/// Gives every module and every set of constants of the executor to Tint; without node and its packages that is skipped,
/// with this reason.
///
/// # Errors
/// A sentence where a program could not be started, or the test left no list of the shaders.
pub(crate) fn run(report: &mut Report, variables: &Variables, install: bool) -> Result<()> {
    let begin = Instant::now();
    let (name, tally) = if on_path("node") && packages(install) {
        judge(variables)?
    } else {
        let reason = "needs node, and its packages: `npm ci` in web/";
        ("shaders by Tint".to_owned(), Tally::skipped("shaders by Tint", reason))
    };
    report.step(&name, tally, begin.elapsed().as_secs_f64());
    Ok(())
}

/// The row's name, with how many pipelines were made of how many modules, and what Tint said.
fn judge(variables: &Variables) -> Result<(String, Tally)> {
    let list = target("tint").join("shaders.json");
    let folder = list.parent().expect("invariant: a file in a folder");
    // An old list must not be taken for this one's.
    let _ = fs::remove_file(&list);
    let out = [("MOUE_SHADERS_OUT".to_owned(), Some(folder.as_os_str().to_owned()))];
    let test = ["test", "--release", "--package", "moue", "--features", "web", "--test", "shaders", "--"];
    let test = test.into_iter().chain(["--exact", "every_shader_is_listed_for_tint_with_all_its_constants"]);
    let listed = Command::cargo(test).env(variables.iter().chain(&out)).run()?;
    if !listed.success() || !list.is_file() {
        return Err(format!("tests/shaders.rs left no list of the shaders in {}", folder.display()));
    }
    let output = Command::new("node", words(&list)).limit_minutes(5).run()?;
    let made = output.stdout.lines().find_map(|line| line.strip_prefix("Tint made ")).unwrap_or("no pipelines");
    Ok((format!("Tint: {made}"), parse("Tint", &output.stdout, output.success())))
}

fn words(list: &Path) -> [OsString; 2] {
    [root().join("web/tests/tint.mjs").into(), list.into()]
}
