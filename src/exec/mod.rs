//! Executors: what compiles a graph for a device and replays it.

mod choice;
#[cfg(feature = "cpu")]
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod memory;
#[cfg(not(target_arch = "wasm32"))]
pub mod open;
mod profile;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod programs;
pub mod threads;

pub use choice::{DeviceChoice, Precision};
pub use profile::{Clock, OpCost, Profile};

use std::{future::Future, pin::Pin};

use crate::{Result, graph::Graph, ops::TensorId};

/// Values on their way from a device: those of each tensor asked for.
pub type Reading = Pin<Box<dyn Future<Output = Result<Vec<Vec<f32>>>>>>;

/// A compiled graph of one executor, until that is cleared. Elsewhere and afterwards it names nothing, and every use of it
/// is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    era: u64,
    index: usize,
}

/// What a device is called, for logs and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// `cpu` or `gpu`.
    pub kind: &'static str,
    /// The processor, or the adapter as its driver names it.
    pub name: String,
    /// The backend and driver, or the instruction set and threads.
    pub detail: String,
    /// Whether this is a GPU that computes on the processor.
    pub software: bool,
    /// What it could do but is not trusted with, a sentence each.
    pub notes: Vec<String>,
}

/// What a program costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commands encoded in a run: dispatches, copies and clears (the CPU executor: ops).
    pub dispatches: usize,
    /// The same by op name, largest first.
    pub dispatches_by_op: Vec<(String, usize)>,
    /// Bytes of all buffers of this program and of the executor's variables.
    pub bytes: u64,
    /// Buffers, bind groups and pipelines created by the executor since it started.
    pub resources_created: u64,
}

/// What only a training needs of an op with this stem: builds without the feature `training` leave it out.
///
/// # Errors
/// [`crate::Error::Shape`] in such a build; and those of `prepare`.
#[cfg(any(feature = "cpu", feature = "gpu"))]
fn training<R>(stem: &'static str, prepare: impl FnOnce() -> Result<R>) -> Result<R> {
    if cfg!(feature = "training") {
        return prepare();
    }
    let expected = "a build with the feature `training`, which this op needs";
    Err(crate::ops::shape_error(stem, expected, "one without it", "turn the feature on, or evaluate the network"))
}

/// A device, the variables it keeps, and the programs compiled for it.
///
/// Variables (parameters, states, momenta) belong to the executor: programs that name the same variable share it.
/// A program whose ops read a variable or an input that was never written does not run.
pub trait Executor {
    /// What runs here.
    fn device(&self) -> &DeviceInfo;

    /// Prepares a graph: memory, kernels, commands. Nothing is allocated afterwards.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] where it does not fit, [`crate::Error::Shape`] where a variable of the same name
    /// has another size, [`crate::Error::Device`] where the device fails.
    fn compile(&mut self, graph: &Graph) -> Result<Program>;

    /// Forgets all programs and variables, to start anew with another network.
    fn clear(&mut self);

    /// Whether a program is one of this executor's, compiled since it was last cleared.
    fn has(&self, program: Program) -> bool;

    /// The most elements of a tensor that an op has to see whole.
    fn largest_tensor(&self) -> usize {
        usize::MAX
    }

    /// Writes an input of a program.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the tensor is no input of it, or the number of values differs.
    fn write(&mut self, program: Program, tensor: TensorId, values: &[f32]) -> Result<()>;

    /// Writes an input in full precision where the executor computes in float64; elsewhere rounded to float32.
    ///
    /// # Errors
    /// See [`Executor::write`].
    fn write_f64(&mut self, program: Program, tensor: TensorId, values: &[f64]) -> Result<()> {
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        self.write(program, tensor, &values)
    }

    /// Runs a program once; may return before the device has finished.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] with the names of the inputs and variables that the program reads and that were never
    /// written; [`crate::Error::Device`] where the device fails.
    fn run(&mut self, program: Program) -> Result<()>;

    /// Reads an output of the last run, waiting for it.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails.
    fn read(&mut self, program: Program, tensor: TensorId) -> Result<Vec<f32>>;

    /// Asks for outputs of the last run; the values can be awaited where waiting is not allowed, such as in a browser.
    ///
    /// # Errors
    /// See [`Executor::read`], as for what is awaited.
    fn read_later(&mut self, program: Program, tensors: &[TensorId]) -> Result<Reading> {
        let values = tensors.iter().map(|id| self.read(program, *id)).collect::<Result<_>>();
        Ok(Box::pin(std::future::ready(values)))
    }

    /// Reads an output in full precision where the executor computes in float64.
    ///
    /// # Errors
    /// See [`Executor::read`].
    fn read_f64(&mut self, program: Program, tensor: TensorId) -> Result<Vec<f64>> {
        Ok(self.read(program, tensor)?.into_iter().map(f64::from).collect())
    }

    /// Waits until all submitted work is done.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails.
    fn synchronize(&mut self) -> Result<()>;

    /// Writes a variable by its name.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where no program has it or the number of values differs.
    fn write_variable(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// Reads a variable by its name.
    ///
    /// # Errors
    /// See [`Executor::write_variable`].
    fn read_variable(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Reads a variable in full precision where the executor computes in float64.
    ///
    /// # Errors
    /// See [`Executor::write_variable`].
    fn read_variable_f64(&mut self, name: &str) -> Result<Vec<f64>> {
        Ok(self.read_variable(name)?.into_iter().map(f64::from).collect())
    }

    /// Runs a program op by op and names the first op and tensor with a value that is not finite; inputs and
    /// variables are looked at first.
    ///
    /// # Errors
    /// See [`Executor::run`].
    fn first_not_finite(&mut self, program: Program) -> Result<Option<String>>;

    /// What each op of a program costs, in order of execution.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the program is another executor's.
    fn costs(&self, program: Program) -> Result<Vec<OpCost>>;

    /// Runs a program `runs` times (at least once) and times each op.
    ///
    /// # Errors
    /// See [`Executor::run`]; and [`crate::Error::Device`] where the device cannot time its ops.
    fn profile(&mut self, program: Program, runs: usize) -> Result<Profile>;

    /// What a program costs; nothing where it is another executor's.
    fn stats(&self, program: Program) -> Stats;
}
