//! Looking into a run: where a value first stops being finite, and how long each op takes.

use std::time::Instant;

use super::{GpuExecutor, lower::describe, memory::View, program::Compiled};
use crate::{
    Result,
    exec::{OpTime, Program},
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
        let compiled = self.program(program)?;
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
        for step in 0..self.program(program)?.steps.len() {
            self.run_step(program, step)?;
            let compiled = self.program(program)?;
            let outputs = compiled.steps[step].outputs.clone();
            let seen = |id: TensorId| compiled.tensors.view(id).cloned().map(|view| (id, view));
            for (id, view) in outputs.into_iter().filter_map(seen).collect::<Vec<_>>() {
                if !self.is_finite(&view)? {
                    let compiled = self.program(program)?;
                    return Ok(Some(format!("{}, {}", name_of(compiled, step), output_name(compiled, step, id))));
                }
            }
        }
        Ok(None)
    }

    fn run_step(&self, program: Program, step: usize) -> Result<()> {
        let compiled = self.program(program)?;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            compiled.encode(&self.gpu, &mut pass, compiled.steps[step].dispatches.clone());
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()
    }

    /// See [`crate::exec::Executor::profile`].
    pub(super) fn time_ops(&mut self, program: Program) -> Result<Vec<OpTime>> {
        let steps = self.program(program)?.steps.len();
        let timestamps = self.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let seconds = if timestamps && 2 * steps <= MOST_QUERIES {
            self.timestamps(program, steps)?
        } else {
            self.wall_clock(program, steps)?
        };
        let compiled = self.program(program)?;
        let shape = |id: &TensorId| &compiled.graph.tensor(*id).shape;
        let flops = |node: usize| {
            let node = &compiled.graph.nodes()[node];
            let inputs: Vec<_> = node.inputs.iter().map(shape).collect();
            let outputs: Vec<_> = node.outputs.iter().map(shape).collect();
            node.op.contract().flops(&inputs, &outputs)
        };
        Ok((0..steps)
            .map(|step| OpTime {
                op: name_of(compiled, step),
                seconds: seconds[step],
                flops: compiled.steps[step].node.map_or(0, flops),
            })
            .collect())
    }

    /// One pass an op, timed by the device.
    fn timestamps(&mut self, program: Program, steps: usize) -> Result<Vec<f64>> {
        let count = 2 * steps as u32;
        let queries = self.gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.gpu.buffer("profile", 8 * u64::from(count), usage)?;
        let compiled = self.program(program)?;
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
        let mut ticks = vec![0_u64; count as usize];
        self.readback.read_bytes(&mut self.gpu, &resolved, 0, bytemuck::cast_slice_mut(&mut ticks))?;
        let period = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        Ok(ticks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period).collect())
    }

    /// One submission an op, timed by the host: includes what submitting and waiting costs.
    fn wall_clock(&mut self, program: Program, steps: usize) -> Result<Vec<f64>> {
        self.gpu.wait()?;
        (0..steps)
            .map(|step| {
                let start = Instant::now();
                self.run_step(program, step)?;
                self.gpu.wait()?;
                Ok(start.elapsed().as_secs_f64())
            })
            .collect()
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
