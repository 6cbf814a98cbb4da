//! One trial for each case and device of this machine.

use std::{env, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial, run};

use crate::{
    cases,
    support::{
        case::Case,
        device::{Device, Gpus, cpus, gpus},
    },
};

/// Runs the trials that the arguments choose.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Gpus { found, mixed, unusable } = gpus();
    let mut trials = vec![required_adapters(found.len(), &unusable)];
    trials.extend(unusable.iter().map(|reason| ignored(&format!("gpu cases ({reason})"))));
    let devices: Vec<_> = cpus().into_iter().chain(found).map(Arc::new).collect();
    trials.extend(cases::comparator());
    trials.extend(on_each(cases::all(), &devices));
    if mixed.is_empty() {
        trials.push(ignored("conv2d in mixed precision (no adapter has f16 in shaders)"));
    }
    let mixed: Vec<_> = mixed.into_iter().map(Arc::new).collect();
    trials.extend(on_each(cases::mixed(), &mixed));
    let conclusion = run(&arguments, trials);
    // As in tests/gpu.rs: threads may still be in their drivers' destructors.
    std::thread::sleep(std::time::Duration::from_millis(300));
    conclusion.exit_code()
}

/// A trial for each case and device.
fn on_each(cases: Vec<Case>, devices: &[Arc<Device>]) -> Vec<Trial> {
    let trial = |case: &Case, device: &Arc<Device>| {
        let (device, run) = (Arc::clone(device), Arc::clone(&case.run));
        let name = format!("{}::{}", case.name, device.name);
        Trial::test(name, move || Ok(device.run(run)?))
    };
    cases.iter().flat_map(|case| devices.iter().map(move |device| trial(case, device))).collect()
}

/// Fails where the environment asks for more adapters than there are.
fn required_adapters(found: usize, unusable: &[String]) -> Trial {
    let reasons = unusable.join("; ");
    let Ok(text) = env::var("MOUE_REQUIRE_ADAPTERS") else {
        return ignored("gpu adapters are enough (MOUE_REQUIRE_ADAPTERS is not set)");
    };
    Trial::test("gpu adapters are enough", move || match text.parse::<usize>() {
        Ok(required) if found >= required => Ok(()),
        Ok(required) => Err(format!("{required} adapters required, {found} usable found; {reasons}").into()),
        Err(error) => Err(format!("MOUE_REQUIRE_ADAPTERS={text} is no number: {error}").into()),
    })
}

fn ignored(name: &str) -> Trial {
    Trial::test(name, || Err("only listed".into())).with_ignored_flag(true)
}
