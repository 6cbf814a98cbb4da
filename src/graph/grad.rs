//! Reverse-mode differentiation: appends to a graph the ops that compute gradients.

use super::{Graph, Role};
use crate::{
    Result,
    ops::{Contribution, Emit, GradArgs, Op, TensorId, WeightedSum, shape_error},
    shape::Shape,
};

impl Graph {
    /// Appends the gradients of `loss` `[1]` with respect to the tensors `wrt`; returns them in order, each of its
    /// tensor's shape.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the loss is not one number, an op on the way has no gradient rule, or the loss
    /// does not depend on one of `wrt`.
    pub fn gradients(&mut self, loss: TensorId, wrt: &[TensorId]) -> Result<Vec<TensorId>> {
        if self.tensor(loss).shape.elements() != 1 {
            return Err(shape_error("gradients", "a loss of one number", &self.tensor(loss).shape, "sum it"));
        }
        let forward = self.nodes.len();
        let needed = self.reachable(wrt, forward);
        let mut gradients: Vec<Option<TensorId>> = vec![None; self.tensors.len()];
        let one = self.constant(Shape::new(&[1]), 1.0);
        let scope = std::mem::take(&mut self.scope);
        self.deposit(&mut gradients, loss, Contribution::Add(one))?;
        for index in (0..forward).rev() {
            self.differentiate(index, &needed, &mut gradients)?;
        }
        self.scope = scope;
        wrt.iter()
            .map(|&id| match gradients[self.root(id).0] {
                Some(gradient) => self.reshape(gradient, self.tensor(id).shape.clone()),
                None => {
                    let name = self.tensor(id).name.clone();
                    Err(shape_error("gradients", "a loss that depends on it", name, "freeze it or leave it out"))
                }
            })
            .collect()
    }

    fn differentiate(&mut self, index: usize, needed: &[bool], gradients: &mut [Option<TensorId>]) -> Result<()> {
        let node = self.nodes[index].clone();
        let output_grads: Vec<_> = node
            .outputs
            .iter()
            .map(|&id| match gradients[id.0] {
                Some(gradient) => self.reshape(gradient, self.tensor(id).shape.clone()).map(Some),
                None => Ok(None),
            })
            .collect::<Result<_>>()?;
        let wanted: Vec<_> = node.inputs.iter().map(|&id| needed[self.root(id).0]).collect();
        if output_grads.iter().all(Option::is_none) || !wanted.contains(&true) {
            return Ok(());
        }
        let input_grads = node
            .inputs
            .iter()
            .map(|&id| match gradients[self.root(id).0] {
                Some(gradient) => self.reshape(gradient, self.tensor(id).shape.clone()).map(Some),
                None => Ok(None),
            })
            .collect::<Result<_>>()?;
        self.scope.clone_from(&node.scope);
        let mut args = GradArgs {
            emit: self,
            inputs: &node.inputs,
            outputs: &node.outputs,
            output_grads: &output_grads,
            wanted: &wanted,
            input_grads,
            contributions: vec![None; node.inputs.len()],
        };
        node.op.contract().grad(&mut args)?;
        let contributions = std::mem::take(&mut args.contributions);
        for ((contribution, &input), wanted) in contributions.into_iter().zip(&node.inputs).zip(wanted) {
            if let (Some(contribution), true) = (contribution, wanted) {
                self.deposit(gradients, input, contribution)?;
            }
        }
        Ok(())
    }

    /// Adds a contribution to the gradient of a tensor's root.
    fn deposit(&mut self, gradients: &mut [Option<TensorId>], of: TensorId, contribution: Contribution) -> Result<()> {
        let root = self.root(of);
        let shape = self.tensor(root).shape.clone();
        gradients[root.0] = Some(match (contribution, gradients[root.0]) {
            (Contribution::Add(new), Some(so_far)) => {
                let new = self.reshape(new, shape)?;
                self.emit(Op::from(WeightedSum { weights: vec![1.0, 1.0], activation: None }), &[so_far, new])?[0]
            }
            (Contribution::Add(new) | Contribution::Replace(new), _) => self.reshape(new, shape)?,
        });
        Ok(())
    }

    /// Which tensors depend on `wrt`, itself included.
    fn reachable(&self, wrt: &[TensorId], forward: usize) -> Vec<bool> {
        let mut needed = vec![false; self.tensors.len()];
        for &id in wrt {
            needed[self.root(id).0] = true;
        }
        for node in &self.nodes[..forward] {
            if node.inputs.iter().any(|&id| needed[self.root(id).0]) {
                for &output in &node.outputs {
                    needed[output.0] = true;
                }
            }
        }
        debug_assert!(self.tensors.iter().enumerate().all(|(i, t)| !matches!(t.role, Role::View(_)) || !needed[i]));
        needed
    }
}
