//! Opening the device that was asked for. No choice is silent.

use crate::{
    Error, Result,
    exec::{DeviceChoice, Executor, Precision},
};

/// An opened device, and why it is this one.
pub struct Opened {
    /// The device.
    pub executor: Box<dyn Executor>,
    /// One sentence for logs and reports.
    pub reason: String,
}

impl Opened {
    /// The device's name and details.
    #[must_use]
    pub fn name(&self) -> String {
        let info = self.executor.device();
        if info.detail.is_empty() { info.name.clone() } else { format!("{} ({})", info.name, info.detail) }
    }

    /// Says on stderr what runs, why, and what it is not trusted with.
    pub fn announce(&self) {
        eprintln!("device: {}, because {}", self.name(), self.reason);
        for note in &self.executor.device().notes {
            eprintln!("device: {note}");
        }
    }
}

/// Opens a device; `threads` limits the processor's threads.
///
/// # Errors
/// [`Error::Device`] where there is none that fits.
pub fn open(choice: &DeviceChoice, precision: Precision, threads: Option<usize>) -> Result<Opened> {
    let (use_gpu, reason) = match choice {
        DeviceChoice::Auto => auto(),
        DeviceChoice::Cpu => (false, "asked for with --device cpu".to_owned()),
        other => (true, format!("asked for with --device {other}")),
    };
    let executor = if use_gpu { open_gpu(choice, precision)? } else { open_cpu(precision, threads)? };
    Ok(Opened { executor, reason })
}

/// Whether `auto` takes a GPU, and why.
#[must_use]
pub fn auto() -> (bool, String) {
    if cfg!(not(feature = "gpu")) {
        return (false, "this build has no GPU executor".into());
    }
    let found = gpu_names();
    if let Some((name, _)) = found.iter().find(|(_, software)| !software) {
        return (true, format!("{name} is a real GPU"));
    }
    if cfg!(not(feature = "cpu")) {
        return (true, "this build has no CPU executor".into());
    }
    let reason = match found.first() {
        Some((name, _)) => {
            format!("the only GPU adapter, {name}, computes on the processor, which is faster used directly")
        }
        None => "no GPU adapter was found".to_owned(),
    };
    (false, reason)
}

#[cfg(feature = "gpu")]
fn gpu_names() -> Vec<(String, bool)> {
    let usable = crate::exec::gpu::adapters().into_iter().filter(|adapter| adapter.unusable.is_none());
    usable.map(|adapter| (adapter.name, adapter.software)).collect()
}

#[cfg(not(feature = "gpu"))]
fn gpu_names() -> Vec<(String, bool)> {
    Vec::new()
}

#[cfg(feature = "cpu")]
fn open_cpu(precision: Precision, threads: Option<usize>) -> Result<Box<dyn Executor>> {
    use crate::exec::cpu::CpuExecutor;
    Ok(match precision {
        Precision::F32 => Box::new(CpuExecutor::<f32>::new(threads)?),
        Precision::F64 => Box::new(CpuExecutor::<f64>::new(threads)?),
    })
}

#[cfg(not(feature = "cpu"))]
fn open_cpu(_: Precision, _: Option<usize>) -> Result<Box<dyn Executor>> {
    Err(Error::Device {
        device: "cpu".into(),
        problem: "this build has no CPU executor".into(),
        hint: "build with the feature `cpu`, or use --device gpu".into(),
    })
}

#[cfg(feature = "gpu")]
fn open_gpu(choice: &DeviceChoice, precision: Precision) -> Result<Box<dyn Executor>> {
    use crate::exec::gpu::{GpuExecutor, Selector};
    if precision == Precision::F64 {
        return Err(Error::Usage {
            setting: "precision".into(),
            expected: "f32 on a GPU".into(),
            found: "f64".into(),
            hint: "use --device cpu for float64".into(),
        });
    }
    let selector = match choice {
        DeviceChoice::GpuIndex(index) => Selector::Index(*index),
        DeviceChoice::GpuNamed(name) => Selector::Named(name.clone()),
        _ => Selector::Auto,
    };
    Ok(Box::new(GpuExecutor::new(&selector)?))
}

#[cfg(not(feature = "gpu"))]
fn open_gpu(choice: &DeviceChoice, _: Precision) -> Result<Box<dyn Executor>> {
    Err(Error::Device {
        device: choice.to_string(),
        problem: "this build has no GPU executor".into(),
        hint: "build with the feature `gpu`, or use --device cpu".into(),
    })
}
