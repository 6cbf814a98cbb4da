//! The Python that the yardsticks run in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::options::Options;
use crate::{
    Result,
    command::{Command, on_path},
    root, target,
};

/// What the yardsticks need: the networks, the exporter, the runtime; and what the figures of evaluations are compared with.
const PACKAGES: [&str; 8] =
    ["torch", "numpy", "safetensors", "onnxruntime", "onnx", "onnxscript", "scikit-learn", "scipy"];

/// Says which packages there are, and whether PyTorch has a CUDA device.
const PROBE: &str = "\
import importlib.metadata, json
found = {}
for name in NAMES:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
cuda = None
if 'torch' in found:
    import torch
    if torch.cuda.is_available():
        cuda = torch.cuda.get_device_name(0)
print(json.dumps({'packages': found, 'cuda': cuda}))
";

/// A Python, and what it can do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Python {
    pub(super) path: PathBuf,
    /// Versions of those of [`PACKAGES`] that it has.
    pub(super) packages: BTreeMap<String, String>,
    /// The CUDA device that PyTorch would use.
    pub(super) cuda: Option<String>,
}

impl Python {
    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.packages.contains_key(*name))
    }

    pub(super) fn has_torch(&self) -> bool {
        self.has(&["torch", "numpy"])
    }

    pub(super) fn has_onnx(&self) -> bool {
        self.has(&["torch", "numpy", "onnx", "onnxruntime"])
    }

    /// The packages that it lacks.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        PACKAGES.into_iter().filter(|name| !self.packages.contains_key(*name)).collect()
    }

    fn probe(path: &Path) -> Result<Self> {
        let names = serde_json::to_string(&PACKAGES).expect("invariant: names are plain text");
        let output = Command::new(path, ["-c", &PROBE.replace("NAMES", &names)]).hidden().run()?;
        if !output.success() {
            return Err(format!("{}: {}", path.display(), output.ending()));
        }
        Self::of(path, &output.last_json()?)
    }

    fn of(path: &Path, json: &Value) -> Result<Self> {
        let packages = json["packages"].as_object().ok_or("expected `packages` from the probe of Python")?;
        let version = |(name, version): (&String, &Value)| Some((name.clone(), version.as_str()?.to_owned()));
        Ok(Self {
            path: path.to_owned(),
            packages: packages.iter().filter_map(version).collect(),
            cuda: json["cuda"].as_str().map(str::to_owned),
        })
    }
}

/// The Python that the user named, or that of `target/yardstick`, made and filled if asked for.
///
/// # Errors
/// A sentence where a named Python does not run, or nothing could be installed.
pub(super) fn find(options: &Options) -> Result<Option<Python>> {
    if let Some(path) = &options.python {
        // Programs run in the repository's top folder; a relative path means the user's own.
        return Python::probe(&std::path::absolute(path).map_err(|error| error.to_string())?).map(Some);
    }
    let folder = target("yardstick");
    let path = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if options.install && !path.is_file() {
        let system = ["python3", "python"].into_iter().find(|name| on_path(name));
        let system = system.ok_or("--install needs python3 with its venv module (Debian: python3-venv)")?;
        let folder = folder.strip_prefix(root()).unwrap_or(&folder).to_string_lossy().into_owned();
        if !Command::new(system, ["-m", "venv", &folder]).run()?.success() {
            return Err("no virtual environment could be made below target/yardstick".to_owned());
        }
    }
    if !path.is_file() {
        return Ok(None);
    }
    let mut python = Python::probe(&path)?;
    if options.install && !python.missing().is_empty() {
        let args = ["-m", "pip", "install"].into_iter().chain(python.missing());
        if !Command::new(&path, args).run()?.success() {
            return Err("the yardsticks could not be installed below target/yardstick".to_owned());
        }
        python = Python::probe(&path)?;
    }
    Ok(Some(python))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_python_lacks_decides_what_it_runs() {
        let python =
            |packages: Value| Python::of(Path::new("p"), &json!({"packages": packages, "cuda": null})).unwrap();
        let torch = python(json!({"torch": "2.15", "numpy": "2"}));
        assert!(torch.has_torch() && !torch.has_onnx() && torch.cuda.is_none());
        assert_eq!(torch.missing(), ["safetensors", "onnxruntime", "onnx", "onnxscript", "scikit-learn", "scipy"]);
        assert!(!python(json!({"numpy": "2"})).has_torch());
        assert!(python(json!({"torch": "2", "numpy": "2", "onnx": "1", "onnxruntime": "1"})).has_onnx());
        assert!(Python::of(Path::new("p"), &json!({})).is_err());
    }
}
