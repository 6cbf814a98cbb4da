//! Times a network on the deterministic values of the golden files, the whole step and nothing left out; times its
//! ops, and predicts them; times the loader.

mod load;
mod roofline;
mod trace;

use std::time::Instant;

use crate::{
    Result,
    data::Batch,
    diversity::Diversity,
    exec::{Executor, OpCost, Profile, Stats},
    graph::Graph,
    models::NetworkSpec,
    nn::Mode,
    train::session::{Evaluator, Session, SessionSpec},
    verify::{fill, labels, one_hot, uniform},
};

pub use load::{LoadReport, LoadSpec, ResidentReport, load, load_resident};
pub use roofline::Roofline;
pub use trace::trace;

/// What is timed.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchSpec {
    /// The network.
    pub network: NetworkSpec,
    /// Training steps, or inference.
    pub train: bool,
    /// Images of a batch.
    pub batch: usize,
    /// γ of the diversity terms.
    pub gamma: f64,
    /// Runs before the clock starts.
    pub warmup: usize,
    /// Runs that are timed; with 0 nothing runs at all.
    pub steps: usize,
    /// Times each op as well, over another `steps` runs.
    pub profile: bool,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct BenchReport {
    /// Seconds of each timed run, sorted; empty where nothing ran.
    pub seconds: Vec<f64>,
    /// The losses of the first two training steps: equal to the yardstick's where both do the same work.
    pub losses: Vec<f64>,
    /// Inference: the logits `[B·K]` of the first image, head-major, for the same purpose.
    pub logits: Vec<f32>,
    /// Commands and bytes.
    pub stats: Stats,
    /// Buffers, bind groups and pipelines made during the timed runs; 0 in a steady state.
    pub created: u64,
    /// What each op costs.
    pub costs: Vec<OpCost>,
    /// The time of each op, if asked for.
    pub profile: Option<Profile>,
}

impl BenchReport {
    /// The median time of a run, in seconds; `None` where nothing ran.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        self.seconds.get(self.seconds.len() / 2).copied()
    }
}

/// The process's peak resident memory, in bytes, where the system tells it (Linux: `VmHWM`).
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    peak_rss_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM` of the text of a `/proc/PID/status`.
fn peak_rss_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn batch(spec: &BenchSpec) -> Batch {
    let (n, size) = (spec.batch, spec.network.size());
    let classes = spec.network.classes();
    let labels = labels("", n, classes);
    Batch {
        images: uniform("input", n * 3 * size * size).map(|u| u as f32).collect(),
        targets: one_hot(&labels, classes),
        labels,
        count: n,
        ..Batch::default()
    }
}

fn session<'e>(executor: &'e mut dyn Executor, spec: &BenchSpec) -> Result<Session<'e>> {
    let (network, batch, diversity) = (spec.network.clone(), spec.batch, Diversity::PAPER);
    let tensors = values(&network)?;
    let session_spec =
        SessionSpec { network, batch, diversity, momentum: 0.9, nesterov: false, shares: false, own_targets: false };
    let mut session = Session::new(executor, session_spec, &tensors)?;
    session.configure(&vec![1.0; spec.network.heads()], 0.0, &[spec.gamma; 3])?;
    session.set_lr(|_| 0.01)?;
    Ok(session)
}

fn values(network: &NetworkSpec) -> Result<crate::nn::variables::Tensors> {
    let mut graph = Graph::new();
    let x = graph.input("images", [1, 3, network.size(), network.size()]);
    network.build(&mut graph, x, Mode::Eval)?;
    Ok(fill(&graph, ""))
}

/// Runs and times.
///
/// # Errors
/// [`crate::Error::Memory`] or [`crate::Error::Device`] where the device does not carry it.
pub fn bench(executor: &mut dyn Executor, spec: &BenchSpec) -> Result<BenchReport> {
    if spec.train { training(executor, spec) } else { inference(executor, spec) }
}

fn training(executor: &mut dyn Executor, spec: &BenchSpec) -> Result<BenchReport> {
    let mut session = session(executor, spec)?;
    let mut report = report(session.costs()?, session.train_stats());
    if spec.steps == 0 {
        return Ok(report);
    }
    let batch = batch(spec);
    for step in 0..spec.warmup.max(2) {
        session.step(&batch)?;
        if step < 2 {
            report.losses.push(session.report(step)?.total);
        }
    }
    session.synchronize()?;
    let before = session.train_stats().resources_created;
    for _ in 0..spec.steps {
        let start = Instant::now();
        session.step(&batch)?;
        session.synchronize()?;
        report.seconds.push(start.elapsed().as_secs_f64());
    }
    report.created = session.train_stats().resources_created - before;
    if spec.profile {
        report.profile = Some(session.profile(spec.steps)?);
    }
    report.seconds.sort_by(f64::total_cmp);
    Ok(report)
}

fn inference(executor: &mut dyn Executor, spec: &BenchSpec) -> Result<BenchReport> {
    let mut evaluator = Evaluator::new(executor, &spec.network, spec.batch, &values(&spec.network)?)?;
    let mut report = report(evaluator.costs()?, evaluator.stats());
    if spec.steps == 0 {
        return Ok(report);
    }
    let batch = batch(spec);
    for _ in 0..spec.warmup {
        evaluator.answer(&batch.images)?;
    }
    let before = evaluator.stats().resources_created;
    for _ in 0..spec.steps {
        let start = Instant::now();
        let answers = evaluator.answer(&batch.images)?;
        report.seconds.push(start.elapsed().as_secs_f64());
        report.logits = answers.logits;
    }
    report.logits.truncate(spec.network.heads() * spec.network.classes());
    report.created = evaluator.stats().resources_created - before;
    if spec.profile {
        report.profile = Some(evaluator.profile(spec.steps)?);
    }
    report.seconds.sort_by(f64::total_cmp);
    Ok(report)
}

fn report(costs: Vec<OpCost>, stats: Stats) -> BenchReport {
    let (seconds, losses, logits) = (Vec::new(), Vec::new(), Vec::new());
    BenchReport { seconds, losses, logits, stats, created: 0, costs, profile: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        let status = "Name:\tmoue\nVmPeak:\t  900 kB\nVmHWM:\t     520 kB\nVmRSS:\t   20 kB\n";
        assert_eq!(peak_rss_of(status), Some(520 * 1024));
        for other in ["Name:\tmoue\n", "VmHWM:\t520 pages\n", "VmHWM:\tmany kB\n"] {
            assert_eq!(peak_rss_of(other), None, "{other}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_of_this_process_grows_with_what_it_touches() {
        let before = peak_rss_bytes().expect("a number");
        let touched = std::hint::black_box(vec![1_u8; 256 << 20]);
        let after = peak_rss_bytes().expect("a number");
        assert!(after >= before.max(touched.len() as u64), "{before}, {after}");
    }
}
