//! The CPU executor: rayon tasks over images, channels and groups, in f32, or in f64 for verification.
//!
//! Tensors are NCHW, row-major. Work is split in ways that do not depend on the number of threads, and sums have a
//! fixed order, so that the same program gives the same bits every run, with any number of threads.

mod activation;
mod augment;
mod axis_sum;
mod batch_norm;
mod channel_attention;
mod channel_gate;
mod columns;
mod concat;
mod conv2d;
mod cross_entropy;
#[cfg(not(target_family = "wasm"))]
mod denormals;
mod determinant;
mod global_pool;
mod kernel;
mod memory;
mod mixture_cross_entropy;
mod multiply;
mod parallel;
mod patches;
mod pool;
mod pool2d;
mod prepare;
mod program;
mod running_sums;
mod scalar;
mod sgd;
mod simd;
mod similarity;
mod spatial_gate;
mod sum;
mod tasks;
mod unit_length;
mod weighted_sum;

use std::collections::HashMap;

use web_time::Instant;

use super::{Clock, DeviceInfo, Executor, OpCost, Profile, Program, Stats, programs::Programs};
use crate::{
    Result,
    graph::{Graph, plan::Plan},
    ops::TensorId,
};
use kernel::Span;
use memory::Memory;
use pool::Pool;
use program::Compiled;

pub use scalar::Scalar;

/// Compiles and runs graphs on the processor, in precision `T`: f32, or f64 for verification.
///
/// ```
/// use moue::{exec::{Executor, cpu::CpuExecutor}, graph::Graph};
///
/// # fn main() -> moue::Result<()> {
/// let mut graph = Graph::new();
/// let x = graph.input("x", [3]);
/// let y = graph.relu(x)?;
/// graph.output(y);
/// let mut cpu = CpuExecutor::<f32>::new(None)?;
/// let program = cpu.compile(&graph)?;
/// cpu.write(program, x, &[-1.0, 0.0, 2.0])?;
/// cpu.run(program)?;
/// assert_eq!(cpu.read(program, y)?, [0.0, 0.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub struct CpuExecutor<T: Scalar> {
    device: DeviceInfo,
    pool: Pool,
    memory: Memory<T>,
    programs: Programs<Compiled<T>>,
}

impl<T: Scalar> CpuExecutor<T> {
    /// An executor with a pool of its own, by default, and for 0, with one thread a core.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for more threads than [`crate::exec::threads::count`] allows, [`crate::Error::Device`] where the threads cannot be started.
    pub fn new(threads: Option<usize>) -> Result<Self> {
        let pool = Pool::new(threads, T::FLUSH)?;
        let detail = match pool.threads() {
            1 => format!("{}, {}, 1 thread", instruction_set(), T::NAME),
            threads => format!("{}, {}, {threads} threads", instruction_set(), T::NAME),
        };
        let device = DeviceInfo { kind: "cpu", name: processor(), detail, software: false, notes: Vec::new() };
        Ok(Self { device, pool, memory: Memory::new(), programs: Programs::new() })
    }

    /// Writes a variable in full precision.
    ///
    /// # Errors
    /// See [`Executor::write_variable`].
    pub fn write_variable_f64(&mut self, name: &str, values: &[f64]) -> Result<()> {
        self.write_variable_from(name, values.iter().map(|value| T::of(*value)))
    }

    fn write_variable_from(&mut self, name: &str, values: impl ExactSizeIterator<Item = T>) -> Result<()> {
        let span = self.memory.named(name)?;
        self.memory.write(name, span, values)?;
        self.memory.version += 1;
        self.programs.wrote_variable(name);
        Ok(())
    }

    fn write_from(&mut self, program: Program, id: TensorId, values: impl ExactSizeIterator<Item = T>) -> Result<()> {
        // Without a place nothing that runs reads it.
        if let Some((root, span)) = self.programs.get(program)?.writable(id, values.len())? {
            self.memory.write("the input", span, values)?;
            self.programs.wrote(program, root);
        }
        Ok(())
    }

    fn values(&self, program: Program, tensor: TensorId) -> Result<&[T]> {
        Ok(self.memory.values(self.programs.get(program)?.readable(tensor)?))
    }

    /// Runs a program, calling `after` each op; stops where it returns a value.
    fn run_with<R: Send>(
        &mut self,
        program: Program,
        mut after: impl FnMut(&program::Step<T>, &[Vec<T>]) -> Option<R> + Send,
    ) -> Result<Option<R>> {
        self.programs.expect_written(program)?;
        let (program, memory) = (self.programs.get_mut(program)?, &mut self.memory);
        let threads = self.pool.threads();
        memory.version += u64::from(program.updates);
        Ok(self.pool.run(|| {
            program.steps.iter_mut().find_map(|step| {
                step.run(&mut memory.arena, &mut memory.scratch, memory.version, threads);
                after(step, &memory.arena)
            })
        }))
    }
}

impl<T: Scalar> Executor for CpuExecutor<T> {
    fn device(&self) -> &DeviceInfo {
        &self.device
    }

    fn compile(&mut self, graph: &Graph) -> Result<Program> {
        let threads = self.pool.threads();
        let plan = Plan::new(graph);
        let compiled = T::compile(graph, &plan, &mut self.memory, threads)?;
        Ok(self.programs.push(compiled, graph, &plan))
    }

    fn clear(&mut self) {
        self.programs = Programs::new();
        self.memory = Memory { created: self.memory.created, ..Memory::new() };
    }

    fn has(&self, program: Program) -> bool {
        self.programs.has(program)
    }

    fn write(&mut self, program: Program, tensor: TensorId, values: &[f32]) -> Result<()> {
        self.write_from(program, tensor, values.iter().map(|value| T::of(f64::from(*value))))
    }

    fn write_f64(&mut self, program: Program, tensor: TensorId, values: &[f64]) -> Result<()> {
        self.write_from(program, tensor, values.iter().map(|value| T::of(*value)))
    }

    fn run(&mut self, program: Program) -> Result<()> {
        self.run_with::<()>(program, |_, _| None).map(|_| ())
    }

    fn read(&mut self, program: Program, tensor: TensorId) -> Result<Vec<f32>> {
        Ok(self.values(program, tensor)?.iter().map(|value| value.wide() as f32).collect())
    }

    fn read_f64(&mut self, program: Program, tensor: TensorId) -> Result<Vec<f64>> {
        Ok(self.values(program, tensor)?.iter().map(|value| value.wide()).collect())
    }

    fn synchronize(&mut self) -> Result<()> {
        Ok(())
    }

    fn write_variable(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.write_variable_from(name, values.iter().map(|value| T::of(f64::from(*value))))
    }

    fn read_variable(&mut self, name: &str) -> Result<Vec<f32>> {
        let span = self.memory.named(name)?;
        Ok(self.memory.values(span).iter().map(|value| value.wide() as f32).collect())
    }

    fn read_variable_f64(&mut self, name: &str) -> Result<Vec<f64>> {
        let span = self.memory.named(name)?;
        Ok(self.memory.values(span).iter().map(|value| value.wide()).collect())
    }

    fn first_not_finite(&mut self, program: Program) -> Result<Option<String>> {
        let finite = |arena: &[Vec<T>], span: Span| arena[span.buffer][..span.len].iter().all(|x| x.is_finite());
        self.programs.expect_written(program)?;
        let given = &self.programs.get(program)?.given;
        if let Some((name, _)) = given.iter().find(|(_, span)| !finite(&self.memory.arena, *span)) {
            return Ok(Some(name.clone()));
        }
        self.run_with(program, |step, arena| {
            let bad = step.written.iter().find(|(_, span)| !finite(arena, *span))?;
            Some(format!("{} ({})", step.name, bad.0))
        })
    }

    fn costs(&self, program: Program) -> Result<Vec<OpCost>> {
        let cost = |step: &program::Step<T>| OpCost {
            op: step.name.clone(),
            kind: step.op,
            dispatches: 1,
            flops: step.work.flops,
            bytes: step.work.bytes / 4 * size_of::<T>() as u64,
        };
        Ok(self.programs.get(program)?.steps.iter().map(cost).collect())
    }

    fn profile(&mut self, program: Program, runs: usize) -> Result<Profile> {
        let ops = self.costs(program)?;
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs.max(1) {
            let mut spans = Vec::with_capacity(ops.len());
            let begin = Instant::now();
            let mut last = 0.0;
            self.run_with::<()>(program, |_, _| {
                let now = begin.elapsed().as_secs_f64();
                spans.push(last..now);
                last = now;
                None
            })?;
            times.push(spans);
        }
        Ok(Profile { clock: Clock::Host, ops, runs: times })
    }

    fn stats(&self, program: Program) -> Stats {
        let Ok(program) = self.programs.get(program) else { return Stats::default() };
        let mut by_op: HashMap<&str, usize> = HashMap::new();
        for step in &program.steps {
            *by_op.entry(step.op).or_default() += 1;
        }
        let mut by_op: Vec<_> = by_op.into_iter().map(|(op, count)| (op.to_owned(), count)).collect();
        by_op.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let variables: usize = self.memory.variables.values().map(|span| span.len).sum();
        let elements = program.elements + variables + self.memory.scratch.len();
        Stats {
            dispatches: program.steps.len(),
            dispatches_by_op: by_op,
            bytes: (elements * size_of::<T>()) as u64,
            resources_created: self.memory.created,
        }
    }
}

/// The processor's name.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split_once(':')));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The widest instructions that the hot loops choose at run time.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "AVX2";
        }
    }
    if cfg!(target_feature = "simd128") { "simd128" } else { std::env::consts::ARCH }
}
