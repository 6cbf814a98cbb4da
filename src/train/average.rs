//! The average of the weights over the steps of a training.

use crate::nn::variables::Tensors;

/// Steps between two readings of the weights.
pub(super) const EVERY: usize = 16;
/// Batches from which the averaged network's batch norms are estimated anew.
pub(super) const NORM_BATCHES: usize = 50;
/// What the average of a tensor is called among a checkpoint's momenta, behind the tensor's name.
const ENDING: &str = ".average";

/// An exponential moving average of the parameters (Polyak & Juditsky 1992; with a decay as in Tarvainen & Valpola 2017):
/// `a ← d·a + (1 − d)·w`, d the decay over [`EVERY`] steps. Early on, t readings into a training, d is at most
/// (1 + t) / (10 + t), so that the weights of the start are soon forgotten.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Average {
    decay: f64,
    readings: usize,
    values: Tensors,
}

impl Average {
    /// With a decay a step; `momenta` are those of a checkpoint, among which an average may be, after so many steps.
    pub(super) fn new(decay: f64, momenta: &Tensors, steps: usize) -> Self {
        let own = |(name, tensor): (&String, &_)| Some((name.strip_suffix(ENDING)?.to_owned(), Clone::clone(tensor)));
        Self {
            decay: decay.powi(EVERY as i32),
            readings: steps / EVERY,
            values: momenta.iter().filter_map(own).collect(),
        }
    }

    /// The average, as a checkpoint keeps it.
    pub(super) fn kept(&self) -> Tensors {
        self.values.iter().map(|(name, tensor)| (format!("{name}{ENDING}"), tensor.clone())).collect()
    }

    /// Takes the weights after a step in, if it is one of every [`EVERY`].
    pub(super) fn is_due(steps: usize) -> bool {
        steps.is_multiple_of(EVERY)
    }

    /// Takes the weights in; running estimates are left out.
    pub(super) fn update(&mut self, tensors: &Tensors) {
        let t = self.readings as f64;
        let decay = self.decay.min((1.0 + t) / (10.0 + t));
        self.readings += 1;
        for (name, (shape, values)) in tensors.iter().filter(|(name, _)| !name.contains(".running_")) {
            let (_, average) = self.values.entry(name.clone()).or_insert_with(|| (shape.clone(), values.clone()));
            for (average, value) in average.iter_mut().zip(values) {
                *average = (decay * f64::from(*average) + (1.0 - decay) * f64::from(*value)) as f32;
            }
        }
    }

    /// A network's tensors with the average in place of its parameters.
    pub(super) fn over(&self, tensors: &Tensors) -> Tensors {
        let of = |(name, tensor): (&String, &_)| (name.clone(), self.values.get(name).unwrap_or(tensor).clone());
        tensors.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(value: f32) -> Tensors {
        let one = |value| (vec![1], vec![value]);
        Tensors::from([("w".to_owned(), one(value)), ("bn.running_mean".to_owned(), one(9.0))])
    }

    #[test]
    fn an_average_forgets_its_start_soon_and_then_moves_by_its_decay() {
        let mut average = Average::new(0.99_f64.powf(1.0 / 16.0), &Tensors::new(), 0);
        average.update(&tensors(1.0));
        average.update(&tensors(2.0));
        // The second reading's decay is 2/11.
        let expected = 2.0 / 11.0 + 2.0 * 9.0 / 11.0;
        assert!((average.over(&tensors(5.0))["w"].1[0] - expected).abs() < 1e-6);
        assert_eq!(average.over(&tensors(5.0))["bn.running_mean"].1, [9.0], "running estimates stay the network's");
        let mut late = Average { readings: 100_000, ..average.clone() };
        late.update(&tensors(0.0));
        assert!((late.over(&tensors(5.0))["w"].1[0] - 0.99 * expected).abs() < 1e-6);
    }

    #[test]
    fn an_average_is_kept_with_a_checkpoint() {
        let mut average = Average::new(0.9, &Tensors::new(), 0);
        (0..3).for_each(|step| average.update(&tensors(step as f32)));
        let mut momenta = average.kept();
        momenta.insert("w.momentum".to_owned(), (vec![1], vec![7.0]));
        assert_eq!(Average::new(0.9, &momenta, 3 * EVERY), average);
    }
}
