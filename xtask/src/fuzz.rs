//! `cargo xtask fuzz`: the readers of outside files against LLVM's libFuzzer.

use std::{fs, path::Path, time::Instant};

use crate::{
    Result,
    command::Command,
    report::{Report, Tally},
    root, target,
};

/// What cargo-fuzz passes for coverage, as far as the stable compiler takes it. Sanitizers it does not, and code without
/// `unsafe` has no use for them.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Seconds after which one input counts as endless.
const TIMEOUT: u64 = 20;
/// Megabytes above which a run counts as wasteful.
const MEMORY: u64 = 2048;

/// What to run.
#[derive(Debug, PartialEq)]
struct Options {
    seconds: u64,
    targets: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self { seconds: 60, targets: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--seconds" {
                let value = args.next().and_then(|value| value.parse().ok()).filter(|seconds| *seconds > 0);
                options.seconds = value.ok_or("--seconds takes a number above 0")?;
            } else if arg.starts_with('-') {
                return Err(format!("`{arg}` is not known here; see `cargo xtask help`"));
            } else {
                options.targets.push(arg.clone());
            }
        }
        let known = targets()?;
        match options.targets.iter().find(|target| !known.contains(target)) {
            Some(unknown) => Err(format!("`{unknown}` is no fuzz target; there are {}", known.join(", "))),
            None if options.targets.is_empty() => Ok(Self { targets: known, ..options }),
            None => Ok(options),
        }
    }
}

/// The targets, by the folders of their corpus.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz").join("corpus");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Builds the targets with coverage and runs each for some seconds from its corpus; findings stay in `target/fuzz`.
///
/// # Errors
/// A sentence for wrong arguments, and where a program could not be started.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let options = Options::parse(args)?;
    let host = host()?;
    let folder = target("fuzz");
    let flags = [("RUSTFLAGS".to_owned(), Some(FLAGS.join(" ").into()))];
    let build = ["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &host, "--target-dir"];
    let build =
        Command::cargo(build.into_iter().map(Into::into).chain([folder.clone().into_os_string()])).env(&flags).run()?;
    if !build.success() {
        return Err("the fuzz targets could not be built; libFuzzer needs a C++ compiler".to_owned());
    }
    let mut report = Report::default();
    for name in &options.targets {
        let begin = Instant::now();
        let program = folder.join(&host).join("release").join(name);
        let passed = fuzz(name, &program, &folder, options.seconds)?;
        report.step(&format!("fuzz {name}"), Tally::one(name, passed), begin.elapsed().as_secs_f64());
    }
    print!("{}", report.text());
    Ok(report.good())
}

/// One target. New inputs that reach new code go to `target/fuzz`, so that the committed corpus stays as it is.
fn fuzz(name: &str, program: &Path, folder: &Path, seconds: u64) -> Result<bool> {
    let made = |path: &str| -> Result<String> {
        let path = folder.join(path).join(name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let (found, findings) = (made("corpus")?, made("findings")?);
    let args = [
        format!("-max_total_time={seconds}"),
        format!("-timeout={TIMEOUT}"),
        format!("-rss_limit_mb={MEMORY}"),
        "-max_len=16384".to_owned(),
        "-print_final_stats=1".to_owned(),
        format!("-artifact_prefix={findings}/"),
        found,
        root().join("fuzz").join("corpus").join(name).to_string_lossy().into_owned(),
    ];
    let output = Command::new(program, args).limit_minutes(seconds / 60 + 10).run()?;
    if !output.success() {
        println!("{name}: {}; the input is in {findings}", output.ending());
    }
    Ok(output.success())
}

/// The target triple of this machine: with `--target`, build scripts are built without coverage.
fn host() -> Result<String> {
    let output = Command::new("rustc", ["-vV"]).hidden().run()?;
    let line = output.stdout.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn all_targets_run_for_a_minute_unless_told_otherwise() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.seconds, options.targets), (60, targets().unwrap()));
        let options = parse(&["config", "--seconds", "600"]).unwrap();
        assert_eq!((options.seconds, &options.targets[..]), (600, &["config".to_owned()][..]));
        assert!(parse(&["--seconds", "0"]).is_err() && parse(&["nothing"]).is_err() && parse(&["-x"]).is_err());
    }

    #[test]
    fn each_corpus_has_a_target_of_its_name() {
        for name in targets().unwrap() {
            assert!(root().join(format!("fuzz/fuzz_targets/{name}.rs")).is_file(), "{name}");
        }
    }
}
