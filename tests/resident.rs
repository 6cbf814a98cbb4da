//! Training on images that stay on the device: one trial for each claim and device.

mod support;
mod support_train;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial, run};
use moue::{
    Error,
    data::Pool,
    exec::Executor,
    train::{
        Settings,
        resident::Residency,
        settings::words::{BranchSchedule, DiversityWeight, Resident},
        trainer::Start,
    },
};

use support::device::{Gpus, cpus, gpus};
use support_train::{Memory, data, epochs_are_of_all_steps, resumes_to_the_same_bits, settings, trained};

type Claim = fn(&mut dyn Executor) -> Result<(), String>;

fn main() -> ExitCode {
    let claims: [(&str, Claim); 6] = [
        ("its_loss_follows_label_smoothing", its_loss_follows_label_smoothing),
        ("its_losses_are_those_of_the_loaders_batches", its_losses_are_those_of_the_loaders_batches),
        ("a_resumed_run_equals_an_uninterrupted_one", a_resumed_run_equals_an_uninterrupted_one),
        ("a_resumed_run_finds_the_same_weights_of_diversity", a_resumed_run_finds_the_same_weights_of_diversity),
        ("its_epochs_records_are_of_all_steps", its_epochs_records_are_of_all_steps),
        ("the_choice_follows_the_device_and_says_why", the_choice_follows_the_device_and_says_why),
    ];
    let Gpus { found, unusable, .. } = gpus();
    let ignored = |reason: &String| Trial::test(reason, || Err("only listed".into())).with_ignored_flag(true);
    let mut trials: Vec<_> = unusable.iter().map(ignored).collect();
    // Training in float64 is no one's wish.
    for device in cpus().into_iter().skip(1).chain(found).map(Arc::new) {
        for (name, claim) in claims {
            let device = Arc::clone(&device);
            let name = format!("{name}::{}", device.name);
            trials.push(Trial::test(name, move || Ok(device.run(Arc::new(move |executor, _| claim(executor)))?)));
        }
    }
    let conclusion = run(&Arguments::from_args(), trials);
    // As in tests/gpu.rs: threads may still be in their drivers' destructors.
    std::thread::sleep(std::time::Duration::from_millis(300));
    conclusion.exit_code()
}

fn text(error: Error) -> String {
    error.to_string()
}

/// One epoch of three steps a stage, every step read.
fn short(schedule: BranchSchedule) -> Settings {
    Settings { epochs: 1, log_every: 1, mixup: 0.4, ..settings(schedule) }
}

fn pool() -> Result<Arc<Pool>, String> {
    Ok(Arc::new(Pool::new(&data().split("train").map_err(text)?.samples, 1 << 20)?))
}

/// Of two stages: the second finds the images again. The learning rate is so small that each loss is its batch's, and
/// does not say how far rounding has carried the parameters.
fn its_losses_are_those_of_the_loaders_batches(executor: &mut dyn Executor) -> Result<(), String> {
    let (mut host, mut device) = (Memory::default(), Memory::default());
    let still = Settings { lr: 1e-6, trained_lr: 1e-6, ..short(BranchSchedule::Progressive) };
    trained(executor, &still, None, Start::default(), &mut host).map_err(text)?;
    trained(executor, &still, Some(&pool()?), Start::default(), &mut device).map_err(text)?;
    // The processor makes the loader's bits; elsewhere pixels differ in the fifth place.
    let allowed = if executor.device().kind == "cpu" { 0.0 } else { 1e-4 };
    let apart = |(a, b): (&f64, &f64)| (a - b).abs() <= allowed * b.abs();
    if (host.losses.len(), device.losses.len()) == (6, 6) && device.losses.iter().zip(&host.losses).all(apart) {
        Ok(())
    } else {
        Err(format!("{:?} instead of {:?}", device.losses, host.losses))
    }
}

fn a_resumed_run_equals_an_uninterrupted_one(executor: &mut dyn Executor) -> Result<(), String> {
    resumes_to_the_same_bits(executor, &short(BranchSchedule::Joint), Some(&pool()?), 2)
}

/// In the middle of the epoch for which they were found.
fn a_resumed_run_finds_the_same_weights_of_diversity(executor: &mut dyn Executor) -> Result<(), String> {
    let diversity_weight = DiversityWeight::Share(0.5);
    let settings = Settings { diversity_weight, ..short(BranchSchedule::Joint) };
    resumes_to_the_same_bits(executor, &settings, Some(&pool()?), 2)
}

/// The cross-entropy is linear in the targets, so the first loss is linear in the share that is spread; it is largest for
/// targets of which most is.
fn its_loss_follows_label_smoothing(executor: &mut dyn Executor) -> Result<(), String> {
    let mut first = |label_smoothing, pool: Option<&Arc<Pool>>| {
        let settings = Settings { label_smoothing, ..short(BranchSchedule::Joint) };
        let mut memory = Memory { stop_after: Some(1), ..Memory::default() };
        trained(executor, &settings, pool, Start::default(), &mut memory).map_err(text)?;
        Ok::<f64, String>(memory.losses[0])
    };
    let pool = pool()?;
    let [none, half, most] = [first(0.0, None)?, first(0.4, None)?, first(0.8, Some(&pool))?];
    // Losses near 2·ln 8 in f32; pixels that a GPU makes itself differ in the fifth place.
    if (half - none).abs() < 1e-3 || ((most - none) - 2.0 * (half - none)).abs() > 1e-3 {
        return Err(format!("{none}, {half}, {most} for shares of 0, 0.4 and 0.8"));
    }
    Ok(())
}

fn its_epochs_records_are_of_all_steps(executor: &mut dyn Executor) -> Result<(), String> {
    epochs_are_of_all_steps(executor, &short(BranchSchedule::Joint), Some(&pool()?))
}

fn the_choice_follows_the_device_and_says_why(executor: &mut dyn Executor) -> Result<(), String> {
    let data = data();
    let samples = &data.split("train").map_err(text)?.samples;
    let info = executor.device().clone();
    for (asked, expected, why) in [
        (Resident::Off, false, "asked for with --resident off"),
        (Resident::On, true, "asked for with --resident on"),
        (
            Resident::Auto,
            info.kind == "gpu" && !info.software,
            if info.kind == "cpu" { "processor itself" } else { "" },
        ),
    ] {
        let chosen = Residency::choose(asked, executor, samples).map_err(text)?;
        if chosen.pool.is_some() != expected || !chosen.reason.contains(why) {
            return Err(format!("{asked}: {chosen:?}"));
        }
    }
    match Residency::choose(Resident::On, executor, &[]) {
        Err(error) if error.exit_code() == 2 && error.to_string().starts_with("--resident") => Ok(()),
        other => Err(format!("no image: {other:?}")),
    }
}
