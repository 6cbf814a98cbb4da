//! `cargo xtask matrix`: the same tests on every GPU adapter, with the CPU executor compiled out, and on the WebGPU of
//! browsers.

mod browsers;
mod cases;
mod table;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::Value;

use crate::{
    Result,
    command::Command,
    environment::{self, Variables},
    report::{Ignored, Report, Tally},
    setup, target,
};

const FEATURES: [&str; 3] = ["--no-default-features", "--features", "gpu,cli"];
/// What computes here is the GPU: moue itself need not be fast, and is then built in half the time.
const QUICKLY: [&str; 2] = ["--config", "profile.release.package.moue.opt-level=1"];

/// An adapter as `moue doctor --json` describes it.
#[derive(Debug, Clone)]
struct Adapter {
    index: u64,
    name: String,
    backend: String,
    driver: String,
    software: bool,
    features: Vec<String>,
    unusable: Option<String>,
}

impl Adapter {
    fn read(json: &Value) -> Result<Self> {
        let text = |key: &str| {
            json[key].as_str().map(str::to_owned).ok_or_else(|| format!("doctor: expected `{key}` of an adapter"))
        };
        Ok(Self {
            index: json["index"].as_u64().ok_or("doctor: expected `index` of an adapter")?,
            name: text("name")?,
            backend: text("backend")?,
            driver: text("driver")?,
            software: json["software"].as_bool().ok_or("doctor: expected `software` of an adapter")?,
            features: json["features"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(Into::into)
                .collect(),
            unusable: json["unusable"].as_str().map(str::to_owned),
        })
    }

    /// The adapter's name in the names of tests, as tests/support/device.rs makes it.
    fn slug(&self) -> String {
        let name = self.name.split('(').next().unwrap_or(&self.name).to_lowercase();
        let mut words = vec!["gpu".to_owned(), self.backend.to_lowercase()];
        words.extend(
            name.split(|c: char| !c.is_ascii_alphanumeric())
                .filter(|word| !word.is_empty() && *word != "device")
                .map(str::to_owned),
        );
        words.join("_")
    }

    /// What `--device` calls it.
    fn device(&self) -> String {
        format!("gpu:{}", self.index)
    }
}

/// An adapter and what the tests on it gave.
#[derive(Debug)]
struct Row {
    /// What its tests' names end with.
    label: String,
    adapter: Adapter,
    tally: Tally,
    seconds: f64,
}

/// The programs under test, built without the CPU executor.
#[derive(Debug)]
struct Programs {
    moue: PathBuf,
    ops: PathBuf,
}

/// `cargo xtask matrix`
///
/// # Errors
/// See [`run`].
pub(crate) fn command(full: bool, install: bool) -> Result<bool> {
    let mut report = Report::default();
    let drivers = setup::prepare(install, &mut report);
    run(&mut report, &environment::variables(&drivers, full)?, full, install)?;
    print!("{}", report.text());
    Ok(report.good())
}

/// Runs the matrix, writes `target/matrix.md` and `target/matrix.json`, adds each row to the report.
///
/// # Errors
/// A sentence where a program could not be started or a table not be written.
pub(crate) fn run(report: &mut Report, variables: &Variables, full: bool, install: bool) -> Result<()> {
    let begin = Instant::now();
    let programs = match build() {
        Ok(programs) => programs,
        Err(problem) => {
            println!("{problem}");
            report.step("matrix: build without the CPU executor", Tally::one("the GPU-only build", false), 0.0);
            return Ok(());
        }
    };
    report.step("matrix: build without the CPU executor", Tally::one("the GPU-only build", true), seconds(begin));
    let output = Command::new(&programs.moue, ["doctor", "--json"]).env(variables).limit_minutes(5).run()?;
    if !output.success() {
        report.step("matrix: moue doctor", Tally::one("moue doctor", false), output.seconds);
        return Ok(());
    }
    let json = output.last_json()?;
    let adapters = json["adapters"].as_array().into_iter().flatten().map(Adapter::read).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for adapter in adapters.iter().filter(|adapter| adapter.unusable.is_none()) {
        let begin = Instant::now();
        println!("\n== {}: {} ({})", adapter.device(), adapter.name, adapter.backend);
        let tally = cases::run(adapter, &adapters, &programs, variables, full)?;
        rows.push(Row { label: adapter.slug(), adapter: adapter.clone(), tally, seconds: seconds(begin) });
    }
    let native = match rows.first() {
        Some(row) => browsers::native(&row.adapter, &adapters, &programs, variables)?,
        None => BTreeSet::new(),
    };
    let of_browsers = browsers::rows(&native, full, install);
    for adapter in adapters.iter().filter(|adapter| adapter.unusable.is_some()) {
        rows.push(Row { label: adapter.slug(), adapter: adapter.clone(), tally: Tally::default(), seconds: 0.0 });
    }
    let required = environment::required_adapters(variables);
    let usable = rows.iter().filter(|row| row.adapter.unusable.is_none()).count();
    rows.extend(of_browsers);
    rows.sort_by_key(|row| row.adapter.index);
    let like = rows.iter().map(|row| row.tally.total()).max().unwrap_or_default();
    for row in rows.iter_mut().filter(|row| row.adapter.unusable.is_some()) {
        row.tally = all_ignored(&row.label, &row.adapter, like);
    }
    let whole = verdict(&rows, usable, required);
    table::write(&rows, &whole, full)?;
    for row in rows {
        report.step(&format!("matrix: {}", row.label), row.tally, row.seconds);
    }
    report.step("matrix as a whole", whole, 0.0);
    Ok(())
}

fn seconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64()
}

/// What must hold over all rows: enough usable adapters of the machine, and as many tests in each.
fn verdict(rows: &[Row], usable: usize, required: usize) -> Tally {
    const ENOUGH: &str = "matrix: every installed driver shows an adapter";
    const EQUAL: &str = "matrix: the number of tests is the same in every row";
    let mut tally = if required == 0 && usable == 0 {
        Tally::skipped(ENOUGH, "no GPU adapter, and no driver that could be installed")
    } else {
        if usable < required {
            println!("matrix: expected {required} adapters, found {usable}");
        }
        Tally::one(ENOUGH, usable >= required)
    };
    tally.absorb(match rows {
        [] => Tally::skipped(EQUAL, "no GPU adapter, and no driver that could be installed"),
        [first, rest @ ..] => Tally::one(EQUAL, rest.iter().all(|row| row.tally.total() == first.tally.total())),
    });
    tally
}

/// The row of an adapter that cannot be used: the tests of the other rows, each ignored with the reason.
fn all_ignored(label: &str, adapter: &Adapter, like: usize) -> Tally {
    let reason = format!("{} cannot be used: {}", adapter.name, adapter.unusable.as_deref().unwrap_or_default());
    let ignored =
        (1..=like.max(1)).map(|number| Ignored { name: format!("{label} test {number}"), reason: reason.clone() });
    Tally { ignored: ignored.collect(), ..Tally::default() }
}

/// Builds the command line and the op tests without the CPU executor; runs a copy of the former, since the program
/// with all executors then takes its place again.
fn build() -> Result<Programs> {
    let built = |args: &[&str], name: &str| {
        let format = ["--release", "--package", "moue", "--message-format=json-render-diagnostics"];
        let output = Command::cargo(args.iter().chain(&format).chain(&FEATURES).chain(&QUICKLY)).silent().run()?;
        if !output.success() {
            return Err(format!("the build without the CPU executor failed: {}", output.ending()));
        }
        let artifacts = output.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let executable = artifacts
            .filter(|message| message["target"]["name"] == name)
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
            .next_back();
        executable.ok_or_else(|| format!("expected cargo to build the program `{name}`, found none"))
    };
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let folder = target("matrix");
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    // The program that others expect in target/release, the one with every executor, is put back afterwards.
    let name = format!("moue{}", std::env::consts::EXE_SUFFIX);
    let [usual, saved, kept] = [target("release").join(&name), folder.join("usual"), folder.join(&name)];
    let is_there = usual.is_file();
    if is_there {
        std::fs::copy(&usual, &saved).map_err(failed(&usual))?;
    }
    let moue = built(&["build", "--bin", "moue"], "moue")?;
    std::fs::copy(&moue, &kept).map_err(failed(&moue))?;
    let ops = built(&["test", "--no-run", "--test", "ops"], "ops")?;
    // The file is cargo's own by another name: it is not written over.
    std::fs::remove_file(&usual).map_err(failed(&usual))?;
    if is_there {
        std::fs::copy(&saved, &usual).map_err(failed(&usual))?;
    }
    Ok(Programs { moue: kept, ops })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn adapter(index: u64, name: &str, backend: &str) -> Adapter {
        Adapter::read(&serde_json::json!({
            "index": index, "name": name, "backend": backend, "driver": "Mesa 22.3.6", "software": true,
            "features": ["SHADER_F16"], "unusable": null,
        }))
        .unwrap()
    }

    fn row(index: u64, passed: usize) -> Row {
        Row {
            label: String::new(),
            adapter: adapter(index, "llvmpipe", "vulkan"),
            tally: Tally { passed, ..Tally::default() },
            seconds: 1.0,
        }
    }

    #[test]
    fn a_slug_is_backend_and_name_without_the_drivers_details() {
        let name = "llvmpipe (LLVM 15.0.6, 256 bits)";
        assert_eq!(adapter(0, name, "vulkan").slug(), "gpu_vulkan_llvmpipe");
        assert_eq!(adapter(1, "SwiftShader Device (LLVM 16.0.0)", "vulkan").slug(), "gpu_vulkan_swiftshader");
    }

    #[test]
    fn an_adapter_without_a_key_is_an_error() {
        assert!(Adapter::read(&serde_json::json!({"index": 0, "name": "x"})).is_err());
    }

    #[test]
    fn rows_with_different_numbers_of_tests_fail() {
        assert!(verdict(&[row(0, 3), row(1, 3)], 2, 2).failed.is_empty());
        assert_eq!(verdict(&[row(0, 3), row(1, 2)], 2, 2).failed.len(), 1);
    }

    #[test]
    fn an_adapter_that_vanished_fails_and_none_at_all_is_no_pass() {
        assert_eq!(verdict(&[row(0, 3)], 1, 2).failed.len(), 1);
        assert_eq!(verdict(&[], 0, 3).failed.len(), 1);
        let none = verdict(&[], 0, 0);
        assert_eq!((none.passed, none.failed.len(), none.ignored.len()), (0, 0, 2));
    }

    #[test]
    fn an_unusable_adapter_has_a_row_of_ignored_tests() {
        let mut old = adapter(1, "Old", "gl");
        old.unusable = Some("it has no compute shaders".to_owned());
        let tally = all_ignored("gpu_gl_old", &old, 3);
        assert_eq!((tally.passed, tally.ignored.len()), (0, 3));
        assert!(tally.ignored[0].reason.contains("no compute shaders"));
    }
}
