//! How fast the loader makes batches, with no device behind it.

use std::time::Instant;

use crate::{
    Result,
    data::{Augment, Loader, LoaderOptions, Sample},
};

/// What is timed.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSpec {
    /// Images of a batch.
    pub batch: usize,
    /// Rows and columns of the images in a batch.
    pub size: usize,
    /// The random changes.
    pub augment: Augment,
    /// Epochs before the clock starts.
    pub warmup: usize,
    /// Epochs that are timed.
    pub epochs: usize,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadReport {
    /// Images of an epoch.
    pub images: usize,
    /// Seconds of each epoch, sorted: from the start of a loader to its last batch.
    pub seconds: Vec<f64>,
}

impl LoadReport {
    /// The median time of an epoch, in seconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.seconds[self.seconds.len() / 2]
    }
}

/// Takes every batch of some epochs, each as soon as it is there, and gives its buffers back: what a training does
/// whose device takes no time at all.
///
/// # Errors
/// See [`Loader::new`].
pub fn load(samples: &[Sample], classes: usize, spec: &LoadSpec) -> Result<LoadReport> {
    let mut report = LoadReport { images: 0, seconds: Vec::new() };
    for epoch in 0..spec.warmup + spec.epochs.max(1) {
        let start = Instant::now();
        let options = LoaderOptions {
            batch: spec.batch,
            size: spec.size,
            epoch: epoch as u64,
            shuffle: true,
            drop_last: true,
            augment: spec.augment,
            ..LoaderOptions::default()
        };
        let mut loader = Loader::new(samples, classes, options)?;
        report.images = loader.images();
        while let Some(batch) = loader.next() {
            loader.recycle(batch?);
        }
        if epoch >= spec.warmup {
            report.seconds.push(start.elapsed().as_secs_f64());
        }
    }
    report.seconds.sort_by(f64::total_cmp);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Spec;

    #[test]
    fn every_timed_epoch_counts_its_whole_batches() {
        let spec: Spec = "synthetic:train=24,valid=0,test=0,size=16".parse().expect("a data set");
        let samples = spec.load().expect("rendered faces").split("train").expect("a split").samples.clone();
        let spec = LoadSpec { batch: 10, size: 8, augment: Augment::light(), warmup: 1, epochs: 3 };
        let report = load(&samples, 8, &spec).expect("batches");
        assert_eq!((report.images, report.seconds.len()), (20, 3));
        assert!(report.seconds[0] > 0.0 && report.median() >= report.seconds[0]);
        assert!(load(&samples, 8, &LoadSpec { batch: 25, ..spec }).is_err(), "no whole batch");
    }
}
