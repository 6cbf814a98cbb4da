//! An open device: its limits, the errors it reports, and the resources it makes, counted.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    shader::{Halves, Kernel},
    tile::{self, Tile},
    variant::Variant,
};
use crate::{Error, Result, exec::DeviceInfo};

/// What the device said went wrong since it was last asked.
#[derive(Debug, Default)]
struct Trouble(Mutex<Option<String>>);

/// What a device reports by itself, and its name for that report: what has to be asked after waiting for it.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    device: String,
    trouble: Arc<Trouble>,
    lost: Arc<Trouble>,
}

impl Trouble {
    /// Keeps the first message: later ones follow from it.
    fn record(&self, message: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A device with its queue, pipelines and limits.
pub(crate) struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: DeviceInfo,
    /// The most bytes that one binding may show to a shader.
    pub(crate) max_binding: u64,
    /// The most bytes of a buffer.
    pub(crate) max_buffer: u64,
    /// How convolutions are computed, and their tiles.
    pub(crate) variant: Variant,
    pub(crate) tiles: &'static [Tile],
    /// The tiles that were measured to be the fastest, by a convolution's shape.
    pub(crate) found: HashMap<String, Tile>,
    /// The tile of all convolutions meanwhile, whatever suits them.
    pub(crate) forced: Option<Tile>,
    /// Buffers, bind groups and pipelines made so far.
    pub(crate) created: u64,
    buffers: Vec<wgpu::Buffer>,
    reports: Reports,
    /// By the shader's name, and which of its feature maps are f16.
    modules: HashMap<(&'static str, Halves), wgpu::ShaderModule>,
    pipelines: Vec<(Kernel, wgpu::ComputePipeline)>,
}

impl Reports {
    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::Device {
            device: self.device.clone(),
            problem: problem.into(),
            hint: "update its driver, choose another with --device gpu:N, or use --device cpu".to_owned(),
        }
    }

    /// See [`Gpu::check`].
    pub(crate) fn check(&self) -> Result<()> {
        // A lost device stays lost.
        if let Some(reason) = self.lost.take() {
            self.lost.record(reason.clone());
            let hint = "open it again, or use the processor".to_owned();
            return Err(Error::DeviceLost { device: self.device.clone(), reason, hint });
        }
        self.trouble.take().map_or(Ok(()), |message| Err(self.error(message)))
    }
}

impl Gpu {
    pub(crate) fn new(device: wgpu::Device, queue: wgpu::Queue, info: DeviceInfo) -> Self {
        let (trouble, lost) = (Arc::new(Trouble::default()), Arc::new(Trouble::default()));
        let recorder = Arc::clone(&trouble);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| recorder.record(error.to_string())));
        let recorder = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                recorder.record(message);
            }
        });
        let limits = device.limits();
        let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        Self {
            variant: Variant::Workgroup,
            tiles: Variant::Workgroup.tiles(&info.name),
            found: HashMap::new(),
            forced: None,
            device,
            queue,
            max_binding: binding / 256 * 256,
            max_buffer: limits.max_buffer_size,
            created: 0,
            buffers: Vec::new(),
            reports: Reports { device: info.name.clone(), trouble, lost },
            info,
            modules: HashMap::new(),
            pipelines: Vec::new(),
        }
    }

    /// Has bindings show no more than this, where the device allows more.
    pub(crate) fn limit_binding(&mut self, most: u64) {
        self.max_binding = self.max_binding.min(most / 256 * 256);
    }

    /// Has convolutions computed in another way from now on.
    pub(crate) fn use_variant(&mut self, variant: Variant) {
        self.variant = variant;
        self.tiles = variant.tiles(&self.info.name);
    }

    /// The tiles for a convolution of a shape, by preference.
    pub(crate) fn tiles_of(&self, shape: &str) -> &[Tile] {
        self.forced.as_ref().or_else(|| self.found.get(shape)).map_or(self.tiles, std::slice::from_ref)
    }

    /// The tiles that a search may choose from; the first is a convolution's without one.
    pub(crate) fn candidates(&self) -> &'static [Tile] {
        tile::candidates(self.tiles)
    }

    /// The adapter with its driver, and what it runs.
    pub(crate) fn identity(&self) -> String {
        let info = self.device.adapter_info();
        let wgpu::AdapterInfo { name, vendor, device, backend, driver, driver_info, .. } = info;
        format!("{name} {vendor:x}:{device:x}, {backend}, {driver} {driver_info}, by {}", self.variant)
    }

    /// Bytes to which storage offsets are aligned.
    pub(crate) const ALIGNMENT: usize = 256;

    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        self.reports.error(problem)
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.reports
    }

    pub(crate) fn too_large(&self, what: impl Into<String>, needed: u64, limit: u64) -> Error {
        Error::Memory {
            device: self.info.name.clone(),
            what: what.into(),
            needed,
            limit,
            hint: "use a smaller --batch-size, a smaller network, or --device cpu".to_owned(),
        }
    }

    /// Turns what the device reported since the last call into an error.
    pub(crate) fn check(&self) -> Result<()> {
        self.reports.check()
    }

    /// Makes a buffer, zeroed, that lives until [`Gpu::free_buffers`].
    pub(crate) fn buffer(&mut self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let buffer = self.loose_buffer(label, bytes, usage)?;
        self.buffers.push(buffer.clone());
        Ok(buffer)
    }

    /// Gives their memory back at once: a browser would do so only when it collects garbage, and does not count what
    /// lies on the GPU.
    pub(crate) fn free_buffers(&mut self) {
        self.buffers.drain(..).for_each(|buffer| buffer.destroy());
    }

    /// Makes a buffer, zeroed, that somebody else destroys.
    pub(crate) fn loose_buffer(&mut self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let size = bytes.max(256).next_multiple_of(256);
        if size > self.max_buffer {
            return Err(self.too_large(label, size, self.max_buffer));
        }
        self.created += 1;
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        let make = || self.device.create_buffer(&descriptor);
        let (buffer, error) = caught(&self.device, wgpu::ErrorFilter::OutOfMemory, make);
        match error {
            Some(error) => Err(Error::Memory {
                device: self.info.name.clone(),
                what: format!("{label} ({error})"),
                needed: size,
                limit: self.max_buffer,
                hint: "use a smaller --batch-size, close other programs on the device, or use --device cpu".to_owned(),
            }),
            None => Ok(buffer),
        }
    }

    /// A buffer for tensors.
    pub(crate) fn storage(&mut self, label: &str, elements: usize) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.buffer(label, 4 * elements as u64, usage)
    }

    /// The pipeline of a kernel, made on its first use.
    pub(crate) fn pipeline(&mut self, kernel: &Kernel) -> Result<usize> {
        if let Some(found) = self.pipelines.iter().position(|(other, _)| other == kernel) {
            return Ok(found);
        }
        let make = || {
            let module =
                self.modules.get(&(kernel.source.name, kernel.halves)).cloned().unwrap_or_else(|| self.module(kernel));
            let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(kernel.source.name),
                layout: None,
                module: &module,
                entry_point: Some(kernel.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &kernel.constants,
                    // Every kernel writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            (module, pipeline)
        };
        let ((module, pipeline), error) = caught(&self.device, wgpu::ErrorFilter::Validation, make);
        if let Some(error) = error {
            let name = kernel.source.name;
            return Err(self.error(format!("shader {name}, entry {}, was refused: {error}", kernel.entry)));
        }
        self.modules.insert((kernel.source.name, kernel.halves), module);
        self.created += 1;
        self.pipelines.push((kernel.clone(), pipeline));
        Ok(self.pipelines.len() - 1)
    }

    fn module(&self, kernel: &Kernel) -> wgpu::ShaderModule {
        let shader = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.source.name),
            source: wgpu::ShaderSource::Wgsl(kernel.source.text(kernel.halves)),
        };
        if !kernel.source.is_proven() {
            return self.device.create_shader_module(shader);
        }
        #[expect(unsafe_code, reason = "the shader is a constant whose indices were shown to stay inside")]
        // SAFETY: see `Source::proven`.
        unsafe {
            self.device.create_shader_module_trusted(shader, wgpu::ShaderRuntimeChecks::unchecked())
        }
    }

    pub(crate) fn compiled(&self, pipeline: usize) -> &wgpu::ComputePipeline {
        &self.pipelines[pipeline].1
    }

    /// Waits for all submitted work. A driver's failure becomes an error, also where wgpu panics.
    pub(crate) fn wait(&self) -> Result<()> {
        let waited = catch_unwind(AssertUnwindSafe(|| self.device.poll(wgpu::PollType::wait_indefinitely())));
        match waited {
            Ok(Ok(_)) => self.check(),
            Ok(Err(error)) => Err(self.error(format!("waiting for it failed: {error}"))),
            Err(_) => {
                self.check()?;
                Err(self.error("it failed while moue waited for it"))
            }
        }
    }
}

/// Makes something, and what the device says against it.
#[cfg(not(target_family = "wasm"))]
fn caught<R>(device: &wgpu::Device, filter: wgpu::ErrorFilter, make: impl FnOnce() -> R) -> (R, Option<wgpu::Error>) {
    let scope = device.push_error_scope(filter);
    let made = make();
    (made, pollster::block_on(scope.pop()))
}

/// The same in a browser, where what the device says cannot be waited for here: it goes to [`Reports`].
#[cfg(target_family = "wasm")]
fn caught<R>(_: &wgpu::Device, _: wgpu::ErrorFilter, make: impl FnOnce() -> R) -> (R, Option<wgpu::Error>) {
    (make(), None)
}
