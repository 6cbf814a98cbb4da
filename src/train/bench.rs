//! Times a network on the deterministic values of the golden files, the whole step and nothing left out.

use std::time::Instant;

use crate::{
    Result,
    data::Batch,
    diversity::Diversity,
    exec::{Executor, OpTime, Stats},
    graph::Graph,
    models::EsrSpec,
    nn::Mode,
    train::session::{Evaluator, Session, SessionSpec},
    verify::{fill, labels, one_hot, uniform},
};

/// What is timed.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchSpec {
    /// The network.
    pub esr: EsrSpec,
    /// Training steps, or inference.
    pub train: bool,
    /// Images of a batch.
    pub batch: usize,
    /// γ of the diversity terms.
    pub gamma: f64,
    /// Runs before the clock starts.
    pub warmup: usize,
    /// Runs that are timed.
    pub steps: usize,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct BenchReport {
    /// Seconds of each timed run, sorted.
    pub seconds: Vec<f64>,
    /// The losses of the first two training steps: equal to the yardstick's where both do the same work.
    pub losses: Vec<f64>,
    /// Commands and bytes.
    pub stats: Stats,
    /// Buffers, bind groups and pipelines made during the timed runs; 0 in a steady state.
    pub created: u64,
}

impl BenchReport {
    /// The median time of a run, in seconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.seconds[self.seconds.len() / 2]
    }
}

fn batch(spec: &BenchSpec) -> Batch {
    let (n, size) = (spec.batch, spec.esr.size);
    let labels = labels("", n, spec.esr.classes);
    Batch {
        images: uniform("input", n * 3 * size * size).map(|u| u as f32).collect(),
        targets: one_hot(&labels, spec.esr.classes),
        labels,
        count: n,
        ..Batch::default()
    }
}

fn session<'e>(executor: &'e mut dyn Executor, spec: &BenchSpec) -> Result<Session<'e>> {
    let diversity = if spec.esr.attention { Diversity::PAPER } else { Diversity::NONE };
    let session_spec =
        SessionSpec { esr: spec.esr.clone(), batch: spec.batch, diversity, momentum: 0.9, nesterov: false };
    let tensors = values(&spec.esr)?;
    let mut session = Session::new(executor, session_spec, &tensors)?;
    session.configure(&vec![1.0; spec.esr.branches], 0.0, &[spec.gamma; 2])?;
    session.set_lr(|_| 0.01)?;
    Ok(session)
}

fn values(esr: &EsrSpec) -> Result<crate::nn::variables::Tensors> {
    let mut graph = Graph::new();
    let x = graph.input("images", [1, 3, esr.size, esr.size]);
    esr.build(&mut graph, x, Mode::Eval)?;
    Ok(fill(&graph, ""))
}

/// Runs and times.
///
/// # Errors
/// [`crate::Error::Memory`] or [`crate::Error::Device`] where the device does not carry it.
pub fn bench(executor: &mut dyn Executor, spec: &BenchSpec) -> Result<BenchReport> {
    let batch = batch(spec);
    let mut losses = Vec::new();
    let mut seconds = Vec::new();
    let (stats, before, after);
    if spec.train {
        let mut session = session(executor, spec)?;
        for step in 0..spec.warmup.max(2) {
            session.step(&batch)?;
            if step < 2 {
                losses.push(session.report(step)?.total);
            }
        }
        session.synchronize()?;
        before = session.train_stats().resources_created;
        for _ in 0..spec.steps {
            let start = Instant::now();
            session.step(&batch)?;
            session.synchronize()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        stats = session.train_stats();
        after = stats.resources_created;
    } else {
        let mut evaluator = Evaluator::new(executor, &spec.esr, spec.batch, &values(&spec.esr)?)?;
        for _ in 0..spec.warmup {
            evaluator.answer(&batch.images)?;
        }
        before = evaluator.stats().resources_created;
        for _ in 0..spec.steps {
            let start = Instant::now();
            evaluator.answer(&batch.images)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        stats = evaluator.stats();
        after = stats.resources_created;
    }
    seconds.sort_by(f64::total_cmp);
    Ok(BenchReport { seconds, losses, stats, created: after - before })
}

/// Runs once more, op by op.
///
/// # Errors
/// See [`bench`].
pub fn profile(executor: &mut dyn Executor, spec: &BenchSpec) -> Result<Vec<OpTime>> {
    let batch = batch(spec);
    if spec.train {
        let mut session = session(executor, spec)?;
        session.step(&batch)?;
        session.profile()
    } else {
        let mut evaluator = Evaluator::new(executor, &spec.esr, spec.batch, &values(&spec.esr)?)?;
        evaluator.answer(&batch.images)?;
        evaluator.profile()
    }
}
