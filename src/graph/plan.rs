//! Which ops run, and which memory each tensor uses: buffers are shared between activations whose lives do not
//! overlap.

use super::{Graph, Role};
use crate::ops::{Op, TensorId};

/// Where a tensor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing that runs touches it.
    Unused,
    /// A buffer of its own, under its name: inputs and constants of this program, variables of the executor.
    Own,
    /// The gradient that SGD applies to this parameter: alive until the end, never shared.
    Gradient(TensorId),
    /// A shared buffer.
    Slot(usize),
}

/// The layout of a graph's memory.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The ops that run, in order: those that an output or an update depends on.
    pub order: Vec<usize>,
    /// Each tensor's place, by its index; a view has its root's.
    pub places: Vec<Place>,
    /// The size of each shared buffer, in the unit of what was planned with, elements by default.
    pub slots: Vec<usize>,
}

impl Plan {
    /// Lays out a graph.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        Self::with_sizes(graph, |id| graph.tensor(id).shape.elements())
    }

    /// Lays out a graph whose tensors take so much of some unit.
    #[must_use]
    pub fn with_sizes(graph: &Graph, size: impl Fn(TensorId) -> usize) -> Self {
        let order = live_nodes(graph);
        let mut plan = Self { order, places: vec![Place::Unused; graph.tensors().len()], slots: Vec::new() };
        plan.place_fixed(graph);
        plan.place_activations(graph, size);
        for index in 0..plan.places.len() {
            plan.places[index] = plan.places[graph.root(TensorId(index)).index()];
        }
        plan
    }

    /// The elements of all shared buffers together.
    #[must_use]
    pub fn slot_elements(&self) -> usize {
        self.slots.iter().sum()
    }

    fn place_fixed(&mut self, graph: &Graph) {
        for &node in &self.order {
            let node = &graph.nodes()[node];
            for &id in node.inputs.iter().chain(&node.updates) {
                let root = graph.root(id);
                if !matches!(graph.tensor(root).role, Role::Activation) {
                    self.places[root.index()] = Place::Own;
                }
            }
            if let Op::Sgd(_) = node.op {
                for (&gradient, &parameter) in node.inputs[3..].iter().zip(&node.updates[1..]) {
                    let root = graph.root(gradient);
                    if matches!(graph.tensor(root).role, Role::Activation) && self.places[root.index()] == Place::Unused
                    {
                        self.places[root.index()] = Place::Gradient(parameter);
                    }
                }
            }
        }
        for &output in graph.outputs() {
            let root = graph.root(output);
            if !matches!(graph.tensor(root).role, Role::Activation) {
                self.places[root.index()] = Place::Own;
            }
        }
    }

    fn place_activations(&mut self, graph: &Graph, size: impl Fn(TensorId) -> usize) {
        let last = last_uses(graph, &self.order);
        let mut free: Vec<usize> = Vec::new();
        let order = self.order.clone();
        for (step, &node) in order.iter().enumerate() {
            let node = &graph.nodes()[node];
            for &output in &node.outputs {
                if self.places[output.index()] == Place::Unused {
                    let slot = self.take_slot(&mut free, size(output));
                    self.places[output.index()] = Place::Slot(slot);
                }
            }
            // Freed only after the whole op: an output never shares memory with an input of the same op.
            let mut ended: Vec<usize> = node
                .inputs
                .iter()
                .chain(&node.outputs)
                .map(|&id| graph.root(id).index())
                .filter(|&id| last[id] == Some(step))
                .collect();
            ended.sort_unstable();
            ended.dedup();
            for id in ended {
                if let Place::Slot(slot) = self.places[id] {
                    free.push(slot);
                }
            }
        }
    }

    /// The smallest free slot that fits, else the largest one grown, else a new one.
    fn take_slot(&mut self, free: &mut Vec<usize>, size: usize) -> usize {
        let fits = (0..free.len()).filter(|&i| self.slots[free[i]] >= size).min_by_key(|&i| self.slots[free[i]]);
        let best = fits.or_else(|| (0..free.len()).max_by_key(|&i| self.slots[free[i]]));
        match best {
            Some(i) => {
                let slot = free.swap_remove(i);
                self.slots[slot] = self.slots[slot].max(size);
                slot
            }
            None => {
                self.slots.push(size);
                self.slots.len() - 1
            }
        }
    }
}

/// The nodes that an output or an in-place update depends on, in order.
fn live_nodes(graph: &Graph) -> Vec<usize> {
    let mut needed = vec![false; graph.tensors().len()];
    for &output in graph.outputs() {
        needed[graph.root(output).index()] = true;
    }
    let mut order = Vec::new();
    for (index, node) in graph.nodes().iter().enumerate().rev() {
        let live = !node.updates.is_empty() || node.outputs.iter().any(|id| needed[id.index()]);
        if live {
            order.push(index);
            for &input in &node.inputs {
                needed[graph.root(input).index()] = true;
            }
        }
    }
    order.reverse();
    order
}

/// For each root the step after which its memory is free; `None` for outputs, which never are.
fn last_uses(graph: &Graph, order: &[usize]) -> Vec<Option<usize>> {
    let mut last = vec![None; graph.tensors().len()];
    for (step, &node) in order.iter().enumerate() {
        let node = &graph.nodes()[node];
        for &id in node.inputs.iter().chain(&node.outputs) {
            last[graph.root(id).index()] = Some(step);
        }
    }
    for &output in graph.outputs() {
        last[graph.root(output).index()] = None;
    }
    last
}
