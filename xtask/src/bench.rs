//! `cargo xtask bench`: moue's speed, beside PyTorch's in the same sitting.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    Result,
    command::{Command, on_path},
    environment::{self, Drivers, shared},
    root, target,
};

/// What is timed where the user does not say: arguments that moue and the PyTorch yardstick share.
const CASES: [[&str; 6]; 2] =
    [["--mode", "train", "--branches", "9", "--batch", "32"], ["--mode", "infer", "--branches", "9", "--batch", "32"]];

#[derive(Debug, Default, PartialEq)]
struct Options {
    python: Option<PathBuf>,
    install: bool,
    moue: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--python" => {
                    options.python = Some(args.next().ok_or("--python takes the path of a Python with torch")?.into());
                }
                "--install" => options.install = true,
                "--" => options.moue = args.by_ref().cloned().collect(),
                other => return Err(format!("`{other}` is not known here; arguments of `moue bench` follow `--`")),
            }
        }
        Ok(options)
    }
}

/// Times each case and prints a table.
///
/// # Errors
/// A sentence where a program could not be started or failed.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let options = Options::parse(args)?;
    let built = Command::cargo(["build", "--release", "--package", "moue"]).run()?;
    if !built.success() {
        return Ok(false);
    }
    let python = python(&options)?;
    let drivers = Drivers::find();
    let variables = environment::variables(&drivers, false)?;
    let mut lines = vec![
        "| case | moue images/s | moue device | PyTorch images/s | moue ÷ PyTorch |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    let program = target("release").join(if cfg!(windows) { "moue.exe" } else { "moue" });
    for case in CASES {
        let args = ["bench", "--model", "esr", "--json"].into_iter().chain(case);
        let output =
            Command::new(&program, args.chain(options.moue.iter().map(String::as_str))).env(&variables).run()?;
        if !output.success() {
            return Err(format!("moue bench: {}", output.ending()));
        }
        let ours = output.last_json()?;
        let peer = match &python {
            Some((python, script)) => Some(yardstick(python, script, case)?),
            None => None,
        };
        lines.push(line(&case.join(" "), &ours, peer.as_ref())?);
    }
    println!("\n{}", lines.join("\n"));
    if python.is_none() {
        println!("no PyTorch beside it: that takes ../shared/peer, and --python PATH or --install");
    }
    Ok(true)
}

fn yardstick(python: &Path, script: &Path, case: [&str; 6]) -> Result<Value> {
    let script = script.to_string_lossy().into_owned();
    let output = Command::new(python, [script.as_str(), "bench"].into_iter().chain(case)).run()?;
    if !output.success() {
        return Err(format!("the PyTorch yardstick: {}", output.ending()));
    }
    output.last_json()
}

/// A line of the table; a yardstick whose first losses differ has computed something else.
fn line(case: &str, ours: &Value, peer: Option<&Value>) -> Result<String> {
    let speed = |json: &Value| json["images_per_s"].as_f64().ok_or("expected `images_per_s` in the result");
    let own = speed(ours)?;
    let device = ours["device"].as_str().unwrap_or("?");
    let Some(peer) = peer else { return Ok(format!("| {case} | {own:.1} | {device} | – | – |")) };
    for (a, b) in numbers(&ours["losses"]).into_iter().zip(numbers(&peer["losses"])) {
        if (a - b).abs() > 3e-3 * b.abs().max(1.0) {
            return Err(format!("{case}: moue's loss {a} is not PyTorch's {b}; the two did not do the same work"));
        }
    }
    let other = speed(peer)?;
    Ok(format!("| {case} | {own:.1} | {device} | {other:.1} | {:.2} |", own / other))
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// A Python with torch, and the yardstick's script.
fn python(options: &Options) -> Result<Option<(PathBuf, PathBuf)>> {
    let script = shared().map(|shared| shared.join("peer").join("diversified_fer_torch.py"));
    let Some(script) = script.filter(|path| path.is_file()) else { return Ok(None) };
    if let Some(python) = &options.python {
        // Programs run in the repository's top folder; a relative path means the user's own.
        return std::path::absolute(python).map(|python| Some((python, script))).map_err(|error| error.to_string());
    }
    let folder = target("yardstick");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if options.install && !python.is_file() {
        let system = ["python3", "python"].into_iter().find(|name| on_path(name));
        let system = system.ok_or("--install needs python3 with its venv module (Debian: python3-venv)")?;
        let folder = folder.strip_prefix(root()).unwrap_or(&folder).to_string_lossy().into_owned();
        let made = Command::new(system, ["-m", "venv", &folder]).run()?;
        let filled = made.success()
            && Command::new(&python, ["-m", "pip", "install", "torch", "numpy", "safetensors"]).run()?.success();
        if !filled {
            return Err("PyTorch could not be installed below target/yardstick".to_owned());
        }
    }
    Ok(python.is_file().then_some((python, script)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_after_the_dashes_are_moues() {
        let args: Vec<String> = ["--install", "--", "--steps", "3"].map(String::from).to_vec();
        let options = Options::parse(&args).unwrap();
        assert!(options.install && options.moue == ["--steps", "3"]);
        assert!(Options::parse(&args[2..]).is_err());
    }

    #[test]
    fn a_ratio_needs_the_same_losses() {
        let ours = json!({"images_per_s": 8.0, "device": "cpu", "losses": [2.0, 1.9]});
        let peer = json!({"images_per_s": 10.0, "losses": [2.0001, 1.9]});
        assert_eq!(line("train", &ours, Some(&peer)).unwrap(), "| train | 8.0 | cpu | 10.0 | 0.80 |");
        assert!(line("train", &ours, Some(&json!({"images_per_s": 10.0, "losses": [2.5, 1.9]}))).is_err());
        assert_eq!(line("train", &ours, None).unwrap(), "| train | 8.0 | cpu | – | – |");
    }
}
