//! Batches for training and evaluation, made on all cores ahead of the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;

use super::{Augment, ColourOrder, Normalisation, Pool, Sample, Transform, augment::Draw, by_class};
use crate::{Error, Result, ops::augment::RECORD, rng::Rng, words::words};

/// Batches that wait for the device while it works; more would only take memory.
const AHEAD: usize = 3;

/// Annotators of an image of FER+ (Barsoum et al. 2016).
const ANNOTATORS: usize = 10;

words! {
    /// What the cross-entropy compares with.
    Targets {
        /// The image's class: one-hot.
        Hard = "hard",
        /// The share of each class among the annotators' votes; one-hot for an image without votes.
        Soft = "soft" | "votes",
    }
}

/// What a [`Loader`] yields.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderOptions {
    /// N, images per batch.
    pub batch: usize,
    /// S, the images' rows and columns.
    pub size: usize,
    /// All randomness follows from it.
    pub seed: u64,
    /// Counts the passes over the data; order and augmentation differ from epoch to epoch.
    pub epoch: u64,
    /// The first batch to yield, to resume in the middle of an epoch.
    pub start: usize,
    /// A random order, drawn by `Rng::named("shuffle", &[seed, epoch])`.
    pub shuffle: bool,
    /// Leaves out a last batch that is not full: batch statistics would count its padding.
    pub drop_last: bool,
    /// Random changes, image by image, drawn by `Rng::named("augment", &[seed, epoch, index])`.
    pub augment: Augment,
    /// Normalisation; none leaves pixels in [0, 1].
    pub normalise: Option<Normalisation>,
    /// The order of the colour planes.
    pub order: ColourOrder,
    /// Labels or votes.
    pub targets: Targets,
    /// Each of so many branches has targets of its own, from a sample of an image's votes: as many as ten annotators gave,
    /// drawn with replacement by `Rng::named("votes", &[seed, index, branch])`, and the same in every epoch.
    pub resampled: Option<usize>,
    /// α of mixup (Zhang et al. 2018), λ ~ Beta(α, α) once per batch; 0 switches it off.
    pub mixup: f64,
    /// At most so many images of each class, drawn by `Rng::named("draw", &[seed, stage, class])`.
    pub limit_per_class: Option<usize>,
    /// As many images of each class in an epoch: of a class with fewer than the mean each several times, of one with more
    /// some, drawn by `Rng::named("balance", &[seed, epoch, class, pass])`. The epoch stays as long as it is.
    pub balanced: bool,
    /// The stage of training; every stage draws anew.
    pub stage: u64,
    /// Where the images stay on the device: batches then hold records of them, drawn alike, instead of images. It is
    /// of the same samples.
    pub pool: Option<Arc<Pool>>,
}

impl Default for LoaderOptions {
    /// 32 images of 96 pixels, in order, nothing random.
    fn default() -> Self {
        Self {
            batch: 32,
            size: 96,
            seed: 0,
            epoch: 0,
            start: 0,
            shuffle: false,
            drop_last: false,
            augment: Augment::none(),
            normalise: None,
            order: ColourOrder::Rgb,
            targets: Targets::Hard,
            resampled: None,
            mixup: 0.0,
            limit_per_class: None,
            balanced: false,
            stage: 0,
            pool: None,
        }
    }
}

/// Some images with their targets, ready for a network. The arrays are always N long; a last batch that is not
/// full has zeros behind its first `count` images and targets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// `[N, 3, S, S]`; empty where the images stay on the device.
    pub images: Vec<f32>,
    /// `[N, 27]`, the records of [`ops::Augment`](crate::ops::Augment) where the images stay on the device.
    pub records: Vec<f32>,
    /// `[N, classes]`, or `[N, branches·classes]` where each branch has its own; each of the first `count` images' targets
    /// sums to 1.
    pub targets: Vec<f32>,
    /// The labels of the first `count` images; under mixup those of the image with the larger share.
    pub labels: Vec<usize>,
    /// Where the first `count` images stand in the split.
    pub indices: Vec<usize>,
    /// How many images there are, 1 ..= N.
    pub count: usize,
    /// The batch's number in its epoch, from 0.
    pub number: usize,
}

/// One epoch of batches, made by a thread of its own that runs a few batches ahead.
///
/// The batches are a function of the samples and the options: the number of threads does not matter, and a
/// loader that starts at batch b yields the same b-th batch as one that started at 0. Dropping the loader stops
/// its thread within one image's time. Ask for batches from a thread outside of rayon's global pool, which
/// makes them.
pub struct Loader {
    batches: Option<Receiver<Result<Batch>>>,
    used: Sender<Batch>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    next: usize,
    len: usize,
    images: usize,
}

impl Loader {
    /// Starts to make the batches of one epoch of `samples`, whose labels lie in 0..`classes`.
    ///
    /// # Errors
    /// [`Error::Usage`] for options out of range, [`Error::Data`] if there is no image to yield,
    /// [`Error::Io`] if no thread could be started.
    pub fn new(samples: &[Sample], classes: usize, options: LoaderOptions) -> Result<Self> {
        options.check()?;
        if let Some(pool) = options.pool.as_ref().filter(|pool| pool.images() != samples.len()) {
            return Err(Error::Data {
                what: "the images on the device".into(),
                expected: format!("the {} of the split", samples.len()),
                found: pool.images().to_string(),
                hint: "make the pool of the samples that are loaded".into(),
            });
        }
        let order = order(samples, classes, &options);
        let full = order.len() / options.batch;
        let len = if options.drop_last { full } else { order.len().div_ceil(options.batch) };
        let images = if options.drop_last { full * options.batch } else { order.len() };
        if len == 0 {
            return Err(Error::Data {
                what: "the images to load".into(),
                expected: if options.drop_last {
                    format!("at least one batch of {}", options.batch)
                } else {
                    "some".into()
                },
                found: order.len().to_string(),
                hint: "choose a smaller batch or add images".into(),
            });
        }
        let (send, batches) = sync_channel(AHEAD - 1);
        let (used, free) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let next = options.start.min(len);
        let mine = order.iter().skip(next * options.batch).map(|&index| (index, samples[index].clone())).collect();
        let maker = Maker { samples: mine, classes, options, stop: Arc::clone(&stop), free };
        let thread = std::thread::Builder::new()
            .name("moue-loader".into())
            .spawn(move || maker.run(next..len, &send))
            .map_err(|error| crate::exec::threads::refused("the loader's thread", &error))?;
        Ok(Self { batches: Some(batches), used, stop, thread: Some(thread), next, len, images })
    }

    /// The batches of the whole epoch, those before `start` included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if the epoch has no batch; never so, [`Loader::new`] refuses it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The images of the whole epoch.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }

    /// Gives a batch's buffers back, to be filled again.
    pub fn recycle(&self, batch: Batch) {
        // After the last batch the thread is gone and nobody wants the buffers.
        let _ = self.used.send(batch);
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.len {
            return None;
        }
        let received = self.batches.as_ref()?.recv();
        self.next += 1;
        let batch = received.unwrap_or_else(|_| {
            Err(Error::Data {
                what: format!("batch {}", self.next - 1),
                expected: "a batch from the loader's thread".into(),
                found: "a thread that ended early".into(),
                hint: "this is a bug of moue, please report it with the messages above".into(),
            })
        });
        if batch.is_err() {
            self.next = self.len;
        }
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.len - self.next))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits for room in the channel wakes when the receiver is gone.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by `next`; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl LoaderOptions {
    fn check(&self) -> Result<()> {
        let wrong = |setting: &str, expected: &str, found: String| Error::Usage {
            setting: setting.into(),
            expected: expected.into(),
            found,
            hint: "correct the value".into(),
        };
        if self.batch == 0 {
            return Err(wrong("the batch", "at least 1", "0".into()));
        }
        if !(8..=2048).contains(&self.size) {
            return Err(wrong("the image size", "8 to 2048 pixels", self.size.to_string()));
        }
        if !(self.mixup >= 0.0 && self.mixup.is_finite()) {
            return Err(wrong("mixup", "a number of at least 0", self.mixup.to_string()));
        }
        if self.pool.is_some() && self.augment.needs_host() {
            let expected = "without border, blur and jpeg where the images stay on the device";
            return Err(wrong("the augmentation", expected, self.augment.to_string()));
        }
        if self.limit_per_class == Some(0) {
            return Err(wrong("the limit per class", "at least 1", "0".into()));
        }
        self.augment.check()
    }

    /// The stream of an image's random changes.
    fn rng(&self, index: usize) -> Rng {
        Rng::named("augment", &[self.seed, self.epoch, index as u64])
    }
}

/// The order of the epoch: the stage's draw, shuffled if asked for.
fn order(samples: &[Sample], classes: usize, options: &LoaderOptions) -> Vec<usize> {
    let mut order: Vec<usize> = match options.limit_per_class {
        None => (0..samples.len()).collect(),
        Some(limit) => {
            let mut drawn = Vec::new();
            for (class, mut members) in by_class(samples, classes).into_iter().enumerate() {
                if members.len() > limit {
                    Rng::named("draw", &[options.seed, options.stage, class as u64]).shuffle(&mut members);
                    members.truncate(limit);
                }
                drawn.extend(members);
            }
            drawn.sort_unstable();
            drawn
        }
    };
    if options.balanced {
        order = balanced(samples, classes, options, order);
    }
    if options.shuffle {
        Rng::named("shuffle", &[options.seed, options.epoch]).shuffle(&mut order);
    }
    order
}

/// As many indices as `drawn` has, of each class that occurs in it equally many; the first classes have one more where
/// that does not divide.
fn balanced(samples: &[Sample], classes: usize, options: &LoaderOptions, drawn: Vec<usize>) -> Vec<usize> {
    let mut members = vec![Vec::new(); classes];
    drawn.iter().for_each(|&index| members[samples[index].label].push(index));
    let present = members.iter().filter(|own| !own.is_empty()).count();
    let mut order = Vec::with_capacity(drawn.len());
    let occurring = members.into_iter().enumerate().filter(|(_, own)| !own.is_empty());
    for (place, (class, mut own)) in occurring.enumerate() {
        let mut missing = drawn.len() / present + usize::from(place < drawn.len() % present);
        for pass in 0.. {
            Rng::named("balance", &[options.seed, options.epoch, class as u64, pass]).shuffle(&mut own);
            let taken = missing.min(own.len());
            order.extend(&own[..taken]);
            missing -= taken;
            if missing == 0 {
                break;
            }
        }
    }
    order
}

/// What the thread owns.
struct Maker {
    /// The samples still to come, with their indices in the split.
    samples: Vec<(usize, Sample)>,
    classes: usize,
    options: LoaderOptions,
    stop: Arc<AtomicBool>,
    free: Receiver<Batch>,
}

impl Maker {
    fn run(self, numbers: std::ops::Range<usize>, send: &SyncSender<Result<Batch>>) {
        for (number, samples) in numbers.zip(self.samples.chunks(self.options.batch)) {
            let batch = self.batch(number, samples);
            let failed = batch.is_err();
            // Sending fails once the loader is dropped.
            if self.stop.load(Ordering::Relaxed) || send.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn batch(&self, number: usize, samples: &[(usize, Sample)]) -> Result<Batch> {
        let LoaderOptions { batch: n, size, seed, epoch, .. } = self.options;
        let volume = 3 * size * size;
        let mut batch = self.free.try_recv().unwrap_or_default();
        batch.number = number;
        batch.count = samples.len();
        batch.targets.clear();
        batch.targets.resize(n * self.width(), 0.0);
        batch.labels.clear();
        batch.labels.extend(samples.iter().map(|(_, sample)| sample.label));
        batch.indices.clear();
        batch.indices.extend(samples.iter().map(|(index, _)| *index));
        match &self.options.pool {
            Some(pool) => self.records(pool, samples, &mut batch)?,
            None => self.images(samples, &mut batch)?,
        }
        for (targets, (index, sample)) in batch.targets.chunks_exact_mut(self.width()).zip(samples) {
            for (branch, target) in targets.chunks_exact_mut(self.classes).enumerate() {
                match (&sample.votes, self.options.targets) {
                    (Some(votes), Targets::Soft) if self.options.resampled.is_some() => {
                        resample(votes, target, &mut Rng::named("votes", &[seed, *index as u64, branch as u64]));
                    }
                    (Some(votes), Targets::Soft) => target.copy_from_slice(votes),
                    _ => target[sample.label] = 1.0,
                }
            }
        }
        if self.options.mixup > 0.0 {
            let mut rng = Rng::named("mixup", &[seed, epoch, number as u64]);
            mix(&mut batch, share(self.options.mixup, &mut rng), volume, self.width());
        }
        Ok(batch)
    }

    /// The values of an image's targets.
    fn width(&self) -> usize {
        self.classes * self.options.resampled.unwrap_or(1)
    }

    fn images(&self, samples: &[(usize, Sample)], batch: &mut Batch) -> Result<()> {
        let LoaderOptions { batch: n, size, augment, normalise, order, .. } = self.options;
        let transform = Transform { size, normalise, order };
        let volume = 3 * size * size;
        if batch.images.len() == n * volume {
            batch.images[samples.len() * volume..].fill(0.0);
        } else {
            // Zeroed by the operating system, page by page, as the threads below first touch it.
            batch.images = vec![0.0; n * volume];
        }
        let Self { options, classes, stop, .. } = self;
        batch.images.par_chunks_exact_mut(volume).zip(samples).try_for_each(|(out, (index, sample))| {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            sample.check(*classes)?;
            if augment.is_none() {
                transform.evaluate(&sample.image, out)
            } else {
                transform.augmented(&sample.image, &augment, &mut options.rng(*index), out)
            }
        })
    }

    fn records(&self, pool: &Pool, samples: &[(usize, Sample)], batch: &mut Batch) -> Result<()> {
        let LoaderOptions { batch: n, size, augment, .. } = self.options;
        batch.records.clear();
        batch.records.resize(n * RECORD, 0.0);
        // What is no image is not mixed with another either.
        batch.records.chunks_exact_mut(RECORD).skip(samples.len()).for_each(|row| row[RECORD - 1] = 1.0);
        let Self { options, classes, stop, .. } = self;
        let rows = batch.records.par_chunks_exact_mut(RECORD).zip(samples).enumerate();
        rows.try_for_each(|(place, (row, (index, sample)))| {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            sample.check(*classes)?;
            let draw = if augment.is_none() { Draw::NONE } else { augment.draw(size, &mut options.rng(*index)) };
            row.copy_from_slice(&pool.record(*index, &draw, size, place).numbers());
            Ok(())
        })
    }
}

/// `x_i ← λ x_i + (1 − λ) x_{n−1−i}`, images and targets alike: the order is random already, so that mixing
/// with the reversed batch is mixing with a random partner, in place.
fn mix(batch: &mut Batch, lambda: f32, volume: usize, classes: usize) {
    let count = batch.count;
    for (place, row) in batch.records.chunks_exact_mut(RECORD).take(count).enumerate() {
        let partner = count - 1 - place;
        // An image in the middle keeps itself.
        if partner != place {
            row[RECORD - 2..].copy_from_slice(&[partner as f32, lambda]);
        }
    }
    let images = (!batch.images.is_empty()).then_some((&mut batch.images, volume));
    for (values, length) in images.into_iter().chain([(&mut batch.targets, classes)]) {
        let values = &mut values[..count * length];
        let half = count / 2;
        let (front, back) = values.split_at_mut(values.len() - half * length);
        let pairs = front.par_chunks_exact_mut(length).zip(back.par_chunks_exact_mut(length).rev());
        pairs.for_each(|(first, second)| {
            for (a, b) in first.iter_mut().zip(second) {
                (*a, *b) = (lambda * *a + (1.0 - lambda) * *b, lambda * *b + (1.0 - lambda) * *a);
            }
        });
    }
    if lambda < 0.5 {
        batch.labels.reverse();
    }
}

/// Shares of classes among [`ANNOTATORS`] votes that are drawn from shares of votes.
fn resample(votes: &[f32], target: &mut [f32], rng: &mut Rng) {
    let sum: f64 = votes.iter().map(|share| f64::from(*share)).sum();
    for _ in 0..ANNOTATORS {
        let mut left = rng.uniform() * sum;
        // Rounding may leave a little beyond the last share: it is that class's.
        let last = votes.iter().rposition(|share| *share > 0.0).unwrap_or(0);
        let class = votes.iter().position(|share| {
            left -= f64::from(*share);
            left < 0.0
        });
        target[class.unwrap_or(last)] += 1.0 / ANNOTATORS as f32;
    }
}

/// λ ~ Beta(α, α), as X / (X + Y) with X, Y ~ Gamma(α).
fn share(alpha: f64, rng: &mut Rng) -> f32 {
    let (x, y) = (gamma(alpha, rng), gamma(alpha, rng));
    if x + y > 0.0 { (x / (x + y)) as f32 } else { 1.0 }
}

/// Gamma(α, 1) by Marsaglia and Tsang (2000), with their boost for α < 1.
fn gamma(alpha: f64, rng: &mut Rng) -> f64 {
    if alpha < 1.0 {
        let boost = (1.0 - rng.uniform()).powf(1.0 / alpha);
        return gamma(alpha + 1.0, rng) * boost;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}
