//! Central differences of a loss.

use moue::{
    Result,
    exec::{Executor, Program, cpu::CpuExecutor},
    graph::{Graph, Init},
    ops::{Emit, TensorId},
};

use crate::support::data::Array;

/// Half the distance between the two losses of a difference. The rule's error grows as its square, that of
/// rounding as its inverse; in float64 both stay below 1e-8 for losses of size 10.
const STEP: f64 = 1e-5;

/// A network under test with the values of its inputs.
pub(crate) struct Net {
    pub(crate) graph: Graph,
    values: Vec<(TensorId, Array)>,
    states: Vec<(String, Array)>,
}

impl Net {
    pub(crate) fn new() -> Self {
        Self { graph: Graph::new(), values: Vec::new(), states: Vec::new() }
    }

    /// An input of these values.
    pub(crate) fn input(&mut self, values: Array) -> TensorId {
        let id = self.graph.input(format!("input{}", self.values.len()), values.shape());
        self.values.push((id, values));
        id
    }

    /// Gives an input of the graph its values.
    pub(crate) fn give(&mut self, id: TensorId, values: Array) {
        self.values.push((id, values));
    }

    /// An input in [-1, 1).
    pub(crate) fn random(&mut self, dims: &[usize]) -> TensorId {
        let values = Array::random(&format!("random {}", self.values.len()), dims);
        self.input(values)
    }

    /// A state of these values.
    pub(crate) fn state(&mut self, values: Array) -> TensorId {
        let name = format!("state{}", self.states.len());
        let id = self.graph.state(&name, 1, values.shape(), Init::Fill(0.0));
        self.states.push((name, values));
        id
    }

    /// A parameter of random values.
    pub(crate) fn parameter(&mut self, dims: &[usize]) -> TensorId {
        let name = format!("parameter{}", self.states.len());
        let values = Array::random(&name, dims);
        let id = self.graph.parameter(&name, 1, values.shape(), Init::Fill(0.0));
        self.states.push((name, values));
        id
    }

    /// `Σ r·y` with fixed random r, a loss to which every element of y matters.
    pub(crate) fn weigh(&mut self, y: TensorId) -> Result<TensorId> {
        let shape = self.graph.tensor(y).shape.clone();
        let count = shape.elements();
        let r = self.random(shape.dims());
        let product = self.graph.multiply(y, r)?;
        let row = self.graph.reshape(product, [1, count].into())?;
        let ones = self.input(Array::filled(&[1, count], 1.0));
        let sum = self.graph.linear(row, ones, None, 1)?;
        self.graph.reshape(sum, [1].into())
    }

    /// The sum of the weighed tensors.
    pub(crate) fn weigh_all(&mut self, all: &[TensorId]) -> Result<TensorId> {
        let mut loss = self.weigh(all[0])?;
        for &y in &all[1..] {
            let more = self.weigh(y)?;
            loss = self.graph.add_tensors(loss, more)?;
        }
        Ok(loss)
    }

    /// Compares the gradients of `loss` with central differences, at every element or at 40 spread over each tensor.
    ///
    /// # Panics
    /// Where they differ.
    pub(crate) fn check(mut self, loss: TensorId, wrt: &[TensorId]) -> Result<()> {
        let gradients = self.graph.gradients(loss, wrt)?;
        self.graph.output(loss);
        let (mut executor, program) = self.start(&gradients)?;
        let analytic = gradients.iter().map(|&id| executor.read_f64(program, id)).collect::<Result<Vec<_>>>()?;
        for (&tensor, analytic) in wrt.iter().zip(&analytic) {
            self.check_tensor(&mut executor, program, loss, tensor, analytic)?;
        }
        Ok(())
    }

    /// Runs the network once.
    fn start(&mut self, outputs: &[TensorId]) -> Result<(CpuExecutor<f64>, Program)> {
        for &id in outputs {
            self.graph.output(id);
        }
        let mut executor = CpuExecutor::<f64>::new(Some(1))?;
        let program = executor.compile(&self.graph)?;
        for (id, values) in &self.values {
            executor.write_f64(program, *id, &values.data)?;
        }
        for (name, values) in &self.states {
            executor.write_variable_f64(name, &values.data)?;
        }
        executor.run(program)?;
        Ok((executor, program))
    }

    /// The values of some tensors.
    pub(crate) fn values_of(mut self, tensors: &[TensorId]) -> Result<Vec<Vec<f64>>> {
        let (mut executor, program) = self.start(tensors)?;
        tensors.iter().map(|&id| executor.read_f64(program, id)).collect()
    }

    fn check_tensor(
        &self,
        executor: &mut CpuExecutor<f64>,
        program: Program,
        loss: TensorId,
        tensor: TensorId,
        analytic: &[f64],
    ) -> Result<()> {
        let name = &self.graph.tensor(tensor).name;
        let root = self.graph.root(tensor);
        let given = self.values.iter().find(|(id, _)| *id == root).map(|(_, values)| values);
        let kept = self.states.iter().find(|(state, _)| state == name).map(|(_, values)| values);
        let values = given.or(kept).expect("an input or a parameter");
        assert_eq!(analytic.len(), values.data.len(), "elements of the gradient of {name}");
        let mut loss_with = |values: &[f64]| -> Result<f64> {
            if given.is_some() {
                executor.write_f64(program, root, values)?;
            } else {
                executor.write_variable_f64(name, values)?;
            }
            executor.run(program)?;
            Ok(executor.read_f64(program, loss)?[0])
        };
        for i in (0..values.data.len()).step_by(values.data.len().div_ceil(40)) {
            let mut changed = values.data.clone();
            changed[i] = values.data[i] + STEP;
            let above = loss_with(&changed)?;
            changed[i] = values.data[i] - STEP;
            let below = loss_with(&changed)?;
            let difference = (above - below) / (2.0 * STEP);
            let room = 1e-7 + 1e-7 * difference.abs();
            assert!(
                (analytic[i] - difference).abs() <= room,
                "d loss / d {name}[{i}] is {:e}, but the loss changes by {difference:e}",
                analytic[i]
            );
        }
        loss_with(&values.data).map(|_| ())
    }
}

#[test]
#[should_panic(expected = "but the loss changes by")]
fn a_wrong_gradient_is_seen() {
    let mut net = Net::new();
    let x = net.random(&[5]);
    // The kink of ReLU at 0 has no central difference that agrees with its gradient of 0.
    let zero = net.input(Array::zeros(&[5]));
    let y = net.graph.relu(zero).expect("a graph");
    let y = net.graph.add_tensors(x, y).expect("a graph");
    let loss = net.weigh(y).expect("a graph");
    net.check(loss, &[x, zero]).expect("a run");
}
