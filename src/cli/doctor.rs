//! `moue doctor`: the devices of this machine.

use serde_json::{Value, json};

use super::{Outcome, device, output::say};
use crate::Result;

pub(super) fn run() -> Result<Outcome> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    say!("processor: {threads} threads{}", instruction_sets());
    let adapters = adapters();
    let (gpu, reason) = device::auto();
    let device = if gpu { "gpu" } else { "cpu" };
    say!("--device auto picks {device}: {reason}");
    Ok(Outcome::passed(json!({
        "processor": {"threads": threads, "executor": cfg!(feature = "cpu")},
        "adapters": adapters,
        "auto": {"device": device, "reason": reason},
    })))
}

fn instruction_sets() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return ", AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return ", AVX2";
        }
    }
    ""
}

#[cfg(feature = "gpu")]
fn adapters() -> Vec<Value> {
    let adapters = crate::exec::gpu::adapters();
    if adapters.is_empty() {
        say!("no GPU adapter; a Vulkan driver (on Debian: mesa-vulkan-drivers) would add one");
    }
    adapters
        .into_iter()
        .map(|adapter| {
            let kind = if adapter.software { "software" } else { "GPU" };
            say!("gpu:{} {} — {}, {}, {kind}", adapter.index, adapter.name, adapter.backend, adapter.driver);
            say!("      features: {}", adapter.features.join(", "));
            for (limit, value) in &adapter.limits {
                say!("      {limit}: {value}");
            }
            if let Some(why) = &adapter.unusable {
                say!("      cannot be used: {why}");
            }
            let (variant, search, notes) = tried(&adapter);
            if let (Some(variant), Some(search)) = (&variant, &search) {
                say!("      convolutions: by {variant}; tile search: {search}");
            }
            for note in &notes {
                say!("      {note}");
            }
            json!({
                "index": adapter.index, "name": adapter.name, "backend": adapter.backend.to_lowercase(),
                "device_type": adapter.device_type, "driver": adapter.driver, "software": adapter.software,
                "features": adapter.features, "unusable": adapter.unusable, "convolutions": variant, "tile_search": search,
                "notes": notes,
                "limits": adapter.limits.iter().map(|(k, v)| ((*k).to_owned(), json!(v)))
                    .collect::<serde_json::Map<_, _>>(),
            })
        })
        .collect()
}

/// How an adapter computes convolutions once it is open, its tile search, and what it is not trusted with.
#[cfg(feature = "gpu")]
fn tried(adapter: &crate::exec::gpu::AdapterReport) -> (Option<String>, Option<String>, Vec<String>) {
    use crate::exec::{
        Executor,
        gpu::{GpuExecutor, Selector, TileStore},
    };
    if adapter.unusable.is_some() {
        return (None, None, Vec::new());
    }
    let executor = match GpuExecutor::new(&Selector::Index(adapter.index)) {
        Ok(executor) => executor,
        Err(error) => return (None, None, vec![format!("cannot be used: {error}")]),
    };
    let search = match (executor.tiles(), device::tile_store(adapter.software)) {
        (..2, _) => "nothing to choose from".to_owned(),
        (_, None) => "off".to_owned(),
        (tiles, Some(mut store)) => {
            let identity = executor.identity();
            let (known, path) = (store.load(&identity).len(), store.path(&identity));
            format!("on, {tiles} tiles; {known} shapes are known in {}", path.display())
        }
    };
    (Some(executor.variant().to_string()), Some(search), executor.device().notes.clone())
}

#[cfg(not(feature = "gpu"))]
fn adapters() -> Vec<Value> {
    say!("this build has no GPU executor");
    Vec::new()
}
