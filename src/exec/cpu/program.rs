//! A graph prepared for the CPU: kernels and the buffers they work on.

use super::{
    Scalar,
    kernel::{Held, Io, Kernel, Span},
    memory::{Memory, grow},
    prepare::prepare,
    simd::LANES,
    tasks::{aligned, carve},
};
use crate::{
    Result,
    graph::{
        Graph, Role, Work,
        plan::{Place, Plan},
    },
    ops::{TensorId, shape_error},
    shape::Shape,
};

/// A compiled graph.
pub struct Compiled<T> {
    pub(super) steps: Vec<Step<T>>,
    /// Inputs and variables that are there before a run.
    pub(super) given: Vec<(String, Span)>,
    /// Elements of the buffers that belong to this program alone.
    pub(super) elements: usize,
    /// Whether a run changes variables.
    pub(super) updates: bool,
    tensors: Vec<Tensor>,
}

/// What the host may do with a tensor.
struct Tensor {
    name: String,
    /// The tensor that this is a view of, or itself.
    root: TensorId,
    len: usize,
    span: Option<Span>,
    written_by_host: bool,
    read_by_host: bool,
}

/// An op with its buffers.
pub(super) struct Step<T> {
    /// Scope and op.
    pub(super) name: String,
    pub(super) op: &'static str,
    pub(super) work: Work,
    /// Outputs, then updates.
    pub(super) written: Vec<(String, Span)>,
    kernel: Box<dyn Kernel<T>>,
    kept: Option<Kept<T>>,
    inputs: Vec<Span>,
    held: Vec<Held<T>>,
}

/// What a kernel derived from the parameters, and which state of the variables it belongs to.
struct Kept<T> {
    data: Vec<T>,
    version: Option<u64>,
}

impl<T: Scalar> Kept<T> {
    fn new(memory: &mut Memory<T>, len: usize) -> Result<Self> {
        let mut data = Vec::new();
        grow(&mut data, "filters in another layout", len + LANES, T::ZERO)?;
        memory.created += 1;
        Ok(Self { data, version: None })
    }
}

impl<T: Scalar> Step<T> {
    /// Runs the op. Buffers that it writes leave the arena meanwhile, so that inputs can be borrowed beside them.
    pub(super) fn run(&mut self, arena: &mut [Vec<T>], scratch: &mut [T], version: u64, threads: usize) {
        for (held, (_, span)) in self.held.iter_mut().zip(&self.written) {
            held.data = std::mem::take(&mut arena[span.buffer]);
        }
        let mut scratch = aligned(scratch);
        let needed = self.kernel.derived();
        let (derived, fresh) = match &mut self.kept {
            Some(kept) => {
                let fresh = kept.version.replace(version) == Some(version);
                (&mut aligned(&mut kept.data)[..needed], fresh)
            }
            None => (carve(&mut scratch, needed), false),
        };
        let (inputs, held) = (&self.inputs, &mut self.held);
        let mut io = Io { arena, inputs, held, scratch, derived: &[], threads };
        if !fresh && needed > 0 {
            self.kernel.derive(&io, derived);
        }
        io.derived = derived;
        self.kernel.run(&mut io);
        for (held, (_, span)) in self.held.iter_mut().zip(&self.written) {
            arena[span.buffer] = std::mem::take(&mut held.data);
        }
    }
}

impl<T: Scalar> Compiled<T> {
    pub(super) fn new(graph: &Graph, plan: &Plan, memory: &mut Memory<T>, threads: usize) -> Result<Self> {
        let own = |memory: &Memory<T>| -> usize {
            let variables: usize = memory.variables.values().map(|span| span.len).sum();
            memory.arena.iter().map(Vec::len).sum::<usize>() - variables
        };
        let before = own(memory);
        let spans = allocate(graph, plan, memory)?;
        let span = |id: TensorId| {
            let span = spans[graph.root(id).index()].expect("invariant: the plan places all that runs");
            Span { len: graph.tensor(id).shape.elements(), ..span }
        };
        let updates = plan.order.iter().any(|&node| !graph.nodes()[node].updates.is_empty());
        let mut steps = Vec::with_capacity(plan.order.len());
        for &node in &plan.order {
            let node = &graph.nodes()[node];
            let shapes = |ids: &[TensorId]| -> Vec<&Shape> { ids.iter().map(|id| &graph.tensor(*id).shape).collect() };
            let (inputs, outputs) = (shapes(&node.inputs), shapes(&node.outputs));
            let kernel = prepare::<T>(&node.op, &inputs, &outputs, updates)?;
            let parameters = node.inputs.iter().skip(1).map(|&id| &graph.tensor(graph.root(id)).role);
            let keeps = !updates && kernel.keeps_derived() && parameters.into_iter().all(Role::is_parameter);
            let kept = if keeps { Some(Kept::new(memory, kernel.derived())?) } else { None };
            let derived = if keeps { 0 } else { kernel.derived() };
            let needed = kernel.scratch(threads) + derived + LANES;
            if needed > memory.scratch.len() {
                memory.created += 1;
                grow(&mut memory.scratch, "scratch memory", needed, T::ZERO)?;
            }
            let written = node.outputs.iter().chain(&node.updates);
            let written: Vec<_> = written.map(|id| (graph.tensor(*id).name.clone(), span(*id))).collect();
            let scope = if node.scope.is_empty() { String::new() } else { format!("{}.", node.scope) };
            steps.push(Step {
                name: format!("{scope}{}", node.op.name()),
                op: node.op.name(),
                work: graph.work(node),
                kernel,
                kept,
                inputs: node.inputs.iter().map(|id| span(*id)).collect(),
                held: written.iter().map(|(_, span)| Held { data: Vec::new(), len: span.len }).collect(),
                written,
            });
        }
        let given = graph
            .select(|role| !matches!(role, Role::Activation | Role::View(_) | Role::Constant(_)))
            .into_iter()
            .filter_map(|id| Some((graph.tensor(id).name.clone(), spans[id.index()]?)))
            .collect();
        let outputs: Vec<_> = graph.outputs().iter().map(|id| graph.root(*id)).collect();
        let tensors = (0..graph.tensors().len()).map(|index| {
            let (id, root) = (TensorId(index), graph.root(TensorId(index)));
            let tensor = graph.tensor(id);
            let len = tensor.shape.elements();
            Tensor {
                name: tensor.name.clone(),
                root,
                len,
                span: spans[root.index()].map(|span| Span { len, ..span }),
                written_by_host: matches!(graph.tensor(root).role, Role::Input),
                read_by_host: outputs.contains(&root) || !matches!(plan.places[root.index()], Place::Slot(_)),
            }
        });
        let tensors = tensors.collect();
        let kept: usize = steps.iter().filter_map(|step| Some(step.kept.as_ref()?.data.len())).sum();
        Ok(Self { tensors, given, elements: own(memory) - before + kept, updates, steps })
    }

    fn tensor(&self, id: TensorId) -> Result<&Tensor> {
        let unknown =
            || shape_error("program", "a tensor of the compiled graph", id.index(), "use that graph's tensors");
        self.tensors.get(id.index()).ok_or_else(unknown)
    }

    /// An input that is no view, and its place if an op reads it.
    pub(super) fn writable(&self, id: TensorId, len: usize) -> Result<Option<(TensorId, Span)>> {
        let tensor = self.tensor(id)?;
        if !tensor.written_by_host {
            return Err(shape_error("write", "an input", &tensor.name, "write variables by their name"));
        }
        if len != tensor.len {
            let expected = format!("{} values for {}", tensor.len, tensor.name);
            return Err(shape_error("write", expected, len, "give one value for each element"));
        }
        Ok(tensor.span.map(|span| (tensor.root, span)))
    }

    /// The place of an output, a gradient, an input or a variable.
    pub(super) fn readable(&self, id: TensorId) -> Result<Span> {
        let tensor = self.tensor(id)?;
        let kept = tensor.span.filter(|_| tensor.read_by_host);
        let error = || shape_error("read", "an output of the graph", &tensor.name, "declare it with Graph::output");
        kept.ok_or_else(error)
    }
}

/// Gives each tensor that runs its buffer.
fn allocate<T: Scalar>(graph: &Graph, plan: &Plan, memory: &mut Memory<T>) -> Result<Vec<Option<Span>>> {
    let mut slots = Vec::with_capacity(plan.slots.len());
    for &len in &plan.slots {
        slots.push(memory.buffer("activations", len, T::ZERO)?);
    }
    let mut spans: Vec<Option<Span>> = vec![None; graph.tensors().len()];
    for (index, tensor) in graph.tensors().iter().enumerate() {
        let len = tensor.shape.elements();
        spans[index] = match (plan.places[index], &tensor.role) {
            (Place::Unused, _) | (_, Role::View(_)) => None,
            (Place::Slot(slot), _) => Some(slots[slot]),
            (Place::Own, Role::Constant(value)) => Some(memory.buffer(&tensor.name, len, T::of(*value))?),
            (Place::Own, Role::Parameter(_) | Role::State(_) | Role::Momentum(_)) => {
                Some(memory.variable(&tensor.name, len)?)
            }
            (Place::Own | Place::Gradient(_), _) => Some(memory.buffer(&tensor.name, len, T::ZERO)?),
        };
    }
    Ok(spans)
}
