//! The project's own commands, called as `cargo xtask COMMAND`.

mod bench;
mod browsers;
mod check;
mod command;
mod environment;
mod fuzz;
mod licences;
mod lint;
mod matrix;
mod report;
mod setup;
mod shaders;
mod soak;
mod test;
mod tint;
mod web;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--full] [--no-install]    set up what is missing, then run every check and test
  check                           the rules of the source tree: rooms of each op, layers, file sizes
  matrix [--full] [--no-install]  every op test, golden files and a short training on every GPU adapter
  shaders                         write each shader as SPIR-V, MSL, HLSL and GLSL to target/shaders
  web [--ops]                     the engine as WebAssembly and the page, in web/dist; or the op tests, in target/web-ops
  serve [--port PORT]             the page on http://127.0.0.1:8080/
  bench [--python PATH | --install] [--device DEVICE] [--cases train-9-b32,infer-9-b1,…] [--rounds N]
        [--threads N] [--warmup N] [--steps N] [-- ARGS of `moue bench`]
                                  time moue, PyTorch and ONNX Runtime in turn; target/bench.md has the tables
  soak [--kills N] [--seed N] [--program PATH]
                                  kill small trainings and an ablation's processes N times (50), resume them, and compare
                                  what they leave with runs that nobody disturbed
  fuzz [--seconds N] [TARGET…]    the readers of outside files against libFuzzer, each for N seconds (60)

--full adds the slow cases. --no-install leaves the machine as it is.
";

/// What went wrong, as one sentence for the developer.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = args.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcome = match command.as_str() {
        "test" => flags(rest, &["--full", "--no-install"]).and_then(|on| test::run(on[0], !on[1])),
        "check" => flags(rest, &[]).and_then(|_| check::run()),
        "matrix" => flags(rest, &["--full", "--no-install"]).and_then(|on| matrix::command(on[0], !on[1])),
        "shaders" => flags(rest, &[]).and_then(|_| shaders::run()),
        "web" => {
            flags(rest, &["--ops"]).and_then(|on| if on[0] { web::build_ops().map(|_| true) } else { web::build() })
        }
        "serve" => web::serve::run(rest),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "soak" => soak::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(true)
        }
        other => Err(format!("`{other}` is not a command; see `cargo xtask help`")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("cargo xtask {command}: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Which of the known flags were given, in the order of `known`.
fn flags(args: &[String], known: &[&str]) -> Result<Vec<bool>> {
    match args.iter().find(|arg| !known.contains(&arg.as_str())) {
        Some(arg) => Err(format!("`{arg}` is not known here; see `cargo xtask help`")),
        None => Ok(known.iter().map(|flag| args.iter().any(|arg| arg == flag)).collect()),
    }
}

/// The repository's top folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: xtask lies in the repository")
}

/// A path below the build folder.
fn target(below: &str) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir)).join(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_flag_is_an_error() {
        let args = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(flags(&args(&["--full"]), &["--full", "--no-install"]), Ok(vec![true, false]));
        assert!(flags(&args(&["--ful"]), &["--full"]).is_err());
    }
}
