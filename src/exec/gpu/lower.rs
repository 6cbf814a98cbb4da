//! From a graph to dispatches: each op's file appends its own through [`Lower`].

use std::{collections::HashSet, ops::Range};

use super::{
    adapter::STORAGE_BUFFERS,
    concat,
    device::Gpu,
    kept::Kept,
    memory::{ALIGNMENT, Tensors, Variables, View},
    partial_sums::{Job, Partials},
    shader::{Halves, Kernel, Params},
};
use crate::{
    Result,
    graph::{
        Graph, Node,
        plan::{Place, Plan},
    },
    ops::{TensorId, shape_error},
    shape::Shape,
};

/// What a binding shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    /// A tensor, or part of one.
    View(View),
    /// Part of the program's partial sums.
    Partials(Range<usize>),
    /// Part of the program's tables.
    Table(Range<usize>),
}

/// A storage binding of a dispatch.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) source: Source,
    pub(crate) writes: bool,
}

impl Operand {
    pub(crate) fn read(view: View) -> Self {
        Self { source: Source::View(view), writes: false }
    }

    pub(crate) fn write(view: View) -> Self {
        Self { source: Source::View(view), writes: true }
    }

    fn bytes(&self) -> u64 {
        match &self.source {
            Source::View(view) => view.bytes(),
            Source::Partials(range) | Source::Table(range) => 4 * range.len() as u64,
        }
    }

    /// Whether its elements are f16.
    fn is_half(&self) -> bool {
        matches!(&self.source, Source::View(view) if view.kept.is_half())
    }
}

/// A dispatch before its bind group is made.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) pipeline: usize,
    pub(crate) params: Range<usize>,
    pub(crate) operands: Vec<Operand>,
    pub(crate) groups: [u32; 3],
}

/// The dispatches of one op.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The op's variant, or `PartialSums`.
    pub(crate) op: &'static str,
    /// Its place in the graph.
    pub(crate) node: Option<usize>,
    pub(crate) dispatches: Range<usize>,
    /// What is complete after it.
    pub(crate) outputs: Vec<TensorId>,
    /// Bytes that it has to move where it has no place in the graph.
    pub(crate) bytes: u64,
}

/// A graph on its way to becoming a program.
pub(crate) struct Lower<'a> {
    pub(crate) gpu: &'a mut Gpu,
    pub(crate) variables: &'a Variables,
    pub(crate) graph: &'a Graph,
    pub(crate) plan: &'a Plan,
    pub(crate) tensors: Tensors,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) params: Vec<u8>,
    pub(crate) tables: Vec<u32>,
    pub(crate) partials: Partials,
    pub(crate) steps: Vec<Step>,
    used: HashSet<TensorId>,
    /// Where bindings of outputs that an op does not have point to.
    unused: Option<View>,
}

impl<'a> Lower<'a> {
    pub(crate) fn new(
        gpu: &'a mut Gpu,
        variables: &'a Variables,
        graph: &'a Graph,
        plan: &'a Plan,
        tensors: Tensors,
    ) -> Self {
        let inputs = plan.order.iter().flat_map(|&node| &graph.nodes()[node].inputs);
        let used = inputs.chain(graph.outputs()).map(|&id| graph.root(id)).collect();
        Self {
            gpu,
            variables,
            graph,
            plan,
            tensors,
            drafts: Vec::new(),
            params: Vec::new(),
            tables: Vec::new(),
            partials: Partials::default(),
            steps: Vec::new(),
            used,
            unused: None,
        }
    }

    /// Appends all ops of the plan.
    pub(crate) fn run(&mut self) -> Result<()> {
        let graph = self.graph;
        for &index in &self.plan.order {
            let node = &graph.nodes()[index];
            let waits = node.inputs.iter().any(|&id| self.partials.is_pending(graph.root(id)));
            if waits {
                self.sum_partials()?;
            }
            self.begin(node.op.name(), Some(index));
            let mark = self.partials.mark();
            super::lower_node(self, node)?;
            self.partials.release(mark);
            let partials = &self.partials;
            let done = node.outputs.iter().filter(|&&id| !partials.is_pending(id));
            let done: Vec<_> = done.chain(&node.updates).copied().collect();
            self.end(done);
            let is_gradient = |id: &TensorId| matches!(self.plan.places[id.index()], Place::Gradient(_));
            if !self.partials.pending().iter().all(is_gradient) {
                self.sum_partials()?;
            }
        }
        self.sum_partials()
    }

    pub(crate) fn begin(&mut self, op: &'static str, node: Option<usize>) {
        let at = self.drafts.len();
        self.steps.push(Step { op, node, dispatches: at..at, outputs: Vec::new(), bytes: 0 });
    }

    pub(crate) fn end(&mut self, outputs: Vec<TensorId>) {
        let end = self.drafts.len();
        let step = self.steps.last_mut().expect("invariant: a step was begun");
        step.dispatches.end = end;
        step.outputs = outputs;
    }

    /// Sums what is waiting, as a step of its own in the midst of the current one.
    pub(crate) fn sum_partials_within(&mut self) -> Result<()> {
        let Some(step) = self.steps.last().cloned() else { return Ok(()) };
        self.end(Vec::new());
        self.sum_partials()?;
        self.begin(step.op, step.node);
        Ok(())
    }

    pub(crate) fn shape(&self, id: TensorId) -> &'a Shape {
        &self.graph.tensor(id).shape
    }

    /// N, C, H, W of a tensor.
    pub(crate) fn nchw(&self, id: TensorId) -> [usize; 4] {
        self.shape(id).nchw().expect("invariant: the op's contract saw at most four dimensions")
    }

    pub(crate) fn elements(&self, id: TensorId) -> usize {
        self.shape(id).elements()
    }

    /// Whether anyone reads a tensor.
    pub(crate) fn is_used(&self, id: TensorId) -> bool {
        self.used.contains(&self.graph.root(id))
    }

    pub(crate) fn view(&self, id: TensorId) -> View {
        self.tensors.view(id).expect("invariant: a tensor of an op that runs has a place").clone()
    }

    pub(crate) fn read(&self, id: TensorId) -> Operand {
        Operand::read(self.view(id))
    }

    pub(crate) fn write(&self, id: TensorId) -> Operand {
        Operand::write(self.view(id))
    }

    /// Bindings for outputs that an op does not have, where a shader has them all: 64 elements each, never written.
    pub(crate) fn unused<const K: usize>(&mut self) -> Result<[Operand; K]> {
        let elements = K * ALIGNMENT;
        let view = match self.unused.take() {
            Some(view) if view.elements >= elements => view,
            _ => View::whole(self.tensors.buffer(self.gpu, "unused outputs", elements)?, elements),
        };
        self.unused = Some(view.clone());
        Ok(std::array::from_fn(|i| Operand::write(view.range(i * ALIGNMENT..(i + 1) * ALIGNMENT))))
    }

    /// One binding that shows several small tensors, and where each starts in it. Tensors of different buffers are
    /// copied beside each other first, and may then only be read.
    pub(crate) fn read_together(&mut self, ids: &[TensorId]) -> Result<(Operand, Vec<u32>)> {
        let views: Vec<_> = ids.iter().map(|&id| self.view(id)).collect();
        if let Some((shown, at)) = together(&views) {
            return Ok((Operand::read(shown), at));
        }
        let mut at = Vec::with_capacity(views.len());
        let mut next = 0;
        for view in &views {
            at.push(next as u32);
            next += view.elements.next_multiple_of(ALIGNMENT);
        }
        let copies = View::whole(self.tensors.buffer(self.gpu, "copies", next)?, next);
        for (view, &at) in views.into_iter().zip(&at) {
            let to = copies.range(at as usize..at as usize + view.elements);
            concat::copy(self, view, to)?;
        }
        Ok((Operand::read(copies), at))
    }

    /// As [`Lower::read_together`], to be changed in place: states that one program declared together.
    pub(crate) fn update_together(&self, ids: &[TensorId]) -> Result<(Operand, Vec<u32>)> {
        let views: Vec<_> = ids.iter().map(|&id| self.view(id)).collect();
        together(&views).map(|(shown, at)| (Operand::write(shown), at)).ok_or_else(|| {
            let expected = "states that one program declared together";
            shape_error("compile", expected, "states of two programs", "clear the executor first")
        })
    }

    /// The most elements that a binding of part of a tensor may show.
    fn most_elements(&self) -> usize {
        (self.gpu.max_binding / 4) as usize - ALIGNMENT
    }

    /// Ranges of images such that the part of each tensor [n, …] fits one binding.
    pub(crate) fn image_chunks(&self, tensors: &[TensorId], n: usize) -> Result<Vec<Range<usize>>> {
        let largest = tensors.iter().map(|&id| self.elements(id)).max().unwrap_or(0);
        if 4 * largest as u64 <= self.gpu.max_binding {
            return Ok(std::iter::once(0..n).collect());
        }
        let per_image = largest / n;
        let most = self.most_elements() / per_image;
        if most == 0 {
            let what = format!("one image of a tensor of {}", self.where_now());
            return Err(self.gpu.too_large(what, 4 * per_image as u64, self.gpu.max_binding));
        }
        // Equal parts, so that the last is no remnant.
        let chunk = n.div_ceil(n.div_ceil(most));
        Ok((0..n).step_by(chunk).map(|first| first..(first + chunk).min(n)).collect())
    }

    /// Ranges of elements, aligned, such that each fits one binding.
    pub(crate) fn element_chunks(&self, elements: usize) -> Vec<Range<usize>> {
        if 4 * elements as u64 <= self.gpu.max_binding {
            return std::iter::once(0..elements).collect();
        }
        let most = self.most_elements() / ALIGNMENT * ALIGNMENT;
        (0..elements).step_by(most).map(|first| first..(first + most).min(elements)).collect()
    }

    /// The images `range` of a tensor of `n`: what to bind, and where in it the first image starts.
    fn images(&self, id: TensorId, n: usize, range: &Range<usize>) -> (View, u32) {
        let view = self.view(id);
        let per_image = view.elements / n;
        let start = range.start * per_image;
        let aligned = start / view.alignment() * view.alignment();
        (view.range(aligned..range.end * per_image), (start - aligned) as u32)
    }

    pub(crate) fn read_images(&self, id: TensorId, n: usize, range: &Range<usize>) -> (Operand, u32) {
        let (view, at) = self.images(id, n, range);
        (Operand::read(view), at)
    }

    pub(crate) fn write_images(&self, id: TensorId, n: usize, range: &Range<usize>) -> (Operand, u32) {
        let (view, at) = self.images(id, n, range);
        (Operand::write(view), at)
    }

    /// Adds a table of numbers known now.
    pub(crate) fn table(&mut self, numbers: &[u32]) -> Operand {
        self.tables.resize(self.tables.len().next_multiple_of(ALIGNMENT), 0);
        let start = self.tables.len();
        self.tables.extend_from_slice(numbers);
        Operand { source: Source::Table(start..self.tables.len()), writes: false }
    }

    /// Room for partial sums, until [`Lower::sum_later`] or the end of the op.
    pub(crate) fn partial(&mut self, elements: usize) -> Result<Range<usize>> {
        if self.partials.would_overflow(elements, self.gpu.max_binding) {
            self.sum_partials_within()?;
        }
        Ok(self.partials.take(elements))
    }

    /// Has `count` partial results summed into a tensor before anyone reads it.
    pub(crate) fn sum_later(&mut self, into: TensorId, from: usize, count: usize, stride: usize) {
        let view = self.view(into);
        self.partials.push(Job { tensor: into, view, from, count, stride });
    }

    /// The gradients of a segment's parameters.
    pub(crate) fn gradients(&mut self, segment: usize) -> Result<View> {
        self.tensors.segment(self.gpu, self.variables, segment)
    }

    /// Where the op being lowered stands in the network.
    pub(crate) fn where_now(&self) -> String {
        let node = self.steps.last().and_then(|step| step.node).map(|node| &self.graph.nodes()[node]);
        node.map_or_else(|| "the network".to_owned(), describe)
    }

    /// Appends a dispatch.
    pub(crate) fn dispatch<P: Params>(
        &mut self,
        mut kernel: Kernel,
        params: P,
        mut operands: Vec<Operand>,
        groups: [u32; 3],
    ) -> Result<()> {
        debug_assert!(P::SHADERS.contains(&kernel.source.name));
        debug_assert!(operands.len() <= STORAGE_BUFFERS as usize);
        for operand in &operands {
            let bytes = operand.bytes();
            if bytes > self.gpu.max_binding {
                let what = format!("a tensor of {}", self.where_now());
                return Err(self.gpu.too_large(what, bytes, self.gpu.max_binding));
            }
        }
        if let Some(&most) = groups.iter().find(|&&count| count > 65_535) {
            let what = format!("the grid of {} (workgroups)", self.where_now());
            return Err(self.gpu.too_large(what, most.into(), 65_535));
        }
        // Of those that an op reads all are f16, or none is; so of those that it writes.
        let some = |writes| operands.iter().any(|operand| operand.writes == writes && operand.is_half());
        kernel.halves = Halves { read: some(false), written: some(true) };
        self.separate(&mut operands)?;
        let pipeline = self.gpu.pipeline(&kernel)?;
        self.params.resize(self.params.len().next_multiple_of(Gpu::ALIGNMENT), 0);
        let start = self.params.len();
        self.params.extend_from_slice(bytemuck::bytes_of(&params));
        let params = start..self.params.len();
        self.drafts.push(Draft { pipeline, params, operands, groups });
        Ok(())
    }

    /// Copies what a dispatch would read from a buffer that it also writes: WebGPU forbids that even where the
    /// parts do not overlap.
    fn separate(&mut self, operands: &mut [Operand]) -> Result<()> {
        for i in 0..operands.len() {
            let Source::View(view) = &operands[i].source else { continue };
            let shared = |other: &Operand| {
                other.writes && matches!(&other.source, Source::View(written) if written.buffer == view.buffer)
            };
            if operands[i].writes || !operands.iter().any(shared) {
                continue;
            }
            debug_assert_eq!(view.kept, Kept::F32, "an op's results are never in the buffer of a map that it reads");
            let copy = View::whole(self.tensors.buffer(self.gpu, "copy", view.elements)?, view.elements);
            concat::copy(self, view.clone(), copy.clone())?;
            operands[i].source = Source::View(copy);
        }
        Ok(())
    }
}

/// The part of a buffer that shows all of some views, and where each starts in it; `None` for views of different
/// buffers.
fn together(views: &[View]) -> Option<(View, Vec<u32>)> {
    let first = views.first()?;
    if views.iter().any(|view| view.buffer != first.buffer || view.kept != first.kept) {
        return None;
    }
    let start = views.iter().map(|view| view.at).min()?;
    let end = views.iter().map(|view| view.at + view.elements).max()?;
    let at = views.iter().map(|view| (view.at - start) as u32).collect();
    Some((View { at: start, elements: end - start, ..first.clone() }, at))
}

/// An op by its layer, for messages.
pub(crate) fn describe(node: &Node) -> String {
    if node.scope.is_empty() { node.op.name().to_owned() } else { format!("{}.{}", node.scope, node.op.name()) }
}
