//! A compiled graph: bind groups and grids, ready to be encoded again and again.

use std::collections::HashMap;

use super::{
    device::Gpu,
    kept::Storage,
    lower::{Draft, Lower, Operand, Source, Step},
    memory::{Tensors, Variables, View},
};
use crate::{
    Result,
    graph::{Graph, Tensor, plan::Plan},
    ops::{TensorId, shape_error},
};

/// A dispatch with everything it needs.
struct Command {
    pipeline: usize,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// A graph compiled for a device.
pub(crate) struct Compiled {
    pub(crate) graph: Graph,
    pub(crate) tensors: Tensors,
    pub(crate) steps: Vec<Step>,
    commands: Vec<Command>,
}

impl Compiled {
    pub(crate) fn new(
        gpu: &mut Gpu,
        variables: &Variables,
        graph: &Graph,
        plan: &Plan,
        storage: &Storage,
    ) -> Result<Self> {
        let tensors = Tensors::new(gpu, variables, graph, plan, storage)?;
        let mut lower = Lower::new(gpu, variables, graph, plan, tensors);
        lower.run()?;
        let Lower { gpu, mut tensors, drafts, mut params, tables, partials, steps, .. } = lower;
        params.resize(params.len().next_multiple_of(Gpu::ALIGNMENT), 0);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = gpu.buffer("parameters of dispatches", params.len() as u64, usage)?;
        gpu.queue.write_buffer(&uniforms, 0, &params);
        let table = tensors.buffer(gpu, "tables", tables.len())?;
        gpu.queue.write_buffer(&table, 0, bytemuck::cast_slice(&tables));
        let sums = tensors.buffer(gpu, "partial sums", partials.most)?;
        tensors.bytes += uniforms.size();
        let resolve = |operand: &Operand| match &operand.source {
            Source::View(view) => view.clone(),
            Source::Partials(range) => View::whole(sums.clone(), partials.most).range(range.clone()),
            Source::Table(range) => View::whole(table.clone(), tables.len()).range(range.clone()),
        };
        let commands = drafts.iter().map(|draft| command(gpu, draft, &uniforms, resolve)).collect();
        gpu.check()?;
        Ok(Self { graph: graph.clone(), tensors, steps, commands })
    }

    /// A tensor of the compiled graph.
    pub(crate) fn declared(&self, id: TensorId) -> Result<&Tensor> {
        let unknown =
            || shape_error("program", "a tensor of the compiled graph", id.index(), "use that graph's tensors");
        self.graph.tensors().get(id.index()).ok_or_else(unknown)
    }

    /// Commands of a run, by op, most first.
    pub(crate) fn counts(&self) -> (usize, Vec<(String, usize)>) {
        let mut by_op: HashMap<&str, usize> = HashMap::new();
        for step in &self.steps {
            *by_op.entry(step.op).or_default() += step.dispatches.len();
        }
        let mut by_op: Vec<_> = by_op.into_iter().filter(|&(_, n)| n > 0).map(|(op, n)| (op.to_owned(), n)).collect();
        by_op.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        (self.commands.len(), by_op)
    }

    /// Encodes some dispatches into a pass; returns how many.
    pub(crate) fn encode(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        dispatches: std::ops::Range<usize>,
    ) -> usize {
        let mut current = None;
        let mut encoded = 0;
        for command in &self.commands[dispatches] {
            if current != Some(command.pipeline) {
                pass.set_pipeline(gpu.compiled(command.pipeline));
                current = Some(command.pipeline);
            }
            pass.set_bind_group(0, &command.group, &[]);
            let [x, y, z] = command.workgroups;
            pass.dispatch_workgroups(x, y, z);
            encoded += 1;
        }
        encoded
    }

    /// The number of dispatches of a run.
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }
}

fn command(gpu: &mut Gpu, draft: &Draft, uniforms: &wgpu::Buffer, resolve: impl Fn(&Operand) -> View) -> Command {
    let size = draft.params.len().next_multiple_of(16) as u64;
    let views: Vec<_> = draft.operands.iter().map(resolve).collect();
    let mut entries = vec![wgpu::BindGroupEntry {
        binding: 0,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: uniforms,
            offset: draft.params.start as u64,
            size: wgpu::BufferSize::new(size),
        }),
    }];
    entries.extend(views.iter().enumerate().map(|(i, view)| wgpu::BindGroupEntry {
        binding: i as u32 + 1,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &view.buffer,
            offset: view.offset(),
            // Whole vectors: tensors are aligned to more than that.
            size: wgpu::BufferSize::new(view.bytes().next_multiple_of(16)),
        }),
    }));
    gpu.created += 1;
    let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &gpu.compiled(draft.pipeline).get_bind_group_layout(0),
        entries: &entries,
    });
    Command { pipeline: draft.pipeline, group, workgroups: draft.groups }
}
