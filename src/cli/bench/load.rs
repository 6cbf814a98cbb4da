//! `moue bench --mode load`: images a second of the input pipeline alone, on the host and on a device.

use serde_json::json;

use super::Args;
use crate::{
    Result,
    cli::{
        Outcome, device,
        output::{note, say},
    },
    data::Augment,
    exec::{DeviceChoice, Precision, threads},
    ops::augment::RECORD,
    train::{
        Settings,
        bench::{LoadReport, LoadSpec, load, load_resident, peak_rss_bytes},
        resident::Residency,
        settings::words::Resident,
    },
};

/// The sides of the images in a batch, in pixels, where the user names none.
const SIZES: [usize; 2] = [64, 96];

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let threads = threads::count(args.device.threads)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| threads::refused(&format!("{threads} threads"), &error))?;
    let dataset = args.data.load_splits(&["train"])?;
    let samples = &dataset.split("train")?.samples;
    // What `moue train` does where the user names no augmentation.
    let augment: Augment = Settings::default().augment.parse()?;
    let mut resident = match args.device.choice {
        DeviceChoice::Auto if !device::auto().0 => None,
        _ => {
            let opened = device::open(&args.device.choice, Precision::F32, args.device.threads)?;
            let residency = Residency::choose(Resident::On, opened.executor.as_ref(), samples)?;
            note!("device: {}, because {}", opened.name(), opened.reason);
            residency.pool.map(|pool| (opened, pool))
        }
    };
    let mut cases = Vec::new();
    for size in args.size.map_or_else(|| SIZES.to_vec(), |size| vec![size]) {
        let spec = LoadSpec { batch: args.batch, size, augment, warmup: args.warmup, epochs: args.steps.max(1) };
        let report = load(samples, dataset.classes.len(), &spec)?;
        let what = format!("to {size} pixels, N={}, augmentation {augment}", args.batch);
        say!("load {what}, {threads} threads: {}", times(&report));
        let mut case = json!({
            "size": size, "images_per_s": report.rate(), "images": report.images, "median_s": report.median(),
            "min_s": report.seconds[0], "max_s": report.seconds[report.seconds.len() - 1],
            "bytes_per_image": 4 * 3 * size * size,
        });
        if let Some((opened, pool)) = &mut resident {
            let report = load_resident(opened.executor.as_mut(), samples, dataset.classes.len(), &spec, pool)?;
            say!("records {what}, {threads} threads: {}", times(&report.records));
            say!(
                "augment {what}, {}: {}; {} bytes an image instead of {}",
                opened.name(),
                times(&report.kernel),
                4 * RECORD,
                4 * 3 * size * size,
            );
            case["resident"] = json!({
                "device": opened.name(), "records_per_s": report.records.rate(), "images_per_s": report.kernel.rate(),
                "bytes_per_image": 4 * RECORD, "bytes": report.bytes,
            });
        }
        cases.push(case);
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

fn times(report: &LoadReport) -> String {
    let [min, max] = [report.seconds[0], report.seconds[report.seconds.len() - 1]];
    format!(
        "{:.0} images/s, median {:.4} s an epoch of {} (min {min:.4}, max {max:.4})",
        report.rate(),
        report.median(),
        report.images,
    )
}
