//! The devices under test. Each has one executor, on a thread of its own, that lives through all cases, so that
//! pipelines are built once.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use moue::exec::Executor;

use super::case::Run;

/// Opens a device.
pub(crate) type Open = dyn Fn() -> moue::Result<Box<dyn Executor>> + Send;

/// A device under test.
pub(crate) struct Device {
    /// Such as `cpu_f64` or `gpu_vulkan_llvmpipe`.
    pub(crate) name: String,
    /// `None` once it is being dropped.
    jobs: Option<Mutex<Sender<Job>>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// The executor is gone before the process ends: drivers do not expect to be called after that.
impl Drop for Device {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A case's panic was reported as that case's failure.
            let _ = thread.join();
        }
    }
}

struct Job {
    run: Arc<Run>,
    reply: Sender<Result<(), String>>,
}

impl Device {
    /// A device that computes with unit roundoff `unit`, opened at its first case.
    pub(crate) fn new(name: String, unit: f64, open: Box<Open>) -> Self {
        let (jobs, inbox) = channel();
        let thread = thread::Builder::new().name(name.clone());
        let thread = thread.spawn(move || serve(&inbox, unit, &open)).expect("a thread for the device");
        Self { name, jobs: Some(Mutex::new(jobs)), thread: Some(thread) }
    }

    /// Runs a case, after those that other threads asked for.
    pub(crate) fn run(&self, run: Arc<Run>) -> Result<(), String> {
        let (reply, answer) = channel();
        let jobs = self.jobs.as_ref().ok_or("the device is closed")?.lock().map_err(|error| error.to_string())?;
        jobs.send(Job { run, reply }).map_err(|error| error.to_string())?;
        drop(jobs);
        answer.recv().map_err(|error| format!("the device's thread ended: {error}"))?
    }
}

fn serve(inbox: &Receiver<Job>, unit: f64, open: &Open) {
    let mut executor = None;
    for Job { run, reply } in inbox {
        let result = catch_unwind(AssertUnwindSafe(|| {
            if executor.is_none() {
                executor = Some(open().map_err(|error| error.to_string())?);
            }
            let executor: &mut Box<dyn Executor> = executor.as_mut().ok_or("no executor")?;
            run(executor.as_mut(), unit)
        }))
        .unwrap_or_else(|panic| {
            executor = None;
            Err(format!("panicked: {}", message(&*panic)))
        });
        // Nobody waits any more when the test run is being torn down.
        let _ = reply.send(result);
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// The CPU executor in f64 and in f32.
#[cfg(feature = "cpu")]
pub(crate) fn cpus() -> Vec<Device> {
    use super::compare::{UNIT_F32, UNIT_F64};
    use moue::exec::cpu::CpuExecutor;
    vec![
        Device::new(
            "cpu_f64".to_owned(),
            UNIT_F64,
            Box::new(|| Ok(Box::new(CpuExecutor::<f64>::new(Some(2))?) as Box<dyn Executor>)),
        ),
        Device::new(
            "cpu_f32".to_owned(),
            UNIT_F32,
            Box::new(|| Ok(Box::new(CpuExecutor::<f32>::new(Some(2))?) as Box<dyn Executor>)),
        ),
    ]
}

/// The CPU executor is compiled out.
#[cfg(not(feature = "cpu"))]
pub(crate) fn cpus() -> Vec<Device> {
    Vec::new()
}

/// Every adapter that wgpu lists, those that compute in mixed precision, and why others cannot be used.
#[cfg(not(feature = "gpu"))]
pub(crate) fn gpus() -> Gpus {
    Gpus { unusable: vec!["the feature `gpu` is off".to_owned()], ..Gpus::default() }
}

/// The adapters under test.
#[derive(Default)]
pub(crate) struct Gpus {
    pub(crate) found: Vec<Device>,
    /// The same adapters in mixed precision, where they have it.
    pub(crate) mixed: Vec<Device>,
    /// Why others are not here.
    pub(crate) unusable: Vec<String>,
}

/// An adapter's name in a test: backend and what comes before the driver's details, in lower case.
pub(crate) fn slug(backend: &str, adapter: &str) -> String {
    let name = adapter.split('(').next().unwrap_or(adapter).to_lowercase();
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty() && *word != "device");
    [vec!["gpu", &backend.to_lowercase()], words.collect()].concat().join("_")
}

/// Every adapter.
#[cfg(feature = "gpu")]
pub(crate) fn gpus() -> Gpus {
    use super::compare::{UNIT_F16, UNIT_F32};
    use moue::exec::gpu::{GpuExecutor, Options, Selector, adapters};
    let mut gpus = Gpus::default();
    for adapter in adapters() {
        if let Some(why) = adapter.unusable {
            gpus.unusable.push(format!("{} cannot be used: {why}", adapter.name));
            continue;
        }
        let name = slug(&adapter.backend, &adapter.name);
        let device = |name: String, unit: f64, mixed: bool| {
            // Of mixed precision the operands: tests/gpu/half_maps.rs has the maps.
            let options = Options { mixed, wide_maps: true, ..Options::default() };
            let selector = Selector::Index(adapter.index);
            let open = move || Ok(Box::new(GpuExecutor::with_options(&selector, &options)?) as Box<dyn Executor>);
            Device::new(name, unit, Box::new(open))
        };
        gpus.found.push(device(name.clone(), UNIT_F32, false));
        if adapter.features.iter().any(|feature| feature == "SHADER_F16") {
            gpus.mixed.push(device(format!("{name}_mixed"), UNIT_F16, true));
        }
    }
    if gpus.found.is_empty() && gpus.unusable.is_empty() {
        gpus.unusable.push("no adapter was found".to_owned());
    }
    gpus
}
