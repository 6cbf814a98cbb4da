//! The programs that are timed beside each other, and how each is called.

use std::path::{Path, PathBuf};

use super::{
    options::{Case, Options},
    python::Python,
};
use crate::{
    Result,
    command::Command,
    environment::{Variables, shared},
    root, target,
};

/// A program, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Moue,
    /// PyTorch, eager, on the processor.
    Torch,
    /// ONNX Runtime on the processor, inference only.
    Onnx,
    /// PyTorch, eager, on a CUDA device without TF32.
    Cuda,
    /// The same with TF32.
    CudaTf32,
    /// The same compiled, in half precision where autocast allows it.
    CudaF16,
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Moue => "moue",
            Self::Torch => "PyTorch",
            Self::Onnx => "ONNX Runtime",
            Self::Cuda => "PyTorch CUDA, no TF32",
            Self::CudaTf32 => "PyTorch CUDA, TF32",
            Self::CudaF16 => "PyTorch CUDA, compiled, f16",
        }
    }

    /// Whether it runs on a CUDA device.
    pub(super) fn is_cuda(self) -> bool {
        matches!(self, Self::Cuda | Self::CudaTf32 | Self::CudaF16)
    }

    pub(super) fn runs(self, case: Case) -> bool {
        self != Self::Onnx || !case.train
    }

    /// How far its first losses may be from moue's, relatively: f32 with its sums in another order, TF32's and f16's
    /// 10 bits.
    pub(super) fn tolerance(self) -> f64 {
        match self {
            Self::CudaTf32 | Self::CudaF16 => 1e-2,
            _ => 3e-3,
        }
    }

    /// Further arguments of the PyTorch script.
    fn torch_args(self) -> &'static [&'static str] {
        match self {
            Self::Moue | Self::Torch | Self::Onnx => &[],
            Self::Cuda => &["--device", "cuda"],
            Self::CudaTf32 => &["--device", "cuda", "--tf32"],
            Self::CudaF16 => &["--device", "cuda", "--compile", "--amp", "f16"],
        }
    }
}

/// How the programs are called on this machine.
pub(super) struct Calls<'a> {
    pub(super) options: &'a Options,
    pub(super) variables: Variables,
    /// A Python, and the PyTorch script.
    pub(super) peer: Option<(Python, PathBuf)>,
}

/// The yardsticks' script beside the repository.
pub(super) fn script() -> Option<PathBuf> {
    let script = shared().map(|shared| shared.join("peer").join("diversified_fer_torch.py"));
    script.filter(|path| path.is_file())
}

impl Calls<'_> {
    /// moue, and every yardstick that is there.
    pub(super) fn engines(&self) -> Vec<Engine> {
        let mut engines = vec![Engine::Moue];
        if let Some((python, _)) = &self.peer {
            let cuda = python.has_torch() && python.cuda.is_some();
            engines.extend(python.has_torch().then_some(Engine::Torch));
            engines.extend(python.has_onnx().then_some(Engine::Onnx));
            engines.extend([Engine::Cuda, Engine::CudaTf32, Engine::CudaF16].into_iter().filter(|_| cuda));
        }
        engines
    }

    /// The call that times a case.
    pub(super) fn command(&self, engine: Engine, case: Case) -> Result<Command> {
        let threads = self.options.threads.to_string();
        let mut args: Vec<String> = Vec::new();
        let mut push = |more: &[&str]| args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let program = match (engine, &self.peer) {
            (Engine::Moue, _) => {
                push(&["bench", "--json", "--device", &self.options.device, "--threads", &threads]);
                args.extend(case.args());
                target("release").join(if cfg!(windows) { "moue.exe" } else { "moue" })
            }
            (Engine::Onnx, Some((python, script))) => {
                let (model, reader) = (self.model(python, script, case)?, root().join("benches/onnx_runtime.py"));
                let (model, batch) = (model.to_string_lossy(), case.batch.to_string());
                push(&[&reader.to_string_lossy(), &model, "--batch", &batch, "--threads", &threads]);
                python.path.clone()
            }
            (_, Some((python, script))) => {
                push(&[&script.to_string_lossy(), "bench"]);
                push(engine.torch_args());
                args.extend(case.args());
                python.path.clone()
            }
            (_, None) => return Err(format!("{} needs a Python and the yardsticks' script", engine.name())),
        };
        args.extend(self.options.runs(case));
        if engine == Engine::Moue {
            args.extend(self.options.moue.iter().cloned());
        }
        let threads =
            ["OMP_NUM_THREADS", "MKL_NUM_THREADS"].map(|name| (name.to_owned(), Some(threads.clone().into())));
        Ok(Command::new(program, args).env(&self.variables).env(&threads).silent().watch_memory())
    }

    /// The network of a case for ONNX Runtime, exported once.
    fn model(&self, python: &Python, script: &Path, case: Case) -> Result<PathBuf> {
        let model = target("yardstick").join(format!("{}-b{}.onnx", case.network, case.batch));
        let written = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
        if written(&model).is_some_and(|time| Some(time) >= written(script)) {
            return Ok(model);
        }
        std::fs::create_dir_all(target("yardstick")).map_err(|error| format!("target/yardstick: {error}"))?;
        // Written aside and renamed, so that an interrupted run leaves no half model.
        let part = model.with_extension("part.onnx");
        let (script, out) = (script.to_string_lossy().into_owned(), part.to_string_lossy().into_owned());
        let mut args = vec![script, "onnx".into(), "--batch".into(), case.batch.to_string(), "--out".into(), out];
        args.extend(case.network.args());
        let output = Command::new(&python.path, args).run()?;
        if !output.success() {
            return Err(format!("exporting {}: {}", model.display(), output.ending()));
        }
        std::fs::rename(&part, &model).map_err(|error| format!("{}: {error}", model.display()))?;
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn python(packages: &[&str], cuda: bool) -> Python {
        let packages: BTreeMap<_, _> = packages.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        Python { path: "p".into(), packages, cuda: cuda.then(|| "a GPU".to_owned()) }
    }

    #[test]
    fn only_what_is_there_is_timed() {
        let options = Options::parse(&[]).unwrap();
        let engines = |peer: Option<Python>| {
            let peer = peer.map(|python| (python, "s".into()));
            Calls { options: &options, variables: Vec::new(), peer }.engines()
        };
        assert_eq!(engines(None), [Engine::Moue]);
        assert_eq!(engines(Some(python(&["numpy"], true))), [Engine::Moue]);
        assert_eq!(engines(Some(python(&["numpy", "torch"], false))), [Engine::Moue, Engine::Torch]);
        let all = engines(Some(python(&["numpy", "torch", "onnx", "onnxruntime"], true)));
        assert_eq!(all.len(), 6);
        let train: Case = "train-9-b32".parse().unwrap();
        assert_eq!(all.iter().filter(|engine| !engine.runs(train)).collect::<Vec<_>>(), [&Engine::Onnx]);
    }
}
