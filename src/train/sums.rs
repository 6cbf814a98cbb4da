//! Sums over the steps of an epoch, kept on the device: an epoch's figures are those of all its steps, however seldom
//! one is read.

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    diversity::{Loss, LossSums, loss_sums},
    exec::Executor,
    graph::Graph,
};

/// Sums over steps as the device has them: a resumed training that starts from them goes on to the same bits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// The steps.
    pub steps: usize,
    /// The bits of all sums as f32, which text keeps whatever they stand for; none before the first step.
    pub bits: Vec<u32>,
}

/// Means over steps; NaN before the first one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Means {
    /// The loss that is minimised.
    pub total: f64,
    /// Each head's cross-entropy, unweighted `[B]`.
    pub cross_entropy: Vec<f64>,
    /// The share of images that each head, and last the network's answer, calls by their class, 0 to 1 `[B+1]`; `[B]` where
    /// the last head is the answer.
    pub accuracy: Vec<f64>,
    /// Those of each diversity term, in the order of the loss's.
    pub terms: Vec<TermMeans>,
}

impl Means {
    /// The share of images that the network's answer calls by their class, 0 to 1.
    #[must_use]
    pub fn answer_accuracy(&self) -> f64 {
        self.accuracy.last().copied().unwrap_or(f64::NAN)
    }
}

/// Means of one diversity term over steps.
#[derive(Debug, Clone, PartialEq)]
pub struct TermMeans {
    /// D.
    pub value: f64,
    /// S, row-major `[L, L]`.
    pub similarity: Vec<f64>,
}

/// The sums of a training program on its device.
pub(super) struct DeviceSums {
    layout: LossSums,
    /// Elements of each state.
    elements: Vec<usize>,
    terms: usize,
    steps: usize,
}

impl DeviceSums {
    /// Adds the sums to a graph.
    pub(super) fn new(graph: &mut Graph, loss: &Loss) -> Result<Self> {
        let layout = loss_sums(graph, loss)?;
        let elements = |name: &String| graph.find(name).map_or(0, |id| graph.tensor(id).shape.elements());
        let elements = layout.states.iter().map(elements).collect();
        Ok(Self { layout, elements, terms: loss.terms.len(), steps: 0 })
    }

    /// Counts a step that has been run.
    pub(super) fn count(&mut self) {
        self.steps += 1;
    }

    /// The sums so far.
    pub(super) fn read(&self, executor: &mut dyn Executor) -> Result<Sums> {
        if self.steps == 0 {
            return Ok(Sums::default());
        }
        let mut bits = Vec::new();
        for name in &self.layout.states {
            bits.extend(executor.read_variable(name)?.into_iter().map(f32::to_bits));
        }
        Ok(Sums { steps: self.steps, bits })
    }

    /// Goes on from these sums; those without bits start anew.
    pub(super) fn write(&mut self, executor: &mut dyn Executor, sums: &Sums) -> Result<()> {
        let total: usize = self.elements.iter().sum();
        let is_new = sums.bits.is_empty();
        if !is_new && sums.bits.len() != total {
            return Err(Error::Data {
                what: "the sums of the epoch in progress".into(),
                expected: format!("{total} numbers, as this network has"),
                found: sums.bits.len().to_string(),
                hint: "resume with the settings and the version that the run began with".into(),
            });
        }
        let mut bits = sums.bits.iter().copied();
        for (name, &elements) in self.layout.states.iter().zip(&self.elements) {
            let values: Vec<f32> = (0..elements).map(|_| f32::from_bits(bits.next().unwrap_or(0))).collect();
            executor.write_variable(name, &values)?;
        }
        self.steps = if is_new { 0 } else { sums.steps };
        Ok(())
    }

    /// The means over steps of `batch` images, with the vote behind the heads' accuracies.
    pub(super) fn means(&self, executor: &mut dyn Executor, batch: usize) -> Result<Means> {
        let steps = self.steps as f64;
        let mut values = Vec::new();
        for name in &self.layout.states {
            let both = executor.read_variable_f64(name)?;
            let (sums, rounded_off) = both.split_at(both.len() / 2);
            values.extend(sums.iter().zip(rounded_off).map(|(sum, rest)| (sum + rest) / steps));
        }
        let mut rest = &values[..];
        let mut parts = self.layout.sizes.iter().map(|&size| {
            let (part, others) = rest.split_at(size);
            rest = others;
            part.to_vec()
        });
        let mut next = || parts.next().expect("invariant: the sums have a part for each tensor of the loss");
        let (total, cross_entropy, hits) = (next()[0], next(), next());
        let accuracy = hits.into_iter().map(|hits| hits / batch as f64).collect();
        let terms = (0..self.terms).map(|_| TermMeans { similarity: next(), value: next()[0] }).collect();
        Ok(Means { total, cross_entropy, accuracy, terms })
    }
}
