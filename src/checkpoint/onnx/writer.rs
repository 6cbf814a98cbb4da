//! The parts of an ONNX graph: values by name, operators, constants, weights.

use std::collections::{BTreeMap, BTreeSet};

use super::{Named, proto};
use crate::graph::{Graph, Node, Role};
use crate::nn::variables::{Tensors, part_shape};
use crate::ops::{Emit, TensorId, shape_error};
use crate::{Error, Result};

/// Writes a graph, operator by operator.
pub(super) struct Writer<'g> {
    graph: &'g Graph,
    /// The same graph for two images.
    twice: &'g Graph,
    tensors: &'g Tensors,
    /// The name of each value that is written.
    names: BTreeMap<TensorId, String>,
    /// The names of the results.
    outputs: BTreeMap<TensorId, &'static str>,
    nodes: Vec<proto::Node>,
    /// Results that are no tensor of the graph.
    more: Vec<proto::ValueInfo>,
    initialisers: BTreeMap<String, proto::Tensor>,
}

impl<'g> Writer<'g> {
    /// A writer of `one`, which is `twice` but for the number of images; it has the inputs so far.
    pub(super) fn new(one: &'g Named, twice: &'g Graph, tensors: &'g Tensors) -> Self {
        let (graph, outputs) = one;
        let inputs = graph.select(|role| matches!(role, Role::Input));
        Self {
            graph,
            twice,
            tensors,
            names: inputs.into_iter().map(|id| (id, graph.tensor(id).name.clone())).collect(),
            outputs: outputs.iter().map(|&(name, id)| (id, name)).collect(),
            nodes: vec![],
            more: vec![],
            initialisers: BTreeMap::new(),
        }
    }

    /// The graph once all its operators are written; `outputs` in the order of the file.
    pub(super) fn finish(mut self, outputs: &[(&'static str, TensorId)]) -> Result<proto::Graph> {
        for (_, id) in outputs {
            self.value(*id)?;
        }
        let graph = self.graph;
        let inputs = graph.select(|role| matches!(role, Role::Input));
        Ok(proto::Graph {
            name: Some("moue".into()),
            input: inputs.iter().map(|id| self.info(*id, &graph.tensor(*id).name)).collect(),
            output: outputs.iter().map(|(name, id)| self.info(*id, name)).chain(self.more.clone()).collect(),
            node: self.nodes,
            initializer: self.initialisers.into_values().collect(),
        })
    }

    /// The tensors that the results depend on.
    pub(super) fn needed(&self) -> BTreeSet<TensorId> {
        let mut needed: BTreeSet<_> = self.outputs.keys().map(|id| self.graph.root(*id)).collect();
        for node in self.graph.nodes().iter().rev() {
            if node.outputs.iter().any(|id| needed.contains(id)) {
                needed.extend(node.inputs.iter().map(|id| self.graph.root(*id)));
            }
        }
        needed
    }

    /// The sizes of a tensor, −1 for the one that grows with the number of images.
    pub(super) fn dims(&self, id: TensorId) -> Vec<i64> {
        let (one, two) = (self.graph.tensor(id).shape.dims(), self.twice.tensor(id).shape.dims());
        one.iter().zip(two).map(|(one, two)| if one == two { *one as i64 } else { -1 }).collect()
    }

    /// The sizes of a map `[N, C, H, W]` of one image.
    pub(super) fn nchw(&self, id: TensorId) -> [usize; 4] {
        self.graph.shape(id).nchw().expect("invariant: the op's shape rule has seen it")
    }

    /// The number of dimensions.
    pub(super) fn rank(&self, id: TensorId) -> usize {
        self.graph.shape(id).rank()
    }

    fn info(&self, id: TensorId, name: &str) -> proto::ValueInfo {
        info(name, &self.dims(id))
    }

    /// Makes a value a result, of these sizes, −1 for the number of images.
    pub(super) fn output(&mut self, name: &str, dims: &[i64]) {
        self.more.push(info(name, dims));
    }

    /// The name of a tensor's value, which is written first where that is still to be done.
    pub(super) fn value(&mut self, id: TensorId) -> Result<String> {
        if let Some(name) = self.names.get(&id) {
            return Ok(name.clone());
        }
        let graph = self.graph;
        let tensor = graph.tensor(id);
        let name = match &tensor.role {
            Role::View(of) => {
                let (value, shape) = (self.value(*of)?, self.dims(id));
                let shape = self.shape(&shape);
                let name = self.name_of(id);
                self.push("Reshape", vec![value, shape], &name, vec![]);
                name
            }
            Role::Constant(value) => {
                let dims = self.dims(id);
                if dims.contains(&-1) {
                    return Err(shape_error("onnx", "constants of a fixed size", &tensor.shape, "use an input"));
                }
                let values = vec![*value as f32; tensor.shape.elements()];
                self.floats(format!("constant/{}", id.index()), dims, &values)
            }
            Role::Parameter(variable) | Role::State(variable) => {
                let shape = part_shape(&tensor.shape, variable.parts.len());
                let parts = variable.parts.iter().map(|part| self.weight(part, &shape)).collect::<Result<Vec<_>>>()?;
                match &parts[..] {
                    [part] => part.clone(),
                    _ => {
                        let axis = proto::Attribute::int("axis", 0);
                        self.push("Concat", parts, &tensor.name, vec![axis]);
                        tensor.name.clone()
                    }
                }
            }
            Role::Input | Role::Activation | Role::Momentum(_) => {
                return Err(shape_error("onnx", "a value that an op before has made", &tensor.name, "check the graph"));
            }
        };
        self.names.insert(id, name.clone());
        Ok(name)
    }

    /// A weight under its published name.
    fn weight(&mut self, part: &str, shape: &[usize]) -> Result<String> {
        let Some((found, values)) = self.tensors.get(part).filter(|(found, _)| found == shape) else {
            return Err(Error::Data {
                what: "the model's tensors".into(),
                expected: format!("`{part}` {shape:?}"),
                found: self.tensors.get(part).map_or_else(|| "none".into(), |(found, _)| format!("{found:?}")),
                hint: "give a model file that fits its own architecture".into(),
            });
        };
        Ok(self.floats(part.into(), found.iter().map(|size| *size as i64).collect(), values))
    }

    /// Numbers under a name.
    pub(super) fn floats(&mut self, name: String, dims: Vec<i64>, values: &[f32]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initialise(name, dims, proto::FLOAT, raw)
    }

    fn initialise(&mut self, name: String, dims: Vec<i64>, data_type: i32, raw: Vec<u8>) -> String {
        let (data_type, raw_data) = (Some(data_type), Some(raw));
        let tensor = proto::Tensor { dims, data_type, name: Some(name.clone()), raw_data };
        self.initialisers.insert(name.clone(), tensor);
        name
    }

    /// One number.
    pub(super) fn number(&mut self, value: f64) -> String {
        self.floats(format!("number/{value}"), vec![], &[value as f32])
    }

    /// Sizes or axes: −1 stands for what the other sizes leave.
    pub(super) fn shape(&mut self, sizes: &[i64]) -> String {
        let name = format!("sizes/{}", sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
        let raw = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        self.initialise(name, vec![sizes.len() as i64], proto::INT64, raw)
    }

    /// One index.
    pub(super) fn index(&mut self, index: i64) -> String {
        self.initialise(format!("index/{index}"), vec![], proto::INT64, index.to_le_bytes().into())
    }

    /// An operator whose result is a tensor of the graph.
    pub(super) fn result(&mut self, op: &str, inputs: Vec<String>, id: TensorId, attributes: Vec<proto::Attribute>) {
        let name = self.name_of(id);
        self.push(op, inputs, &name, attributes);
        self.names.insert(id, name);
    }

    /// An operator on the way to such a result.
    pub(super) fn step(
        &mut self,
        node: &Node,
        op: &str,
        inputs: Vec<String>,
        attributes: Vec<proto::Attribute>,
    ) -> String {
        let name = format!("{}/{}/{op}/{}", node.scope, node.op.name(), self.nodes.len());
        self.push(op, inputs, &name, attributes);
        name
    }

    /// The same elements under another shape.
    pub(super) fn reshape(&mut self, node: &Node, value: String, sizes: &[i64]) -> String {
        let shape = self.shape(sizes);
        self.step(node, "Reshape", vec![value, shape], vec![])
    }

    fn name_of(&self, id: TensorId) -> String {
        match self.outputs.get(&id) {
            Some(name) => (*name).to_owned(),
            None => format!("{}/{}", self.graph.tensor(id).name, id.index()),
        }
    }

    /// An operator; returns the name of its result.
    pub(super) fn push(
        &mut self,
        op: &str,
        input: Vec<String>,
        output: &str,
        attribute: Vec<proto::Attribute>,
    ) -> String {
        let name = Some(format!("{op}/{}", self.nodes.len()));
        self.nodes.push(proto::Node {
            input,
            output: vec![output.to_owned()],
            name,
            op_type: Some(op.into()),
            attribute,
        });
        output.to_owned()
    }
}

fn info(name: &str, dims: &[i64]) -> proto::ValueInfo {
    let dim = dims.iter().map(|size| match size {
        -1 => proto::Dimension { value: None, name: Some("images".into()) },
        size => proto::Dimension { value: Some(*size), name: None },
    });
    let shape = Some(proto::TensorShape { dim: dim.collect() });
    let tensor = Some(proto::TensorType { elem_type: Some(proto::FLOAT), shape });
    proto::ValueInfo { name: Some(name.into()), kind: Some(proto::Type { tensor }) }
}
