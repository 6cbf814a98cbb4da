//! Variables under their names in files: a stacked tensor is many parts, one for each branch.

use std::collections::BTreeMap;

use crate::{
    Error, Result,
    exec::Executor,
    graph::{Graph, Init, Variable},
    ops::TensorId,
    rng::Rng,
    shape::Shape,
};

/// Tensors by their PyTorch names: shape and row-major values.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Where the values of variables come from, by the names of their parts.
pub trait Source {
    /// A tensor's shape.
    fn shape(&self, name: &str) -> Option<&[usize]>;
    /// Appends the values, row-major, of a tensor that is there.
    fn append(&self, name: &str, values: &mut Vec<f32>);
}

impl Source for Tensors {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.get(name).map(|(shape, _)| &**shape)
    }

    fn append(&self, name: &str, values: &mut Vec<f32>) {
        if let Some((_, tensor)) = self.get(name) {
            values.extend_from_slice(tensor);
        }
    }
}

/// A variable of a graph, with what is needed to take it apart.
#[derive(Debug, Clone)]
pub struct Stacked<'g> {
    /// Its name in the graph.
    pub name: &'g str,
    /// Its parts' names and its start.
    pub variable: &'g Variable,
    /// The shape of one part.
    pub part_shape: Vec<usize>,
    /// Whether it is trained.
    pub trained: bool,
}

impl Stacked<'_> {
    /// The number of elements of one part.
    #[must_use]
    pub fn part_elements(&self) -> usize {
        self.part_shape.iter().product()
    }
}

/// All parameters and states of a graph that files have, in order.
#[must_use]
pub fn stacked(graph: &Graph) -> Vec<Stacked<'_>> {
    (0..graph.tensors().len())
        .map(TensorId)
        .filter_map(|id| {
            let (tensor, variable) = (graph.tensor(id), graph.variable(id)?);
            (!variable.parts.is_empty()).then(|| Stacked {
                name: &tensor.name,
                variable,
                part_shape: part_shape(&tensor.shape, variable.parts.len()),
                trained: matches!(tensor.role, crate::graph::Role::Parameter(_)),
            })
        })
        .collect()
}

/// The shape of one of `parts` equal parts along the first dimension.
#[must_use]
pub fn part_shape(shape: &Shape, parts: usize) -> Vec<usize> {
    let mut dims = shape.dims().to_vec();
    dims[0] /= parts;
    dims
}

/// The start of training: each part from a stream named after it, so that a branch starts the same however many
/// others there are.
#[must_use]
pub fn initial(graph: &Graph, seed: u64) -> Tensors {
    let mut tensors = Tensors::new();
    for entry in stacked(graph) {
        for part in &entry.variable.parts {
            let count = entry.part_elements();
            let values = match entry.variable.init {
                Init::Fill(value) => vec![value as f32; count],
                Init::Uniform { bound } => {
                    let mut rng = Rng::named(part, &[seed]);
                    (0..count).map(|_| rng.range(-bound, bound) as f32).collect()
                }
            };
            tensors.insert(part.clone(), (entry.part_shape.clone(), values));
        }
    }
    tensors
}

/// Writes every variable of `graph` from its parts; tensors the graph does not know are left alone.
///
/// # Errors
/// [`Error::Data`] that lists all missing and misshapen tensors at once; nothing is written then.
pub fn write(executor: &mut dyn Executor, graph: &Graph, tensors: &dyn Source) -> Result<()> {
    let mut wrong = Vec::new();
    let entries = stacked(graph);
    for entry in &entries {
        for part in &entry.variable.parts {
            match tensors.shape(part) {
                None => wrong.push(format!("{part} is missing")),
                Some(shape) if shape != entry.part_shape => {
                    wrong.push(format!("{part} is {shape:?} instead of {:?}", entry.part_shape));
                }
                Some(_) => {}
            }
        }
    }
    if !wrong.is_empty() {
        return Err(Error::Data {
            what: "the model's tensors".into(),
            expected: format!("{} of the architecture", entries.iter().map(|e| e.variable.parts.len()).sum::<usize>()),
            found: wrong.join(", "),
            hint: "give the options the model was trained with".into(),
        });
    }
    for entry in entries {
        let mut values = Vec::with_capacity(entry.part_elements() * entry.variable.parts.len());
        entry.variable.parts.iter().for_each(|part| tensors.append(part, &mut values));
        executor.write_variable(entry.name, &values)?;
    }
    start_training_states(executor, graph)
}

/// Writes the states that no file has, as training starts: SGD's flag, sums.
fn start_training_states(executor: &mut dyn Executor, graph: &Graph) -> Result<()> {
    for id in (0..graph.tensors().len()).map(TensorId) {
        let tensor = graph.tensor(id);
        if let Some(Variable { parts, init: Init::Fill(value) }) = graph.variable(id)
            && parts.is_empty()
        {
            executor.write_variable(&tensor.name, &vec![*value as f32; tensor.shape.elements()])?;
        }
    }
    Ok(())
}

/// Reads every variable of `graph`, in parts.
///
/// # Errors
/// [`Error::Device`] where the device fails.
pub fn read(executor: &mut dyn Executor, graph: &Graph) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for entry in stacked(graph) {
        let values = executor.read_variable(entry.name)?;
        split(&mut tensors, &entry, "", &values);
    }
    Ok(tensors)
}

/// Reads the momenta, under the parts' names with `.momentum` behind.
///
/// # Errors
/// [`Error::Device`] where the device fails.
pub fn read_momenta(executor: &mut dyn Executor, graph: &Graph) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for entry in stacked(graph).into_iter().filter(|entry| entry.trained) {
        let values = executor.read_variable(&format!("{}.momentum", entry.name))?;
        split(&mut tensors, &entry, ".momentum", &values);
    }
    Ok(tensors)
}

/// Writes the momenta; those that are not given become zero.
///
/// # Errors
/// [`Error::Device`] where the device fails.
pub fn write_momenta(executor: &mut dyn Executor, graph: &Graph, tensors: &Tensors) -> Result<()> {
    for entry in stacked(graph).into_iter().filter(|entry| entry.trained) {
        let count = entry.part_elements();
        let mut values = Vec::with_capacity(count * entry.variable.parts.len());
        for part in &entry.variable.parts {
            match tensors.get(&format!("{part}.momentum")) {
                Some((_, momentum)) if momentum.len() == count => values.extend(momentum),
                _ => values.resize(values.len() + count, 0.0),
            }
        }
        executor.write_variable(&format!("{}.momentum", entry.name), &values)?;
    }
    Ok(())
}

fn split(tensors: &mut Tensors, entry: &Stacked<'_>, suffix: &str, values: &[f32]) {
    for (part, values) in entry.variable.parts.iter().zip(values.chunks(entry.part_elements())) {
        tensors.insert(format!("{part}{suffix}"), (entry.part_shape.clone(), values.to_vec()));
    }
}
