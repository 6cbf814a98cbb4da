//! `moue bench --mode load`: images a second of the input pipeline alone.

use serde_json::json;

use super::Args;
use crate::{
    Error, Result,
    cli::Outcome,
    data::Augment,
    train::{
        TrainConfig,
        bench::{LoadSpec, load, peak_rss_bytes},
    },
};

/// The sides of the images in a batch, in pixels, where the user names none.
const SIZES: [usize; 2] = [64, 96];

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let usage = |problem: String| Error::Usage {
        setting: "threads".into(),
        expected: "at least 1 thread that can be started".into(),
        found: problem,
        hint: "leave it out to use every core".into(),
    };
    if args.threads == Some(0) {
        return Err(usage("0".into()));
    }
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| usage(error.to_string()))?;
    let dataset = args.data.load_splits(&["train"])?;
    let samples = &dataset.split("train")?.samples;
    // What `moue train` does where the user names no augmentation.
    let augment: Augment = TrainConfig::default().augment.parse()?;
    let mut cases = Vec::new();
    for size in args.size.map_or_else(|| SIZES.to_vec(), |size| vec![size]) {
        let spec = LoadSpec { batch: args.batch, size, augment, warmup: args.warmup, epochs: args.steps.max(1) };
        let report = load(samples, dataset.classes.len(), &spec)?;
        let median = report.median();
        let rate = report.images as f64 / median;
        let [min, max] = [report.seconds[0], report.seconds[report.seconds.len() - 1]];
        println!(
            "load to {size} pixels, N={}, augmentation {augment}, {threads} threads: {rate:.0} images/s, \
             median {median:.4} s an epoch of {} (min {min:.4}, max {max:.4})",
            args.batch, report.images,
        );
        cases.push(json!({
            "size": size, "images_per_s": rate, "images": report.images, "median_s": median, "min_s": min, "max_s": max,
        }));
    }
    let mut json = json!({
        "mode": "load", "data": dataset.source, "batch": args.batch, "augment": augment.to_string(),
        "threads": threads, "cases": cases,
    });
    if let Some(bytes) = peak_rss_bytes() {
        json["peak_rss_bytes"] = bytes.into();
    }
    Ok(Outcome::passed(json))
}
