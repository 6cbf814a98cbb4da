//! How fast the loader makes batches, with no device behind it, and how fast a device makes them from its own images.

use std::{sync::Arc, time::Instant};

use crate::{
    Result,
    data::{Augment, Batch, ColourOrder, Loader, LoaderOptions, Pool, Sample, Transform},
    exec::Executor,
    graph::Graph,
    train::resident::augmented,
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

impl LoadSpec {
    fn options(&self, epoch: usize, pool: Option<&Arc<Pool>>) -> LoaderOptions {
        LoaderOptions {
            batch: self.batch,
            size: self.size,
            epoch: epoch as u64,
            shuffle: true,
            drop_last: true,
            augment: self.augment,
            pool: pool.cloned(),
            ..LoaderOptions::default()
        }
    }
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

    /// Images a second at the median.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.images as f64 / self.median()
    }
}

/// Takes every batch of some epochs, each as soon as it is there, and gives its buffers back: what a training does
/// whose device takes no time at all.
///
/// # Errors
/// See [`Loader::new`].
pub fn load(samples: &[Sample], classes: usize, spec: &LoadSpec) -> Result<LoadReport> {
    load_from(samples, classes, spec, None)
}

/// The same of the records of images that stay on a device.
fn load_from(samples: &[Sample], classes: usize, spec: &LoadSpec, pool: Option<&Arc<Pool>>) -> Result<LoadReport> {
    let mut report = LoadReport { images: 0, seconds: Vec::new() };
    for epoch in 0..spec.warmup + spec.epochs.max(1) {
        let start = Instant::now();
        let mut loader = Loader::new(samples, classes, spec.options(epoch, pool))?;
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

/// What was measured of images that stay on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct ResidentReport {
    /// The host's part: draws and records.
    pub records: LoadReport,
    /// The device's part: records written, batches made, the device waited for at the end of an epoch.
    pub kernel: LoadReport,
    /// Bytes of the images on the device.
    pub bytes: u64,
}

/// Times both parts of a training whose images stay on the device, each alone.
///
/// # Errors
/// See [`Loader::new`] and [`Executor::compile`].
pub fn load_resident(
    executor: &mut dyn Executor,
    samples: &[Sample],
    classes: usize,
    spec: &LoadSpec,
    pool: &Arc<Pool>,
) -> Result<ResidentReport> {
    let records = load_from(samples, classes, spec, Some(pool))?;
    let batches: Vec<Batch> = Loader::new(samples, classes, spec.options(0, Some(pool)))?.collect::<Result<_>>()?;
    let mut graph = Graph::new();
    let transform = Transform { size: spec.size, normalise: None, order: ColourOrder::Rgb };
    let (images, rows, tensors) = augmented(&mut graph, spec.batch, pool, &transform)?;
    graph.output(images);
    executor.clear();
    let program = executor.compile(&graph)?;
    for (range, &id) in tensors.iter().enumerate() {
        executor.write(program, id, &pool.tensor(range))?;
    }
    let mut kernel = LoadReport { images: records.images, seconds: Vec::new() };
    for epoch in 0..spec.warmup + spec.epochs.max(1) {
        let start = Instant::now();
        for batch in &batches {
            executor.write(program, rows, &batch.records)?;
            executor.run(program)?;
        }
        executor.synchronize()?;
        if epoch >= spec.warmup {
            kernel.seconds.push(start.elapsed().as_secs_f64());
        }
    }
    kernel.seconds.sort_by(f64::total_cmp);
    Ok(ResidentReport { records, kernel, bytes: pool.bytes() })
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
