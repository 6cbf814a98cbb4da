//! Opening the device that was asked for. No choice is silent.

#[cfg(feature = "gpu")]
use super::gpu::TileStore;
use super::{DeviceChoice, Executor, Precision};
use crate::{Error, Result};

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
}

/// Opens a device; `threads` limits the processor's threads, 0 are all.
///
/// # Errors
/// [`Error::Device`] where there is none that fits, [`Error::Usage`] for more threads than [`super::threads::count`] allows.
pub fn open(choice: &DeviceChoice, precision: Precision, threads: Option<usize>) -> Result<Opened> {
    super::threads::count(threads)?;
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
    let usable = super::gpu::adapters().into_iter().filter(|adapter| adapter.unusable.is_none());
    usable.map(|adapter| (adapter.name, adapter.software)).collect()
}

#[cfg(not(feature = "gpu"))]
fn gpu_names() -> Vec<(String, bool)> {
    Vec::new()
}

#[cfg(feature = "cpu")]
fn open_cpu(precision: Precision, threads: Option<usize>) -> Result<Box<dyn Executor>> {
    use super::cpu::CpuExecutor;
    Ok(match precision {
        Precision::F32 => Box::new(CpuExecutor::<f32>::new(threads)?),
        Precision::F64 => Box::new(CpuExecutor::<f64>::new(threads)?),
        Precision::Mixed => {
            return Err(Error::Device {
                device: "cpu".into(),
                problem: "mixed precision was asked for, but the processor computes in f32 or f64".into(),
                hint: "use --device gpu, or --precision f32".into(),
            });
        }
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

/// Where an adapter's tiles are kept; the argument is whether it computes on the processor.
#[cfg(feature = "gpu")]
type FindStore = Box<dyn Fn(bool) -> Option<Box<dyn TileStore>> + Send + Sync>;

/// It holds for every device of the process.
#[cfg(feature = "gpu")]
static TILE_STORE: std::sync::OnceLock<FindStore> = std::sync::OnceLock::new();

/// Has the GPUs that are opened from now on search for the fastest tiles, and keep them in the store that `find` gives
/// for an adapter; its argument is whether the adapter computes on the processor, and none means no search. The first
/// call counts; without one no GPU searches.
#[cfg(feature = "gpu")]
pub fn search_tiles(find: impl Fn(bool) -> Option<Box<dyn TileStore>> + Send + Sync + 'static) {
    TILE_STORE.get_or_init(|| Box::new(find));
}

#[cfg(feature = "gpu")]
fn open_gpu(choice: &DeviceChoice, precision: Precision) -> Result<Box<dyn Executor>> {
    use super::gpu::{GpuExecutor, Options, SEARCH_BUDGET, Selector};
    if precision == Precision::F64 {
        return Err(Error::Usage {
            setting: "precision".into(),
            expected: "f32 or mixed on a GPU".into(),
            found: "f64".into(),
            hint: "use --device cpu for float64".into(),
        });
    }
    let selector = match choice {
        DeviceChoice::GpuIndex(index) => Selector::Index(*index),
        DeviceChoice::GpuNamed(name) => Selector::Named(name.clone()),
        _ => Selector::Auto,
    };
    let options = Options { mixed: precision == Precision::Mixed, ..Options::default() };
    let mut executor = GpuExecutor::with_options(&selector, &options)?;
    if let Some(store) = TILE_STORE.get().and_then(|find| find(executor.device().software)) {
        executor.search_tiles(store, SEARCH_BUDGET);
    }
    Ok(Box::new(executor))
}

#[cfg(not(feature = "gpu"))]
fn open_gpu(choice: &DeviceChoice, _: Precision) -> Result<Box<dyn Executor>> {
    Err(Error::Device {
        device: choice.to_string(),
        problem: "this build has no GPU executor".into(),
        hint: "build with the feature `gpu`, or use --device cpu".into(),
    })
}
