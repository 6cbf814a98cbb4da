//! The ops as methods of [`Graph`]: what a network is written with.

use super::{Graph, Init, Role, Variable};
use crate::{
    Result,
    ops::{
        Activation, Augment, AxisRepeat, AxisSum, BatchNorm, BatchNormEval, ChannelAttention, ChannelGate, Concat,
        Conv2d, CrossEntropy, Determinant, Emit, Function, GlobalPool, MixtureCrossEntropy, Multiply, Objective, Op,
        Patches, Pool2d, Pooling, RunningSums, Sgd, Similarity, Slice, SpatialGate, SpatialGateEval, TensorId,
        UnitLength, WeightedSum, running_sums::MOST_INPUTS, shape_error,
    },
    shape::Shape,
};

/// What stands for a part's number in a name: counted from 0, or from 1.
pub(crate) const PART: [char; 2] = ['*', '#'];

impl Graph {
    /// A tensor that the host writes before each run.
    pub fn input(&mut self, name: impl Into<String>, shape: impl Into<Shape>) -> TensorId {
        self.add(name.into(), shape.into(), Role::Input)
    }

    /// A trained tensor. `name` may hold one `*` or `#`: then it is stacked from `parts` equal parts, whose names have
    /// the part's number in its place, counted from 0 for `*` and from 1 for `#`.
    pub fn parameter(&mut self, name: &str, parts: usize, shape: impl Into<Shape>, init: Init) -> TensorId {
        let variable = Variable { parts: part_names(name, parts), init };
        self.add(name.to_owned(), shape.into(), Role::Parameter(variable))
    }

    /// A tensor that ops update in place; named as [`Graph::parameter`].
    pub fn state(&mut self, name: &str, parts: usize, shape: impl Into<Shape>, init: Init) -> TensorId {
        let variable = Variable { parts: part_names(name, parts), init };
        self.add(name.to_owned(), shape.into(), Role::State(variable))
    }

    /// A state that belongs to training and not to the network: no file has it. It starts at `value`.
    fn own_state(&mut self, name: String, shape: impl Into<Shape>, value: f64) -> TensorId {
        let variable = Variable { parts: Vec::new(), init: Init::Fill(value) };
        self.add(name, shape.into(), Role::State(variable))
    }

    /// Grouped convolution: x `[N, C, H, W]`, weight `[O, C/G, K, K]`, bias `[O]` → `[N, O, H', W']`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the inputs do not fit; so for all methods below.
    pub fn conv2d(&mut self, x: TensorId, weight: TensorId, bias: Option<TensorId>, op: Conv2d) -> Result<TensorId> {
        let mut inputs = vec![x, weight];
        inputs.extend(bias);
        self.one(op.into(), &inputs)
    }

    /// Grouped linear layer: x `[N, I]`, weight `[O, I/G]`, bias `[O]` → `[N, O]`. A convolution of 1×1 maps.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn linear(&mut self, x: TensorId, weight: TensorId, bias: Option<TensorId>, groups: usize) -> Result<TensorId> {
        let y = self.conv2d(x, weight, bias, Conv2d { groups, ..Conv2d::default() })?;
        let dims = self.tensor(y).shape.dims()[..2].to_vec();
        self.reshape(y, Shape::new(&dims))
    }

    /// Batch normalisation with the batch's statistics; `running` are the mean and variance it updates.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn batch_norm(
        &mut self,
        x: TensorId,
        affine: [TensorId; 2],
        running: [TensorId; 2],
        op: BatchNorm,
    ) -> Result<TensorId> {
        Ok(self.normalise(x, affine, running, op)?[0])
    }

    /// The same with the descriptors `[2, N, C]` of the result.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn batch_norm_described(
        &mut self,
        x: TensorId,
        affine: [TensorId; 2],
        running: [TensorId; 2],
        op: BatchNorm,
    ) -> Result<[TensorId; 2]> {
        let outputs = self.normalise(x, affine, running, BatchNorm { descriptors: true, ..op })?;
        Ok([outputs[0], outputs[2]])
    }

    fn normalise(
        &mut self,
        x: TensorId,
        [weight, bias]: [TensorId; 2],
        running: [TensorId; 2],
        op: BatchNorm,
    ) -> Result<Vec<TensorId>> {
        self.expect_running("batch_norm", running, weight)?;
        self.push(op.into(), &[x, weight, bias], &running)
    }

    /// Batch normalisation with the running estimates.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn batch_norm_eval(
        &mut self,
        x: TensorId,
        [weight, bias]: [TensorId; 2],
        [mean, variance]: [TensorId; 2],
        op: BatchNormEval,
    ) -> Result<TensorId> {
        self.one(op.into(), &[x, weight, bias, mean, variance])
    }

    /// The same with the descriptors `[2, N, C]` of the result.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn batch_norm_eval_described(
        &mut self,
        x: TensorId,
        [weight, bias]: [TensorId; 2],
        [mean, variance]: [TensorId; 2],
        op: BatchNormEval,
    ) -> Result<[TensorId; 2]> {
        let op = BatchNormEval { descriptors: true, ..op };
        let outputs = self.push(op.into(), &[x, weight, bias, mean, variance], &[])?;
        Ok([outputs[0], outputs[1]])
    }

    /// `max(x, 0)`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn relu(&mut self, x: TensorId) -> Result<TensorId> {
        self.one(Activation { function: Function::Relu }.into(), &[x])
    }

    /// `1/(1 + exp(−x))`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn sigmoid(&mut self, x: TensorId) -> Result<TensorId> {
        self.one(Activation { function: Function::Sigmoid }.into(), &[x])
    }

    /// Pooling over windows: `[N, C, H, W]` → `[N, C, H', W']`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn pool2d(&mut self, x: TensorId, op: Pool2d) -> Result<TensorId> {
        self.one(op.into(), &[x])
    }

    /// The mean over H and W: `[N, C, H, W]` → `[N, C]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn global_avg_pool(&mut self, x: TensorId) -> Result<TensorId> {
        let pooled = self.global_pool(x, Pooling::Avg)?;
        let dims = self.tensor(pooled).shape.dims()[1..].to_vec();
        self.reshape(pooled, Shape::new(&dims))
    }

    /// Descriptors over H and W: `[N, C, H, W]` → `[D, N, C]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn global_pool(&mut self, x: TensorId, pooling: Pooling) -> Result<TensorId> {
        Ok(self.push(GlobalPool { pooling }.into(), &[x], &[])?[0])
    }

    /// CBAM's channel attention: descriptors `[D, N, C]`, W₁ `[M, C/G]`, b₁, W₂ `[C, M/G]`, b₂ → `[N, C]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn channel_attention(&mut self, descriptors: TensorId, mlp: [TensorId; 4], groups: usize) -> Result<TensorId> {
        let [w1, b1, w2, b2] = mlp;
        Ok(self.push(ChannelAttention { groups }.into(), &[descriptors, w1, b1, w2, b2], &[])?[0])
    }

    /// Map times channel attention `[N, C]`: the product, and its maximum and mean over each group `[N, 2G, H, W]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn channel_gate(&mut self, x: TensorId, attention: TensorId, groups: usize) -> Result<[TensorId; 2]> {
        let outputs = self.push(ChannelGate { groups }.into(), &[x, attention], &[])?;
        Ok([outputs[0], outputs[1]])
    }

    /// CBAM's spatial gate with the batch's statistics: x `[N, C, H, W]`, pooled `[N, 2G, H, W]`, filters
    /// `[G, 2, K, K]` and the batch norm's weight and bias `[G]` → the product and the attention `[N, G, H, W]`;
    /// `running` are the mean and variance it updates.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn spatial_gate(
        &mut self,
        [x, pooled]: [TensorId; 2],
        [filters, weight, bias]: [TensorId; 3],
        running: [TensorId; 2],
        op: SpatialGate,
    ) -> Result<[TensorId; 2]> {
        self.expect_running("spatial_gate", running, weight)?;
        let outputs = self.push(op.into(), &[x, pooled, filters, weight, bias], &running)?;
        Ok([outputs[0], outputs[1]])
    }

    /// CBAM's spatial gate with the running estimates.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn spatial_gate_eval(
        &mut self,
        [x, pooled]: [TensorId; 2],
        [filters, weight, bias]: [TensorId; 3],
        [mean, variance]: [TensorId; 2],
        op: SpatialGateEval,
    ) -> Result<[TensorId; 2]> {
        let outputs = self.push(op.into(), &[x, pooled, filters, weight, bias, mean, variance], &[])?;
        Ok([outputs[0], outputs[1]])
    }

    /// Joins tensors along an axis.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn concat(&mut self, parts: &[TensorId], axis: usize) -> Result<TensorId> {
        self.one(Concat { axis }.into(), parts)
    }

    /// Takes `length` indices of an axis from `start`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn slice(&mut self, x: TensorId, axis: usize, start: usize, length: usize) -> Result<TensorId> {
        self.one(Slice { axis, start, length }.into(), &[x])
    }

    /// The elementwise sum.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn add_tensors(&mut self, a: TensorId, b: TensorId) -> Result<TensorId> {
        self.weighted_sum(&[(a, 1.0), (b, 1.0)])
    }

    /// `Σ weight·tensor` over 1 to 4 tensors of one shape.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn weighted_sum(&mut self, terms: &[(TensorId, f64)]) -> Result<TensorId> {
        let inputs: Vec<_> = terms.iter().map(|term| term.0).collect();
        let weights = terms.iter().map(|term| term.1).collect();
        self.one(WeightedSum { weights, activation: None }.into(), &inputs)
    }

    /// `max(a + b, 0)`, the end of a residual block.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn add_relu(&mut self, a: TensorId, b: TensorId) -> Result<TensorId> {
        self.one(WeightedSum { weights: vec![1.0; 2], activation: Some(Function::Relu) }.into(), &[a, b])
    }

    /// The sum over an axis, which disappears, times `scale`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn axis_sum(&mut self, x: TensorId, axis: usize, scale: f64) -> Result<TensorId> {
        self.one(AxisSum { axis, scale }.into(), &[x])
    }

    /// The mean over an axis, which disappears.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn axis_mean(&mut self, x: TensorId, axis: usize) -> Result<TensorId> {
        let length = self.tensor(x).shape.dims().get(axis).copied().unwrap_or(1);
        self.axis_sum(x, axis, 1.0 / length as f64)
    }

    /// Copies along a new axis of `length`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn axis_repeat(&mut self, x: TensorId, axis: usize, length: usize) -> Result<TensorId> {
        self.one(AxisRepeat { axis, length, scale: 1.0 }.into(), &[x])
    }

    /// A map cut into equal patches, stacked along the channels: `[N, C, H, W]` → `[N, P·C, H', W']`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn patches(&mut self, x: TensorId, op: Patches) -> Result<TensorId> {
        self.one(op.into(), &[x])
    }

    /// The elementwise product; b may be one number `[1]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn multiply(&mut self, a: TensorId, b: TensorId) -> Result<TensorId> {
        self.one(Multiply.into(), &[a, b])
    }

    /// Softmax cross-entropy of B branches: logits `[N, B·K]`, targets `[N, K]`, branch weights `[B]` → the loss `[1]`,
    /// each branch's `[B]`, hits `[B+1]` (last: of the majority vote).
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn cross_entropy(&mut self, logits: TensorId, targets: TensorId, weights: TensorId) -> Result<[TensorId; 3]> {
        let outputs = self.push(CrossEntropy.into(), &[logits, targets, weights], &[])?;
        Ok([outputs[0], outputs[1], outputs[2]])
    }

    /// Softmax cross-entropy of the weighted mean of the branches' answers; inputs as [`Graph::cross_entropy`]'s → `[1]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn mixture_cross_entropy(
        &mut self,
        logits: TensorId,
        targets: TensorId,
        weights: TensorId,
    ) -> Result<TensorId> {
        self.one(MixtureCrossEntropy.into(), &[logits, targets, weights])
    }

    /// Similarity matrix of L learners (paper Eq. 1): maps `[N, L·F]`, γ `[1]` → `[L, L]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn similarity(&mut self, maps: TensorId, gamma: TensorId, op: Similarity) -> Result<TensorId> {
        Ok(self.push(op.into(), &[maps, gamma], &[])?[0])
    }

    /// The objective of a similarity matrix (paper Eq. 2): `[L, L]` → `[1]`.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn determinant(&mut self, similarity: TensorId, objective: Objective) -> Result<TensorId> {
        Ok(self.push(Determinant { objective }.into(), &[similarity], &[])?[0])
    }

    /// Each learner's map at unit length: `[N, L·F…]` → the same; see [`UnitLength`].
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn unit_length(&mut self, maps: TensorId, op: UnitLength) -> Result<TensorId> {
        Ok(self.push(op.into(), &[maps], &[])?[0])
    }

    /// Training images out of a pool: records `[N, 27]`, 1 to 6 tensors of the pool → `[N, 3, S, S]`; see [`Augment`].
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn augment(&mut self, records: TensorId, pool: &[TensorId], op: Augment) -> Result<TensorId> {
        self.one(op.into(), &[&[records], pool].concat())
    }

    /// Appends gradients and one SGD step for all parameters that `loss` depends on.
    ///
    /// Adds the inputs `lr` `[P]` and `decay` `[P]`, one entry for each part in the order of [`Graph::part_names`], the
    /// state `healthy` `[1]` (1, or 0 once the loss was not finite) and a momentum for each parameter.
    /// Returns the gradients, in order of [`Graph::parameters`].
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the loss is not one number or a parameter does not reach it.
    pub fn sgd(&mut self, loss: TensorId, momentum: f64, nesterov: bool) -> Result<Vec<TensorId>> {
        let parameters = self.parameters();
        let gradients = self.gradients(loss, &parameters)?;
        self.set_scope("sgd");
        let parts: Vec<usize> = parameters.iter().map(|id| self.variable(*id).map_or(1, |v| v.parts.len())).collect();
        let total: usize = parts.iter().sum();
        let lr = self.input("lr", [total]);
        let decay = self.input("decay", [total]);
        let mut updates = vec![self.own_state("healthy".to_owned(), [1], 1.0)];
        updates.extend(&parameters);
        for &id in &parameters {
            let tensor = self.tensor(id);
            let (name, shape) = (format!("{}.momentum", tensor.name), tensor.shape.clone());
            updates.push(self.add(name, shape, Role::Momentum(id)));
        }
        let mut inputs = vec![lr, decay, loss];
        inputs.extend(&gradients);
        self.push(Sgd { momentum, nesterov, parts }.into(), &inputs, &updates)?;
        Ok(gradients)
    }

    /// Sums tensors over the runs of the program, one after the other; see [`RunningSums`]. Adds the state `name` `[2, E]`
    /// for each [`MOST_INPUTS`] tensors, with a number behind the name from the second on, and returns these states.
    ///
    /// # Errors
    /// See [`Graph::conv2d`].
    pub fn running_sums(&mut self, name: &str, tensors: &[TensorId]) -> Result<Vec<TensorId>> {
        let states = tensors.chunks(MOST_INPUTS).enumerate().map(|(i, inputs)| {
            let elements: usize = inputs.iter().map(|id| self.tensor(*id).shape.elements()).sum();
            let name = if i == 0 { name.to_owned() } else { format!("{name}{}", i + 1) };
            let state = self.own_state(name, [2, elements], 0.0);
            self.push(RunningSums.into(), inputs, &[state])?;
            Ok(state)
        });
        states.collect()
    }

    /// The names of all parts of all parameters, in the order of SGD's learning rates.
    #[must_use]
    pub fn part_names(&self) -> Vec<&str> {
        self.parameters()
            .into_iter()
            .filter_map(|id| self.variable(id))
            .flat_map(|variable| variable.parts.iter().map(String::as_str))
            .collect()
    }

    /// What a parameter's or state's role says of it.
    #[must_use]
    pub fn variable(&self, id: TensorId) -> Option<&Variable> {
        match &self.tensor(id).role {
            Role::Parameter(variable) | Role::State(variable) => Some(variable),
            _ => None,
        }
    }

    /// Checks that running estimates have the shape of the weight.
    fn expect_running(&self, op: &'static str, running: [TensorId; 2], weight: TensorId) -> Result<()> {
        let weight = &self.tensor(weight).shape;
        match running.map(|state| &self.tensor(state).shape).into_iter().find(|&shape| shape != weight) {
            Some(shape) => Err(shape_error(op, format!("running estimates {weight}"), shape, "check the channels")),
            None => Ok(()),
        }
    }

    fn one(&mut self, op: Op, inputs: &[TensorId]) -> Result<TensorId> {
        Ok(self.push(op, inputs, &[])?[0])
    }
}

fn part_names(name: &str, parts: usize) -> Vec<String> {
    let first = usize::from(name.contains('#'));
    match name.contains(PART) {
        true => (first..first + parts).map(|part| name.replacen(PART, &part.to_string(), 1)).collect(),
        false => vec![name.to_owned()],
    }
}
