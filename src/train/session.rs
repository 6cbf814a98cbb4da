//! A network compiled on a device for training and for evaluation; both share the variables.

pub use super::evaluator::{Answers, Evaluator, LearnersMaps};
use super::evaluator::{EvalProgram, NormProgram};
use crate::{
    Error, Result,
    data::{Batch, Pool, Transform},
    diversity::{Diversity, Loss, diversified_loss, map_gradients},
    exec::{Executor, OpCost, Profile, Program, Stats},
    graph::Graph,
    models::{Decision, NetworkSpec},
    nn::{Mode, variables},
    ops::TensorId,
    train::{
        resident::augmented,
        share::Pulls,
        sums::{DeviceSums, Means, Sums, TermMeans},
    },
};

/// What is compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionSpec {
    /// The network.
    pub network: NetworkSpec,
    /// Images of a batch.
    pub batch: usize,
    /// The diversity terms.
    pub diversity: Diversity,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Nesterov's variant.
    pub nesterov: bool,
    /// Whether [`Session::shares`] is going to be asked.
    pub shares: bool,
    /// Whether each head has targets of its own: `[N, heads·K]` in a batch instead of `[N, K]`.
    pub own_targets: bool,
}

impl SessionSpec {
    /// The values of an image's targets.
    #[must_use]
    pub fn target_width(&self) -> usize {
        self.network.classes() * if self.own_targets { self.network.heads() } else { 1 }
    }
}

struct TrainProgram {
    graph: Graph,
    program: Program,
    /// What is written each step: the images, or their records.
    images: TensorId,
    pool: Vec<TensorId>,
    targets: TensorId,
    weights: TensorId,
    lr: TensorId,
    decay: TensorId,
    loss: Loss,
    sums: DeviceSums,
    map_gradients: Vec<(String, TensorId)>,
}

/// A network on a device.
pub struct Session<'e> {
    executor: &'e mut dyn Executor,
    spec: SessionSpec,
    train: TrainProgram,
    eval: EvalProgram,
    norms: Option<NormProgram>,
    pulls: Option<Pulls>,
    /// What [`Session::configure`] and [`Session::set_diversity_weights`] wrote last.
    head_weights: Vec<f64>,
    gammas: Vec<f64>,
    diversity_weights: Vec<f64>,
}

/// The numbers of one training step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepReport {
    /// The loss that is minimised.
    pub total: f64,
    /// The sum of the weighted cross-entropies.
    pub cross_entropy: f64,
    /// Hits of each head of the network, last of its answer.
    pub hits: Vec<f32>,
    /// The diversity terms.
    pub terms: Vec<TermReport>,
}

/// The numbers of one diversity term.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TermReport {
    /// `branch`, `spatial` or `channel`.
    pub kind: String,
    /// D.
    pub value: f64,
    /// S, row-major `[L, L]`.
    pub similarity: Vec<f32>,
    /// The mean of S off its diagonal.
    pub mean_off_diagonal: f64,
    /// The norm of the gradient that the term sends into what it compares, its weight included: the maps, or centred
    /// ones.
    pub gradient_norm: f64,
    /// λ, its weight in the loss.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

impl TermReport {
    /// Puts means over steps in the place of a step's S and D.
    pub(super) fn average(&mut self, means: &TermMeans) {
        self.value = means.value;
        self.similarity = means.similarity.iter().map(|s| *s as f32).collect();
        self.mean_off_diagonal = mean_off_diagonal(&self.similarity);
    }
}

impl<'e> Session<'e> {
    /// Compiles a network for training and evaluation and writes its variables; momenta start at zero.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::Shape`] or [`Error::Data`] where the specification or the tensors do not fit,
    /// [`Error::Memory`] or [`Error::Device`] where the device does not carry it.
    pub fn new(executor: &'e mut dyn Executor, spec: SessionSpec, tensors: &variables::Tensors) -> Result<Self> {
        Self::compile(executor, spec, tensors, None)
    }

    /// The same for batches of a loader that has `pool`: the images are written once, now, and [`Session::step`] writes
    /// records of them, from which the device makes what `transform` makes on the host.
    ///
    /// # Errors
    /// See [`Session::new`].
    pub fn with_pool(
        executor: &'e mut dyn Executor,
        spec: SessionSpec,
        tensors: &variables::Tensors,
        pool: &Pool,
        transform: &Transform,
    ) -> Result<Self> {
        let session = Self::compile(executor, spec, tensors, Some((pool, transform)))?;
        for (range, &id) in session.train.pool.iter().enumerate() {
            session.executor.write(session.train.program, id, &pool.tensor(range))?;
        }
        Ok(session)
    }

    fn compile(
        executor: &'e mut dyn Executor,
        spec: SessionSpec,
        tensors: &variables::Tensors,
        pool: Option<(&Pool, &Transform)>,
    ) -> Result<Self> {
        executor.clear();
        let train = TrainProgram::compile(executor, &spec, pool)?;
        let eval = EvalProgram::compile(executor, &spec.network, spec.batch, spec.diversity.layer)?;
        let pulls = if spec.shares { Pulls::compile(executor, &spec)? } else { None };
        variables::write(executor, &train.graph, tensors)?;
        variables::write_momenta(executor, &train.graph, &variables::Tensors::new())?;
        let (head_weights, gammas, diversity_weights) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { executor, spec, train, eval, norms: None, pulls, head_weights, gammas, diversity_weights })
    }

    /// What was compiled.
    #[must_use]
    pub fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// The cost of a training step.
    #[must_use]
    pub fn train_stats(&self) -> Stats {
        self.executor.stats(self.train.program)
    }

    /// Writes what stays the same over many steps: head weights `[B]`, which multiply the network's own, weight decay,
    /// γ of each term.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn configure(&mut self, weights: &[f32], decay: f64, gammas: &[f64]) -> Result<()> {
        let parts = self.train.graph.part_names().len();
        let TrainProgram { program, weights: weights_id, decay: decay_id, loss, .. } = &self.train;
        let own = self.spec.network.head_weights();
        let weights: Vec<f64> = own.iter().zip(weights).map(|(own, weight)| own * f64::from(*weight)).collect();
        self.executor.write_f64(*program, *weights_id, &weights)?;
        self.executor.write(*program, *decay_id, &vec![decay as f32; parts])?;
        for (term, gamma) in loss.terms.iter().zip(gammas) {
            self.executor.write(*program, term.gamma, &[*gamma as f32])?;
        }
        (self.head_weights, self.gammas) = (weights, gammas.to_vec());
        Ok(())
    }

    /// Writes the weight λ of each diversity term, where [`Diversity::weighted`] says that they have one.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn set_diversity_weights(&mut self, weights: &[f64]) -> Result<()> {
        for (term, weight) in self.train.loss.terms.iter().zip(weights) {
            if let Some(id) = term.weight {
                self.executor.write(self.train.program, id, &[*weight as f32])?;
            }
        }
        self.diversity_weights = weights.to_vec();
        Ok(())
    }

    /// For each diversity term the weight with which its gradient in the maps has `share` times the norm of the
    /// cross-entropy's, over some batches of this session's size whose images the host made. Nothing that is trained or
    /// estimated changes.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn shares(&mut self, share: f64, batches: &[Batch]) -> Result<Vec<f64>> {
        match &self.pulls {
            Some(pulls) => pulls.shares(self.executor, share, &self.head_weights, &self.gammas, batches),
            None => Ok(Vec::new()),
        }
    }

    /// Writes the learning rate of every part, by its name.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn set_lr(&mut self, lr: impl Fn(&str) -> f64) -> Result<()> {
        let rates: Vec<f32> = self.train.graph.part_names().into_iter().map(|part| lr(part) as f32).collect();
        self.executor.write(self.train.program, self.train.lr, &rates)
    }

    /// Runs one training step; may return before the device has finished.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn step(&mut self, batch: &Batch) -> Result<()> {
        let images = if self.train.pool.is_empty() { &batch.images } else { &batch.records };
        self.write_batch(images, &batch.targets)?;
        self.executor.run(self.train.program)?;
        self.train.sums.count();
        Ok(())
    }

    /// Starts the sums over steps anew, as an epoch does.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn reset_sums(&mut self) -> Result<()> {
        self.set_sums(&Sums::default())
    }

    /// The sums so far, waiting for the last step; for a checkpoint within an epoch.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn sums(&mut self) -> Result<Sums> {
        self.train.sums.read(self.executor)
    }

    /// Writes the sums of a checkpoint; those without bits start anew.
    ///
    /// # Errors
    /// [`Error::Data`] for those of another network, [`Error::Device`] where the device fails.
    pub fn set_sums(&mut self, sums: &Sums) -> Result<()> {
        self.train.sums.write(self.executor, sums)
    }

    /// What the steps since [`Session::reset_sums`] were like, waiting for the last one: all of them, whenever this is
    /// asked and whichever were reported.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn means(&mut self) -> Result<Means> {
        let mut means = self.train.sums.means(self.executor, self.spec.batch)?;
        self.keep_answers(&mut means.accuracy);
        Ok(means)
    }

    /// Takes the vote off where the last head answers.
    fn keep_answers<T>(&self, hits: &mut Vec<T>) {
        if self.spec.network.decision() == Decision::Last {
            hits.pop();
        }
    }

    /// Reads the numbers of the last step, waiting for it.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where the loss, now or in a step since the last report, was not finite, with the op
    /// where that began; [`Error::Device`] where the device fails.
    pub fn report(&mut self, step: usize) -> Result<StepReport> {
        let program = self.train.program;
        let healthy = self.executor.read_variable("healthy")?[0] == 1.0;
        let total = self.executor.read(program, self.train.loss.total)?[0];
        if !healthy || !total.is_finite() {
            return Err(self.diagnose(step)?);
        }
        let cross_entropy = f64::from(self.executor.read(program, self.train.loss.cross_entropy)?[0]);
        let mut hits = self.executor.read(program, self.train.loss.hits)?;
        self.keep_answers(&mut hits);
        let mut terms = Vec::new();
        // Differentiation runs backwards, so the gradients come in another order than the terms.
        for (i, term) in self.train.loss.terms.iter().enumerate() {
            let similarity = self.executor.read(program, term.similarity)?;
            let value = f64::from(self.executor.read(program, term.value)?[0]);
            let scope = format!("diversity.{}", term.kind);
            let gradient = self.train.map_gradients.iter().find(|(name, _)| *name == scope);
            let gradient_norm = match gradient {
                Some((_, id)) => {
                    self.executor.read(program, *id)?.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt()
                }
                None => 0.0,
            };
            terms.push(TermReport {
                kind: term.kind.clone(),
                value,
                mean_off_diagonal: mean_off_diagonal(&similarity),
                similarity,
                gradient_norm,
                weight: if term.weight.is_some() { self.diversity_weights.get(i).copied().unwrap_or(0.0) } else { 1.0 },
            });
        }
        Ok(StepReport { total: f64::from(total), cross_entropy, hits, terms })
    }

    /// Answers of the network in evaluation mode to a batch of exactly the session's size.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn answer(&mut self, images: &[f32]) -> Result<Answers> {
        self.eval.answer(self.executor, images)
    }

    /// Moves the running estimates of all batch norms by a batch's statistics; nothing else changes.
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::Device`] where the device does not carry it.
    pub fn estimate_norms(&mut self, images: &[f32]) -> Result<()> {
        let norms = match &self.norms {
            Some(norms) => norms,
            None => self.norms.insert(NormProgram::compile(self.executor, &self.spec)?),
        };
        norms.run(self.executor, images)
    }

    /// Waits until all steps are done.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn synchronize(&mut self) -> Result<()> {
        self.executor.synchronize()
    }

    /// What each op of a training step costs.
    ///
    /// # Errors
    /// See [`Executor::costs`].
    pub fn costs(&self) -> Result<Vec<OpCost>> {
        self.executor.costs(self.train.program)
    }

    /// Times each op of `runs` training steps on the last batch.
    ///
    /// # Errors
    /// [`Error::Device`] where the device cannot.
    pub fn profile(&mut self, runs: usize) -> Result<Profile> {
        self.executor.profile(self.train.program, runs)
    }

    /// The variables, in parts.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn tensors(&mut self) -> Result<variables::Tensors> {
        variables::read(self.executor, &self.train.graph)
    }

    /// Writes the network's variables, by their parts; sums over steps stay.
    ///
    /// # Errors
    /// [`Error::Data`] where some are missing or have another shape, [`Error::Device`] where the device fails.
    pub fn set_tensors(&mut self, tensors: &variables::Tensors) -> Result<()> {
        // Sums over steps are variables too, and those that are not given start anew.
        let sums = self.sums()?;
        variables::write(self.executor, &self.train.graph, tensors)?;
        self.set_sums(&sums)
    }

    /// The momenta, in parts.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn momenta(&mut self) -> Result<variables::Tensors> {
        variables::read_momenta(self.executor, &self.train.graph)
    }

    /// Writes the momenta of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn set_momenta(&mut self, momenta: &variables::Tensors) -> Result<()> {
        variables::write_momenta(self.executor, &self.train.graph, momenta)
    }

    fn write_batch(&mut self, images: &[f32], targets: &[f32]) -> Result<()> {
        self.executor.write(self.train.program, self.train.images, images)?;
        self.executor.write(self.train.program, self.train.targets, targets)
    }

    /// Names the op where a value stopped being finite; the flag of SGD has kept the parameters as they were.
    fn diagnose(&mut self, step: usize) -> Result<Error> {
        // They would still hold what an earlier batch left.
        self.reset_sums()?;
        let at = self.executor.first_not_finite(self.train.program)?;
        Ok(Error::NotFinite {
            what: format!("the loss at or shortly before step {step}"),
            at: at.unwrap_or_else(|| "no op of the last batch, so in a batch before it".into()),
            hint:
                "start a new run with a lower learning rate, with `--init` from the last checkpoint if there is one; a \
                   resumed run keeps its settings and would end here again"
                    .into(),
        })
    }
}

impl TrainProgram {
    fn compile(executor: &mut dyn Executor, spec: &SessionSpec, resident: Option<(&Pool, &Transform)>) -> Result<Self> {
        let (n, size) = (spec.batch, spec.network.size());
        let mut graph = Graph::new();
        let (x, images, pool) = match resident {
            None => {
                let images = graph.input("images", [n, 3, size, size]);
                (images, images, Vec::new())
            }
            Some((pool, transform)) => augmented(&mut graph, n, pool, transform)?,
        };
        let targets = graph.input("targets", [n, spec.target_width()]);
        let weights = graph.input("head_weights", [spec.network.heads()]);
        let network = spec.network.build(&mut graph, x, Mode::Train)?;
        let loss = diversified_loss(&mut graph, &network, targets, weights, &spec.diversity)?;
        graph.sgd(loss.total, spec.momentum, spec.nesterov)?;
        let sums = DeviceSums::new(&mut graph, &loss)?;
        let map_gradients = map_gradients(&graph);
        let terms = loss.terms.iter().flat_map(|term| [term.similarity, term.value]);
        for id in terms.chain([loss.total, loss.cross_entropy, loss.hits]).chain(map_gradients.iter().map(|g| g.1)) {
            graph.output(id);
        }
        let program = executor.compile(&graph)?;
        let find = |name: &str| graph.find(name).expect("invariant: sgd adds its inputs");
        let (lr, decay) = (find("lr"), find("decay"));
        Ok(Self { graph, program, images, pool, targets, weights, lr, decay, loss, sums, map_gradients })
    }
}

fn mean_off_diagonal(similarity: &[f32]) -> f64 {
    let side = similarity.len().isqrt();
    let sum: f64 = (0..side * side).filter(|i| i / side != i % side).map(|i| f64::from(similarity[i])).sum();
    sum / (side * side.saturating_sub(1)).max(1) as f64
}
