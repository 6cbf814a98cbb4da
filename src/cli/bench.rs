//! `moue bench`: times the whole training step, or inference.

use clap::ValueEnum;
use serde_json::json;

use super::{Outcome, device};
use crate::{
    Result,
    exec::{DeviceChoice, Precision},
    models::EsrSpec,
    train::bench::{BenchSpec, bench, profile},
};

/// Arguments of `moue bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The network.
    #[arg(long, value_enum, default_value = "esr")]
    model: Model,
    /// Training steps, or inference.
    #[arg(long, value_enum, default_value = "train")]
    mode: Mode,
    /// Branches, 1 to 16.
    #[arg(long, default_value_t = 9)]
    branches: usize,
    /// Images of a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Side of the images, in pixels.
    #[arg(long, default_value_t = 96)]
    size: usize,
    /// Multiplier of all widths.
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Leaves CBAM and the diversity out.
    #[arg(long)]
    no_attention: bool,
    /// γ of the diversity.
    #[arg(long, default_value_t = 10.0)]
    gamma: f64,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Threads of the processor; all by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Runs before the clock starts (at least 2 when training).
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    /// Runs that are timed.
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Times each op of one more run, and counts the commands by op.
    #[arg(long)]
    profile: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Model {
    /// The diversified ESR.
    Esr,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    /// Forward, both diversities, all gradients, SGD.
    Train,
    /// Forward in evaluation mode.
    Infer,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let Model::Esr = args.model;
    let esr = EsrSpec {
        branches: args.branches,
        width: args.width,
        size: args.size,
        classes: 8,
        attention: !args.no_attention,
    };
    esr.validate()?;
    let mut opened = device::open(&args.device, Precision::F32, args.threads)?;
    eprintln!("device: {}, because {}", opened.name(), opened.reason);
    let train = args.mode == Mode::Train;
    let steps = args.steps.max(1);
    let spec = BenchSpec { esr, train, batch: args.batch, gamma: args.gamma, warmup: args.warmup, steps };
    let report = bench(opened.executor.as_mut(), &spec)?;
    let median = report.median();
    let images_per_s = args.batch as f64 / median;
    println!(
        "esr {} B={} N={}: {images_per_s:.2} images/s, median {:.4} s (min {:.4}, max {:.4}), {} commands, {} MiB",
        if train { "train" } else { "infer" },
        args.branches,
        args.batch,
        median,
        report.seconds[0],
        report.seconds[steps - 1],
        report.stats.dispatches,
        report.stats.bytes >> 20,
    );
    let mut json = json!({
        "model": "esr", "mode": if train { "train" } else { "infer" }, "branches": args.branches, "batch": args.batch,
        "images_per_s": images_per_s, "median_s": median, "min_s": report.seconds[0],
        "max_s": report.seconds[steps - 1], "device": opened.name(), "dispatches": report.stats.dispatches,
        "peak_bytes": report.stats.bytes, "losses": report.losses, "created_in_steady_state": report.created,
    });
    if args.profile {
        json["dispatches_by_op"] = report.stats.dispatches_by_op.iter().cloned().collect();
        print_profile(opened.executor.as_mut(), &spec, &report.stats.dispatches_by_op)?;
    }
    Ok(Outcome::passed(json))
}

fn print_profile(executor: &mut dyn crate::exec::Executor, spec: &BenchSpec, by_op: &[(String, usize)]) -> Result<()> {
    for (op, count) in by_op {
        println!("{count:>5} commands  {op}");
    }
    let mut times = profile(executor, spec)?;
    let total: f64 = times.iter().map(|time| time.seconds).sum();
    let convolutions = || times.iter().filter(|time| time.op.contains("Conv2d"));
    let flops: f64 = convolutions().map(|time| time.flops as f64).sum();
    let rate = |seconds: f64| flops / seconds.max(1e-12) / 1e9;
    println!(
        "convolutions: {:.1} GFLOP at {:.1} GFLOP/s; over the whole run {:.1} GFLOP/s",
        flops / 1e9,
        rate(convolutions().map(|time| time.seconds).sum()),
        rate(total),
    );
    times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    println!("{:>9} {:>6} {:>10}  op", "ms", "%", "GFLOP/s");
    for time in &times {
        let rate = time.flops as f64 / time.seconds.max(1e-12) / 1e9;
        println!("{:>9.3} {:>6.1} {:>10.1}  {}", time.seconds * 1e3, 100.0 * time.seconds / total, rate, time.op);
    }
    Ok(())
}
