//! What the ops of a program cost, and how long each took.

use std::ops::Range;

/// What an op of a compiled program costs, from its shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpCost {
    /// The op's scope and name.
    pub op: String,
    /// The name alone, such as `Conv2dGradInput`.
    pub kind: &'static str,
    /// Commands on the device; 1 on the processor.
    pub dispatches: usize,
    /// Floating-point operations by the op's contract, whichever way the device computes them.
    pub flops: u64,
    /// Bytes that have to be moved by the op's contract.
    pub bytes: u64,
}

/// What told the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Timestamps of the device: an op's own time.
    Timestamps,
    /// The host's clock between ops that it runs itself.
    Host,
    /// The host's clock around one submission an op: includes what submitting and waiting costs.
    HostSubmissions,
}

impl Clock {
    /// The clock in a few words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Timestamps => "the device's timestamps",
            Self::Host => "wall clock",
            Self::HostSubmissions => "wall clock, one submission an op, which the times include",
        }
    }
}

/// Times of each op over some runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What told the time.
    pub clock: Clock,
    /// The ops, in order of execution.
    pub ops: Vec<OpCost>,
    /// For each run, at least one, when each op began and ended, in seconds since the run began.
    pub runs: Vec<Vec<Range<f64>>>,
}

impl Profile {
    /// The median time of each op, in seconds.
    #[must_use]
    pub fn medians(&self) -> Vec<f64> {
        let median = |op: usize| {
            let mut seconds: Vec<f64> = self.runs.iter().map(|run| run[op].end - run[op].start).collect();
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        };
        (0..self.ops.len()).map(median).collect()
    }

    /// The run whose ops took the median time together.
    #[must_use]
    pub fn typical_run(&self) -> &[Range<f64>] {
        let total = |run: &[Range<f64>]| run.iter().map(|span| span.end - span.start).sum::<f64>();
        let mut order: Vec<_> = self.runs.iter().map(|run| (total(run), run)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        order[order.len() / 2].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_run_moves_neither_the_medians_nor_the_typical_run() {
        let op = |name: &str| OpCost { op: name.into(), kind: "Conv2d", dispatches: 1, flops: 8, bytes: 4 };
        let run = |a: f64, b: f64| vec![0.0..a, a..a + b];
        let runs = vec![run(2.0, 4.0), run(90.0, 80.0), run(3.0, 1.0)];
        let profile = Profile { clock: Clock::Host, ops: vec![op("a"), op("b")], runs };
        assert_eq!(profile.medians(), [3.0, 4.0]);
        assert_eq!(profile.typical_run(), [0.0..2.0, 2.0..6.0]);
    }
}
