//! Finding a GPU: what is there, what can be used, and opening one.

use super::{device::Gpu, variant::Variant};
use crate::{Error, Result, exec::DeviceInfo};

/// Which adapter to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selector {
    /// The first real GPU; where there is none, the first software adapter.
    #[default]
    Auto,
    /// By its place in [`adapters`].
    Index(usize),
    /// The first whose name, driver or backend contains this, whatever the case.
    Named(String),
}

/// What an adapter is and can do.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterReport {
    /// Its place, for [`Selector::Index`].
    pub index: usize,
    /// As its driver names it.
    pub name: String,
    /// `Vulkan`, `Metal`, `Dx12`, `Gl` or `BrowserWebGpu`.
    pub backend: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `VirtualGpu`, `Cpu` or `Other`.
    pub device_type: String,
    /// The driver and its version.
    pub driver: String,
    /// Whether it computes on the processor.
    pub software: bool,
    /// The features that moue uses or reports, by name.
    pub features: Vec<String>,
    /// The limits that decide what fits, by name.
    pub limits: Vec<(&'static str, u64)>,
    /// Why moue cannot use it, if so.
    pub unusable: Option<String>,
}

/// The storage buffers of a dispatch, as browsers grant them.
pub(crate) const STORAGE_BUFFERS: u32 = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16_384;

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env())
}

/// All adapters, in an order that stays the same on one machine.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn adapters() -> Vec<AdapterReport> {
    pollster::block_on(list()).iter().enumerate().map(|(i, adapter)| report(i, adapter, adapter.get_info())).collect()
}

async fn list() -> Vec<wgpu::Adapter> {
    instance().enumerate_adapters(wgpu::Backends::all()).await
}

fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    info.device_type == wgpu::DeviceType::Cpu
        || ["llvmpipe", "swiftshader", "softpipe", "basic render"].iter().any(|word| name.contains(word))
}

fn report(index: usize, adapter: &wgpu::Adapter, info: wgpu::AdapterInfo) -> AdapterReport {
    let limits = adapter.limits();
    let wanted = wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    AdapterReport {
        index,
        backend: format!("{:?}", info.backend),
        device_type: format!("{:?}", info.device_type),
        driver: [&*info.driver, &*info.driver_info].join(" ").trim().to_owned(),
        software: is_software(&info),
        features: (adapter.features() & wanted).iter_names().map(|(name, _)| name.to_owned()).collect(),
        limits: vec![
            ("max_buffer_size", limits.max_buffer_size),
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage.into()),
            ("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size.into()),
            ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup.into()),
            ("min_storage_buffer_offset_alignment", limits.min_storage_buffer_offset_alignment.into()),
        ],
        unusable: unusable(adapter),
        // Browsers may keep it to themselves.
        name: if info.name.is_empty() { "unnamed GPU".to_owned() } else { info.name },
    }
}

fn unusable(adapter: &wgpu::Adapter) -> Option<String> {
    let limits = adapter.limits();
    if !adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some("it has no compute shaders".to_owned());
    }
    let least = [
        ("storage buffers in a shader", limits.max_storage_buffers_per_shader_stage, STORAGE_BUFFERS),
        ("invocations in a workgroup", limits.max_compute_invocations_per_workgroup, INVOCATIONS),
        ("bytes of workgroup memory", limits.max_compute_workgroup_storage_size, WORKGROUP_BYTES),
        ("workgroups in a dimension", limits.max_compute_workgroups_per_dimension, 65_535),
    ];
    least
        .into_iter()
        .find(|(_, has, needs)| has < needs)
        .map(|(what, has, needs)| format!("it allows {has} {what}, moue needs {needs}"))
}

/// All adapters with their reports.
#[cfg(not(target_family = "wasm"))]
async fn found() -> (Vec<wgpu::Adapter>, Vec<AdapterReport>) {
    let all = list().await;
    let reports = all.iter().enumerate().map(|(i, adapter)| report(i, adapter, adapter.get_info())).collect();
    (all, reports)
}

/// The browser's adapter, if it grants one, with the name that the browser gives it.
#[cfg(target_family = "wasm")]
async fn found() -> (Vec<wgpu::Adapter>, Vec<AdapterReport>) {
    let Some(name) = super::browser::adapter_name().await else { return Default::default() };
    let all = list().await;
    let named = |info: wgpu::AdapterInfo| wgpu::AdapterInfo { name: name.clone(), ..info };
    let reports = all.iter().enumerate().map(|(index, adapter)| report(index, adapter, named(adapter.get_info())));
    let reports = reports.collect();
    (all, reports)
}

fn no_device(selector: &Selector, problem: String) -> Error {
    let device = match selector {
        Selector::Auto => "gpu".to_owned(),
        Selector::Index(index) => format!("gpu:{index}"),
        Selector::Named(name) => format!("gpu:{name}"),
    };
    let hint = "install a Vulkan driver (on Debian: mesa-vulkan-drivers), see `moue doctor`, or use --device cpu";
    Error::Device { device, problem, hint: hint.to_owned() }
}

/// Leave to use cooperative matrices, where a user asked for mixed precision.
fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    #[expect(unsafe_code, reason = "wgpu marks a feature that it has not finished in this way")]
    // SAFETY: the shaders that use the feature are constants, validated by naga and compared with plain ones on the
    // device before any result of theirs is used.
    unsafe {
        wgpu::ExperimentalFeatures::enabled()
    }
}

/// Opens the adapter that fits.
///
/// # Errors
/// [`Error::Device`] where none fits or it gives no device.
pub(crate) async fn open(selector: &Selector, mixed: bool) -> Result<Gpu> {
    let (all, reports) = found().await;
    let usable = |report: &&AdapterReport| report.unusable.is_none();
    let chosen = match selector {
        Selector::Auto => {
            let mut found = reports.iter().filter(usable);
            let real = reports.iter().filter(usable).find(|report| !report.software);
            real.or_else(|| found.next())
        }
        Selector::Index(index) => reports.get(*index),
        Selector::Named(name) => {
            let name = name.to_lowercase();
            let fits = |report: &&AdapterReport| {
                let all = format!("{} {} {}", report.name, report.driver, report.backend);
                all.to_lowercase().contains(&name)
            };
            reports.iter().filter(fits).find(usable).or_else(|| reports.iter().find(fits))
        }
    };
    let Some(chosen) = chosen else {
        let problem = match reports.len() {
            0 => "no GPU adapter was found".to_owned(),
            _ => {
                let names: Vec<_> =
                    reports.iter().map(|r| format!("{}: {} ({})", r.index, r.name, r.backend)).collect();
                format!("none of the {} adapters fits ({})", reports.len(), names.join("; "))
            }
        };
        return Err(no_device(selector, problem));
    };
    if let Some(why) = &chosen.unusable {
        return Err(no_device(selector, format!("{} cannot be used: {why}", chosen.name)));
    }
    let adapter = &all[chosen.index];
    let mut features = adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
    if mixed {
        features |= Variant::mixed_features(adapter);
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("moue"),
        required_features: features,
        required_limits: adapter.limits(),
        experimental_features: experimental(features),
        ..Default::default()
    };
    let (device, queue) = adapter
        .request_device(&descriptor)
        .await
        .map_err(|error| no_device(selector, format!("{} gave no device: {error}", chosen.name)))?;
    let info = DeviceInfo {
        kind: "gpu",
        name: chosen.name.clone(),
        detail: format!("{} {}", chosen.backend, chosen.driver).trim().to_owned(),
        software: chosen.software,
        notes: Vec::new(),
    };
    Ok(Gpu::new(device, queue, info))
}
