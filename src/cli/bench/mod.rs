//! `moue bench`: times the whole training step, inference, or the loader.

mod load;
mod tables;

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::{
    Outcome,
    device::DeviceArgs,
    output::{results, say},
};
use crate::{
    Result,
    checkpoint::write_atomic,
    data::Spec,
    models::{EsrSpec, ManetSpec, NetworkSpec, Padding},
    train::bench::{BenchSpec, Roofline, bench, peak_rss_bytes, trace},
};

/// Arguments of `moue bench`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("device", |device| {
    let also = "the loader is also timed on it where one is named or is a real GPU";
    device.help(format!("auto, cpu, gpu, gpu:NUMBER or gpu:NAME; {also}"))
}))]
pub(super) struct Args {
    /// The network.
    #[arg(long, value_enum, default_value = "esr")]
    model: Model,
    /// Training steps, inference, or the loader alone.
    #[arg(long, value_enum, default_value = "train")]
    mode: Mode,
    /// Branches, 1 to 16; of an ESR.
    #[arg(long, default_value_t = 9)]
    branches: usize,
    /// Images of a batch.
    #[arg(long = "batch-size", alias = "batch", default_value_t = 32)]
    batch: usize,
    /// Side of the images, in pixels: by default 96, of a MA-Net 224; the loader by default makes 64 and 96.
    #[arg(long = "image-size", alias = "size")]
    size: Option<usize>,
    /// Multiplier of all widths.
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Leaves CBAM and the diversity of an ESR out.
    #[arg(long)]
    no_attention: bool,
    /// γ of the diversity.
    #[arg(long, default_value_t = 10.0)]
    gamma: f64,
    #[command(flatten)]
    device: DeviceArgs,
    /// Runs (the loader: epochs) before the clock starts; at least 2 when training.
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    /// Runs (the loader: epochs) that are timed; with 0 only `--roofline` has something to say.
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Times each op over as many further runs: time, share, GFLOP/s and GB/s of each op and of each kind.
    #[arg(long)]
    profile: bool,
    /// Writes the profiled run whose time was the median for Perfetto or chrome://tracing.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Predicts the time of each op from a device's peaks: `h100`, or GFLOP/s and GB/s.
    #[arg(long, value_name = "GFLOPS:GBS")]
    roofline: Option<Roofline>,
    /// What the loader loads.
    #[arg(long, value_name = "SPEC", default_value = "synthetic:train=2048,valid=0,test=0,size=48")]
    data: Spec,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Model {
    /// The diversified ESR.
    Esr,
    /// The diversified MA-Net.
    Manet,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    /// Forward, both diversities, all gradients, SGD.
    Train,
    /// Forward in evaluation mode.
    Infer,
    /// Augmented batches alone.
    Load,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    if args.mode == Mode::Load {
        return load::run(args);
    }
    let (width, classes) = (args.width, 8);
    let network = match args.model {
        Model::Esr => NetworkSpec::Esr(EsrSpec {
            branches: args.branches,
            width,
            size: args.size.unwrap_or(96),
            classes,
            attention: !args.no_attention,
            padding: Padding::Published,
        }),
        Model::Manet => NetworkSpec::Manet(ManetSpec {
            width,
            size: args.size.unwrap_or(224),
            classes,
            local_weight: ManetSpec::LOCAL_WEIGHT,
        }),
    };
    network.validate()?;
    let mut opened = args.device.open()?;
    let train = args.mode == Mode::Train;
    let mode = if train { "train" } else { "infer" };
    let profile = (args.profile || args.trace.is_some()) && args.steps > 0;
    let spec = BenchSpec {
        network,
        train,
        batch: args.batch,
        gamma: args.gamma,
        warmup: args.warmup,
        steps: args.steps,
        profile,
    };
    let report = bench(opened.executor.as_mut(), &spec)?;
    let (model, what) = match args.model {
        Model::Esr => ("esr", format!("esr {mode} B={} N={}", args.branches, args.batch)),
        Model::Manet => ("manet", format!("manet {mode} N={}", args.batch)),
    };
    let mut json = json!({
        "model": model, "mode": mode, "branches": args.branches, "batch": args.batch, "device": opened.name(),
        "dispatches": report.stats.dispatches, "peak_bytes": report.stats.bytes,
    });
    if let Some(median) = report.median() {
        let [min, max] = [report.seconds[0], report.seconds[report.seconds.len() - 1]];
        let images_per_s = args.batch as f64 / median;
        say!(
            "{what}: {images_per_s:.2} images/s, median {median:.4} s (min {min:.4}, max {max:.4}), {} commands, {} MiB",
            report.stats.dispatches,
            report.stats.bytes >> 20,
        );
        json["images_per_s"] = images_per_s.into();
        (json["median_s"], json["min_s"], json["max_s"]) = (median.into(), min.into(), max.into());
        json["created_in_steady_state"] = report.created.into();
        if train {
            json["losses"] = report.losses.clone().into();
        } else {
            json["logits"] = report.logits.clone().into();
        }
    }
    if let Some(bytes) = peak_rss_bytes() {
        json["peak_rss_bytes"] = bytes.into();
    }
    let (profile, roofline) = (report.profile.as_ref(), args.roofline.as_ref());
    if profile.is_some() || roofline.is_some() {
        results(format_args!("{}", tables::text(&report.costs, profile, roofline, args.batch)));
        json["dispatches_by_op"] = report.stats.dispatches_by_op.iter().cloned().collect();
        json["profile"] = tables::json(&report.costs, profile, roofline, args.batch);
    }
    if let (Some(path), Some(profile)) = (&args.trace, profile) {
        let trace = trace(profile, &opened.name(), &what);
        write_atomic(path, "writing the trace", |file| writeln!(file, "{trace}"))?;
        say!("{}: open it in Perfetto or chrome://tracing", path.display());
    }
    Ok(Outcome::passed(json))
}
