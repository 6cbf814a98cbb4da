//! A network as a list of ops on tensors of known shapes, without a device.
//!
//! [`Graph`] is built once ([`build`]), differentiated by appending ops ([`grad`]), laid out ([`plan`]) and then
//! handed to an executor, which replays it.

pub mod build;
pub mod grad;
pub mod plan;

use std::collections::HashMap;

use crate::{
    Result,
    ops::{Emit, Multiply, Op, TensorId, shape_error},
    shape::Shape,
};

/// What a tensor is for; an activation comes and goes within a run, everything else stays.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// Written by the host before a run.
    Input,
    /// Trained. Kept by the executor under its name, shared by all its programs.
    Parameter(Variable),
    /// Updated by ops, not by gradients, such as a running mean. Kept by the executor under its name.
    State(Variable),
    /// The optimiser's velocity of this parameter. Kept by the executor under its name.
    Momentum(TensorId),
    /// Filled with one value.
    Constant(f64),
    /// The result of an op.
    Activation,
    /// The same elements as another tensor, under another shape.
    View(TensorId),
}

impl Role {
    /// Whether it is a parameter.
    #[must_use]
    pub fn is_parameter(&self) -> bool {
        matches!(self, Self::Parameter(_))
    }
}

/// A tensor that outlives a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// The names under which equal parts along the first dimension stand in files, in order: a stacked weight of
    /// nine branches has nine, most have one. None where it belongs to training, and to no network.
    pub parts: Vec<String>,
    /// The value before training.
    pub init: Init,
}

/// How a variable starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// One value.
    Fill(f64),
    /// Uniform in ±bound, from a stream named after the part.
    Uniform {
        /// The largest absolute value.
        bound: f64,
    },
}

/// A tensor of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Unique among the inputs and variables; for activations the op's scope and name.
    pub name: String,
    /// The sizes.
    pub shape: Shape,
    /// What it is for.
    pub role: Role,
}

/// An op in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The op and its attributes.
    pub op: Op,
    /// Read only.
    pub inputs: Vec<TensorId>,
    /// Written whole.
    pub outputs: Vec<TensorId>,
    /// Variables read and written in place.
    pub updates: Vec<TensorId>,
    /// The layer it belongs to, such as `branches.*.conv2`.
    pub scope: String,
}

/// What an op costs by its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that have to be moved in float32.
    pub bytes: u64,
}

/// A network: tensors, and ops in an order in which each reads only what is there.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
    outputs: Vec<TensorId>,
    constants: HashMap<(Vec<usize>, u64), TensorId>,
    scope: String,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tensor's name, shape and role.
    #[must_use]
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// All tensors, in order of their ids.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All ops, in order of execution.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What an op of this graph costs.
    #[must_use]
    pub fn work(&self, node: &Node) -> Work {
        let shapes = |ids: &[TensorId]| -> Vec<&Shape> { ids.iter().map(|id| &self.tensor(*id).shape).collect() };
        let (inputs, outputs, updates) = (shapes(&node.inputs), shapes(&node.outputs), shapes(&node.updates));
        let op = node.op.contract();
        Work { flops: op.flops(&inputs, &outputs), bytes: op.bytes(&inputs, &outputs, &updates) }
    }

    /// The tensors that can be read after a run.
    #[must_use]
    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    /// The tensor whose memory `id` uses: itself, or what it is a view of.
    #[must_use]
    pub fn root(&self, mut id: TensorId) -> TensorId {
        while let Role::View(of) = self.tensors[id.0].role {
            id = of;
        }
        id
    }

    /// The ids of all tensors of a kind, in order.
    pub fn select(&self, keep: impl Fn(&Role) -> bool) -> Vec<TensorId> {
        (0..self.tensors.len()).map(TensorId).filter(|id| keep(&self.tensor(*id).role)).collect()
    }

    /// The trained tensors, in order of creation.
    #[must_use]
    pub fn parameters(&self) -> Vec<TensorId> {
        self.select(|role| matches!(role, Role::Parameter(_)))
    }

    /// The tensor of this name among inputs and variables.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TensorId> {
        (0..self.tensors.len()).map(TensorId).find(|id| {
            let tensor = self.tensor(*id);
            tensor.name == name && !matches!(tensor.role, Role::Activation | Role::View(_) | Role::Constant(_))
        })
    }

    /// Names the layer that the following ops belong to, until the next call.
    pub fn set_scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// Keeps a tensor until the end of the run, so that it can be read.
    pub fn output(&mut self, id: TensorId) {
        if !self.outputs.contains(&id) {
            self.outputs.push(id);
        }
    }

    /// Adds a tensor.
    fn add(&mut self, name: String, shape: Shape, role: Role) -> TensorId {
        self.tensors.push(Tensor { name, shape, role });
        TensorId(self.tensors.len() - 1)
    }

    /// Appends an op that updates variables in place; returns its outputs.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the inputs do not fit.
    pub fn push(&mut self, op: Op, inputs: &[TensorId], updates: &[TensorId]) -> Result<Vec<TensorId>> {
        let shapes: Vec<&Shape> = inputs.iter().map(|id| &self.tensor(*id).shape).collect();
        let shapes = op.contract().infer(&shapes)?;
        if let Some(empty) = shapes.iter().find(|shape| shape.elements() == 0) {
            return Err(shape_error(op.contract().stem(), "outputs with elements", empty, "use larger inputs"));
        }
        let prefix = if self.scope.is_empty() { String::new() } else { format!("{}.", self.scope) };
        let outputs: Vec<_> = shapes
            .into_iter()
            .map(|shape| self.add(format!("{prefix}{}", op.name()), shape, Role::Activation))
            .collect();
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            updates: updates.to_vec(),
            scope: self.scope.clone(),
        });
        Ok(outputs)
    }
}

impl Emit for Graph {
    fn emit(&mut self, op: Op, inputs: &[TensorId]) -> Result<Vec<TensorId>> {
        self.push(op, inputs, &[])
    }

    fn shape(&self, tensor: TensorId) -> &Shape {
        &self.tensor(tensor).shape
    }

    fn constant_value(&self, tensor: TensorId) -> Option<f64> {
        match self.tensor(self.root(tensor)).role {
            Role::Constant(value) => Some(value),
            _ => None,
        }
    }

    fn unscaled(&self, tensor: TensorId) -> (TensorId, f64) {
        let node = self.nodes.iter().find(|node| node.outputs.contains(&tensor));
        let factors =
            node.filter(|node| node.op == Op::Multiply(Multiply)).map(|node| (node.inputs[0], node.inputs[1]));
        factors.and_then(|(a, b)| Some((a, self.constant_value(b)?))).unwrap_or((tensor, 1.0))
    }

    fn constant(&mut self, shape: Shape, value: f64) -> TensorId {
        let key = (shape.dims().to_vec(), value.to_bits());
        if let Some(&id) = self.constants.get(&key) {
            return id;
        }
        let id = self.add(format!("constant {value}"), shape, Role::Constant(value));
        self.constants.insert(key, id);
        id
    }

    fn reshape(&mut self, tensor: TensorId, shape: Shape) -> Result<TensorId> {
        let found = &self.tensor(tensor).shape;
        if *found == shape {
            return Ok(tensor);
        }
        if found.elements() != shape.elements() {
            let expected = format!("{} elements for {shape}", shape.elements());
            return Err(shape_error("reshape", expected, found, "keep the number of elements"));
        }
        let name = self.tensor(tensor).name.clone();
        Ok(self.add(name, shape, Role::View(tensor)))
    }
}
