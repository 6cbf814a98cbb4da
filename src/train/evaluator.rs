//! A network on a device without a loss: its answers, and its batch norms' estimates.

use super::session::SessionSpec;
use crate::{
    Result,
    checkpoint::Model,
    exec::{Executor, OpCost, Profile, Program, Stats},
    graph::Graph,
    models::{BRANCH_LAYERS, Maps, NetworkSpec},
    nn::{Mode, variables},
    ops::TensorId,
};

/// One batch's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// Logits `[N, B·K]`, head-major.
    pub logits: Vec<f32>,
    /// The network's maps, as [`crate::models::Network`] has them.
    pub maps: Vec<LearnersMaps>,
}

/// The maps of several learners for one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnersMaps {
    /// `branch`, `spatial` or `channel`.
    pub kind: &'static str,
    /// The number of learners L.
    pub learners: usize,
    /// `[N, L·F…]`, learner-major within an image.
    pub values: Vec<f32>,
}

/// A network in evaluation mode.
pub(super) struct EvalProgram {
    program: Program,
    images: TensorId,
    logits: TensorId,
    maps: Vec<Maps>,
}

impl EvalProgram {
    pub(super) fn compile(executor: &mut dyn Executor, spec: &NetworkSpec, batch: usize, layer: usize) -> Result<Self> {
        let EvalGraph { graph, images, logits, maps } = eval_graph(spec, batch, layer)?;
        Ok(Self { program: executor.compile(&graph)?, images, logits, maps })
    }

    pub(super) fn logits(&self, executor: &mut dyn Executor, images: &[f32]) -> Result<Vec<f32>> {
        executor.write(self.program, self.images, images)?;
        executor.run(self.program)?;
        executor.read(self.program, self.logits)
    }

    pub(super) fn answer(&self, executor: &mut dyn Executor, images: &[f32]) -> Result<Answers> {
        let logits = self.logits(executor, images)?;
        let maps = self.maps.iter().map(|maps| {
            let values = executor.read(self.program, maps.map)?;
            Ok(LearnersMaps { kind: maps.kind, learners: maps.learners, values })
        });
        Ok(Answers { logits, maps: maps.collect::<Result<_>>()? })
    }
}

struct EvalGraph {
    graph: Graph,
    images: TensorId,
    logits: TensorId,
    maps: Vec<Maps>,
}

/// A network in evaluation mode, with the maps of a layer of its branches.
fn eval_graph(spec: &NetworkSpec, batch: usize, layer: usize) -> Result<EvalGraph> {
    let mut graph = Graph::new();
    let images = graph.input("images", [batch, 3, spec.size(), spec.size()]);
    let network = spec.build(&mut graph, images, Mode::Eval)?;
    graph.output(network.logits);
    let maps = network.maps_of(layer).to_vec();
    for maps in &maps {
        graph.output(maps.map);
    }
    Ok(EvalGraph { graph, images, logits: network.logits, maps })
}

/// A network in training mode without a loss: a run of it moves batch norms' running estimates alone.
pub(super) struct NormProgram {
    program: Program,
    images: TensorId,
}

impl NormProgram {
    pub(super) fn compile(executor: &mut dyn Executor, spec: &SessionSpec) -> Result<Self> {
        let mut graph = Graph::new();
        let size = spec.network.size();
        let images = graph.input("images", [spec.batch, 3, size, size]);
        let network = spec.network.build(&mut graph, images, Mode::Train)?;
        graph.output(network.logits);
        Ok(Self { program: executor.compile(&graph)?, images })
    }

    pub(super) fn run(&self, executor: &mut dyn Executor, images: &[f32]) -> Result<()> {
        executor.write(self.program, self.images, images)?;
        executor.run(self.program)
    }
}

/// A network on a device for evaluation alone.
pub struct Evaluator<'e> {
    executor: &'e mut dyn Executor,
    eval: EvalProgram,
}

impl<'e> Evaluator<'e> {
    /// Compiles a network for batches of `batch` images and writes its variables; the maps are those of the last layer.
    ///
    /// # Errors
    /// See [`Session::new`](super::session::Session::new).
    pub fn new(
        executor: &'e mut dyn Executor,
        spec: &NetworkSpec,
        batch: usize,
        tensors: &variables::Tensors,
    ) -> Result<Self> {
        Self::of_layer(executor, spec, batch, tensors, BRANCH_LAYERS)
    }

    /// The same of a model; the maps are those of the layer that was diversified.
    ///
    /// # Errors
    /// As [`Evaluator::new`] and [`Model::network`].
    pub fn of_model(executor: &'e mut dyn Executor, model: &Model, batch: usize) -> Result<Self> {
        let layer = model.meta.diversity.as_ref().map_or(BRANCH_LAYERS, |diversity| diversity.layer);
        Self::of_layer(executor, &model.network()?, batch, &model.tensors, layer)
    }

    fn of_layer(
        executor: &'e mut dyn Executor,
        spec: &NetworkSpec,
        batch: usize,
        tensors: &variables::Tensors,
        layer: usize,
    ) -> Result<Self> {
        executor.clear();
        let eval = EvalProgram::compile(executor, spec, batch, layer)?;
        let EvalGraph { graph, .. } = eval_graph(spec, batch, layer)?;
        variables::write(executor, &graph, tensors)?;
        Ok(Self { executor, eval })
    }

    /// The cost of a run.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.executor.stats(self.eval.program)
    }

    /// What each op of a run costs.
    ///
    /// # Errors
    /// See [`Executor::costs`].
    pub fn costs(&self) -> Result<Vec<OpCost>> {
        self.executor.costs(self.eval.program)
    }

    /// Times each op of `runs` runs on the last batch.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device cannot.
    pub fn profile(&mut self, runs: usize) -> Result<Profile> {
        self.executor.profile(self.eval.program, runs)
    }

    /// Answers to a batch of exactly the compiled size.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails.
    pub fn answer(&mut self, images: &[f32]) -> Result<Answers> {
        self.eval.answer(self.executor, images)
    }
}
