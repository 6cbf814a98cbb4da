//! Looking into a run: where a value first stops being finite, and how long each op takes.

use std::{collections::HashMap, ops::Range};

use web_time::Instant;

use super::{
    GpuExecutor,
    lower::{Step, describe},
    memory::View,
    program::Compiled,
};
use crate::{
    Result,
    exec::{Clock, OpCost, Profile, Program},
    graph::Role,
    ops::TensorId,
};

/// Queries that a set may hold.
const MOST_QUERIES: usize = 4096;

fn name_of(compiled: &Compiled, step: usize) -> String {
    let step = &compiled.steps[step];
    step.node.map_or_else(|| step.op.to_owned(), |node| describe(&compiled.graph.nodes()[node]))
}

impl GpuExecutor {
    fn is_finite(&mut self, view: &View) -> Result<bool> {
        Ok(self.readback.read(&mut self.gpu, view)?.iter().all(|value| value.is_finite()))
    }

    /// See [`crate::exec::Executor::first_not_finite`].
    pub(super) fn find_not_finite(&mut self, program: Program) -> Result<Option<String>> {
        let compiled = self.programs.get(program)?;
        let inputs = compiled.graph.select(|role| matches!(role, Role::Input));
        let inputs: Vec<_> = inputs
            .into_iter()
            .filter_map(|id| Some((compiled.graph.tensor(id).name.clone(), compiled.tensors.view(id)?.clone())))
            .collect();
        // Only what ops read: the running estimates that a failed step left behind do not explain it.
        let graph = &compiled.graph;
        let mut read: Vec<_> = graph.nodes().iter().flat_map(|node| &node.inputs).map(|&id| graph.root(id)).collect();
        read.sort_unstable();
        read.dedup();
        let variables: Vec<_> = read
            .into_iter()
            .filter(|&id| graph.variable(id).is_some())
            .filter_map(|id| Some((graph.tensor(id).name.clone(), compiled.tensors.view(id)?.clone())))
            .collect();
        for (kind, tensors) in [("input", inputs), ("variable", variables)] {
            for (name, view) in tensors {
                if !self.is_finite(&view)? {
                    return Ok(Some(format!("{kind} {name}")));
                }
            }
        }
        for step in 0..self.programs.get(program)?.steps.len() {
            self.run_step(program, step)?;
            let compiled = self.programs.get(program)?;
            let outputs = compiled.steps[step].outputs.clone();
            let seen = |id: TensorId| compiled.tensors.view(id).cloned().map(|view| (id, view));
            for (id, view) in outputs.into_iter().filter_map(seen).collect::<Vec<_>>() {
                if !self.is_finite(&view)? {
                    let compiled = self.programs.get(program)?;
                    return Ok(Some(format!("{}, {}", name_of(compiled, step), output_name(compiled, step, id))));
                }
            }
        }
        Ok(None)
    }

    fn run_step(&self, program: Program, step: usize) -> Result<()> {
        let compiled = self.programs.get(program)?;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            compiled.encode(&self.gpu, &mut pass, compiled.steps[step].dispatches.clone());
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()
    }

    /// See [`crate::exec::Executor::profile`].
    pub(super) fn time_ops(&mut self, program: Program, runs: usize) -> Result<Profile> {
        let compiled = self.programs.get(program)?;
        let (ops, steps) = (compiled.costs(), compiled.steps.len());
        if self.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) && 2 * steps <= MOST_QUERIES {
            let times = self.timestamps(program, steps, runs)?;
            // A driver that never moves its clock has none.
            if steps == 0 || times.iter().flatten().any(|span| span.end > span.start) {
                return Ok(Profile { clock: Clock::Timestamps, ops, runs: times });
            }
        }
        self.gpu.wait()?;
        let times = (0..runs).map(|_| self.wall_clock(program, steps)).collect::<Result<_>>()?;
        Ok(Profile { clock: Clock::HostSubmissions, ops, runs: times })
    }

    /// One pass an op, timed by the device.
    fn timestamps(&mut self, program: Program, steps: usize, runs: usize) -> Result<Vec<Vec<Range<f64>>>> {
        let count = 2 * steps as u32;
        let queries = self.gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.gpu.loose_buffer("profile", 8 * u64::from(count), usage)?;
        let period = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        let mut ticks = vec![0_u64; count as usize];
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let compiled = self.programs.get(program)?;
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (i, step) in compiled.steps.iter().enumerate() {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(2 * i as u32),
                        end_of_pass_write_index: Some(2 * i as u32 + 1),
                    }),
                });
                compiled.encode(&self.gpu, &mut pass, step.dispatches.clone());
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            self.gpu.queue.submit([encoder.finish()]);
            self.readback.read_bytes(&mut self.gpu, &resolved, 0, bytemuck::cast_slice_mut(&mut ticks))?;
            let first = ticks.first().copied().unwrap_or(0);
            let since = |tick: u64| tick.saturating_sub(first) as f64 * period;
            times.push(ticks.chunks_exact(2).map(|pair| since(pair[0])..since(pair[1].max(pair[0]))).collect());
        }
        Ok(times)
    }

    /// One submission an op, timed by the host.
    fn wall_clock(&mut self, program: Program, steps: usize) -> Result<Vec<Range<f64>>> {
        let begin = Instant::now();
        (0..steps)
            .map(|step| {
                let start = begin.elapsed().as_secs_f64();
                self.run_step(program, step)?;
                self.gpu.wait()?;
                Ok(start..begin.elapsed().as_secs_f64())
            })
            .collect()
    }
}

impl Compiled {
    /// See [`crate::exec::Executor::costs`]. An op whose dispatches stand in several steps has its cost shared out
    /// among them.
    pub(super) fn costs(&self) -> Vec<OpCost> {
        let mut dispatches: HashMap<usize, u64> = HashMap::new();
        for step in &self.steps {
            if let Some(node) = step.node {
                *dispatches.entry(node).or_default() += step.dispatches.len() as u64;
            }
        }
        let cost = |(i, step): (usize, &Step)| {
            let (flops, bytes) = match step.node {
                Some(node) => {
                    let node_at = &self.graph.nodes()[node];
                    let work = self.graph.work(node_at);
                    let tensors = node_at.inputs.iter().chain(&node_at.outputs);
                    let bytes = work.bytes - tensors.map(|&id| self.saved(id)).sum::<u64>();
                    let (mine, all) = (step.dispatches.len() as u64, dispatches[&node].max(1));
                    (work.flops * mine / all, bytes * mine / all)
                }
                None => (0, step.bytes),
            };
            OpCost { op: name_of(self, i), kind: step.op, dispatches: step.dispatches.len(), flops, bytes }
        };
        self.steps.iter().enumerate().map(cost).collect()
    }

    /// Bytes by which a tensor is smaller than in f32.
    fn saved(&self, id: TensorId) -> u64 {
        self.tensors.view(id).map_or(0, |view| ((4 - view.kept.bytes()) * view.elements) as u64)
    }
}

/// Which of an op's results a tensor is.
fn output_name(compiled: &Compiled, step: usize, id: TensorId) -> String {
    let graph = &compiled.graph;
    let tensor = graph.tensor(id);
    match tensor.role {
        Role::Activation => {
            let node = compiled.steps[step].node.map(|node| &graph.nodes()[node]);
            let index = node.and_then(|node| node.outputs.iter().position(|&output| output == id));
            index.map_or_else(|| tensor.name.clone(), |index| format!("output {index} {}", tensor.shape))
        }
        _ => tensor.name.clone(),
    }
}
