//! The batches of a training, with the targets that its loss sees.

use super::{
    schedule::stages,
    settings::{Settings, words::Balance},
    teachers::Teachers,
    trainer::{Job, State},
};
use crate::{
    Result,
    data::{Batch, Loader, LoaderOptions, Sample, Transform},
};

/// Batches from which γ is taken when it is automatic, and the weight of diversity when it is a share.
const FIRST_BATCHES: usize = 4;

/// Makes of a batch's targets what the loss sees: smoothed, mixed with the teachers' answers, by the weights of the classes.
pub(super) struct LossTargets<'t> {
    teachers: Option<&'t mut Teachers>,
    heads: usize,
    class_weights: Vec<f32>,
}

impl<'t> LossTargets<'t> {
    /// For a network of so many heads.
    pub(super) fn new(job: &Job<'_>, teachers: Option<&'t mut Teachers>, heads: usize) -> Self {
        let class_weights = job.settings.class_weights(job.train, job.classes);
        Self { teachers, heads, class_weights: class_weights.into_iter().map(|weight| weight as f32).collect() }
    }

    /// The SHA-256 of each teacher's file.
    pub(super) fn teachers(&self) -> Vec<String> {
        self.teachers.as_ref().map(|teachers| teachers.hashes().to_vec()).unwrap_or_default()
    }

    pub(super) fn prepare(&mut self, job: &Job<'_>, batch: &mut Batch) -> Result<()> {
        smooth(&mut batch.targets, job.settings.label_smoothing, job.classes);
        if let Some(teachers) = &mut self.teachers {
            batch.targets = teachers.targets(&batch.images, &batch.targets, job.settings.batch_size, self.heads)?;
        }
        weigh(&mut batch.targets, &self.class_weights);
        Ok(())
    }

    /// The first batches that training is going to see next, with images also where the device makes its own: what they
    /// are asked for is read back anyway.
    pub(super) fn first_batches(&mut self, job: &Job<'_>, state: &State) -> Result<Vec<Batch>> {
        let job = Job { pool: None, ..job.clone() };
        let mut batches: Vec<Batch> = loader(&job, state)?.take(FIRST_BATCHES).collect::<Result<_>>()?;
        for batch in &mut batches {
            self.prepare(&job, batch)?;
        }
        Ok(batches)
    }
}

pub(super) fn loader(job: &Job<'_>, state: &State) -> Result<Loader> {
    let settings = job.settings;
    let Transform { size, normalise, order } = settings.transform();
    let options = LoaderOptions {
        batch: settings.batch_size,
        size,
        seed: settings.seed,
        epoch: state.epochs_done as u64,
        start: state.step,
        shuffle: true,
        drop_last: true,
        augment: settings.augment.parse()?,
        normalise,
        order,
        targets: settings.targets,
        resampled: settings.resample_votes.then(|| heads(job, state)),
        mixup: settings.mixup,
        limit_per_class: (settings.limit_per_class > 0).then_some(settings.limit_per_class),
        balanced: settings.balance == Balance::Sampling,
        stage: state.stage as u64,
        pool: job.pool.clone(),
    };
    Loader::new(job.train, job.classes, options)
}

/// The heads of the network of the stage.
fn heads(job: &Job<'_>, state: &State) -> usize {
    let network = job.settings.network(job.classes);
    let stages = stages(job.settings, network.heads());
    stages.get(state.stage).map_or(network.heads(), |stage| network.with_branches(stage.branches).heads())
}

/// Spreads the share ε of each target over all K classes: (1 − ε)·t + ε/K (Szegedy et al. 2016, §7).
fn smooth(targets: &mut [f32], share: f64, classes: usize) {
    if share > 0.0 {
        let (kept, spread) = ((1.0 - share) as f32, (share / classes as f64) as f32);
        targets.iter_mut().for_each(|target| *target = kept * *target + spread);
    }
}

impl Settings {
    /// The weight of each class K in the loss: N / (K'·n_k) for the n_k of N training images, K' the classes that occur, so
    /// that the mean over the images is 1; nothing where all count alike.
    pub(super) fn class_weights(&self, samples: &[Sample], classes: usize) -> Vec<f64> {
        if self.balance != Balance::Weights {
            return Vec::new();
        }
        let mut counts = vec![0_usize; classes];
        samples.iter().for_each(|sample| counts[sample.label] += 1);
        if self.limit_per_class > 0 {
            counts.iter_mut().for_each(|count| *count = self.limit_per_class.min(*count));
        }
        let present = counts.iter().filter(|count| **count > 0).count();
        let images: usize = counts.iter().sum();
        counts.iter().map(|&count| images as f64 / (present * count.max(1)) as f64).collect()
    }
}

/// Multiplies each target by its class's weight.
fn weigh(targets: &mut [f32], weights: &[f32]) {
    if !weights.is_empty() {
        let rows = targets.chunks_mut(weights.len());
        rows.for_each(|row| row.iter_mut().zip(weights).for_each(|(target, weight)| *target *= weight));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::Image;

    #[test]
    fn a_rare_classs_images_count_more_and_the_mean_over_the_images_is_1() {
        let image = Arc::new(Image { width: 1, height: 1, channels: 1, pixels: vec![0] });
        let sample = |label| Sample::new(format!("{label}"), Arc::clone(&image), label);
        // Class 1 does not occur.
        let train: Vec<Sample> = [0, 0, 0, 2].map(sample).to_vec();
        let settings = Settings { balance: Balance::Weights, ..Settings::default() };
        let job = Job { settings: &settings, classes: 3, train: &train, validation: &[], pool: None };
        let weights: Vec<f32> = settings.class_weights(&train, 3).into_iter().map(|weight| weight as f32).collect();
        assert_eq!([weights[0], weights[2]], [4.0 / 6.0, 2.0]);
        assert_eq!(train.iter().map(|sample| weights[sample.label]).sum::<f32>(), 4.0);
        let mut targets = [1.0, 0.0, 0.0, 0.5, 0.0, 0.5];
        weigh(&mut targets, &weights);
        assert_eq!(targets, [4.0 / 6.0, 0.0, 0.0, 2.0 / 6.0, 0.0, 1.0]);
        // A batch's targets are smoothed first.
        let smoothed = Settings { label_smoothing: 0.3, ..settings.clone() };
        let smoothed = Job { settings: &smoothed, ..job.clone() };
        let mut batch = Batch { targets: vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0], ..Batch::default() };
        LossTargets::new(&smoothed, None, 2).prepare(&smoothed, &mut batch).expect("no teacher");
        let near = |(found, weight): (&f32, f32)| (found - weight).abs() < 1e-6;
        let weighed = |target: [f32; 3]| [target[0] * weights[0], target[1] * weights[1], target[2] * weights[2]];
        let expected = [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]].map(weighed).concat();
        assert!(batch.targets.iter().zip(expected).all(near), "{:?}", batch.targets);
        let limited = Settings { limit_per_class: 1, ..settings.clone() };
        assert_eq!(limited.class_weights(&train, 3), [1.0; 3]);
        assert!(Settings::default().class_weights(&train, 3).is_empty());
    }
}
