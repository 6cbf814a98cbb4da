//! PyTorch's exact numbers, reproduced by the CPU executor in float64 and in float32.
//!
//! The software GPU adapters run the same files in `cargo xtask matrix`.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::path::PathBuf;

use moue::{
    exec::Precision,
    exec::cpu::CpuExecutor,
    verify::{Golden, Verdict, verify},
};

fn open(name: &str) -> Golden {
    let shared = std::env::var_os("MOUE_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let path = shared.join("golden").join(format!("{name}.safetensors"));
    Golden::open(&path).unwrap_or_else(|error| panic!("{error}"))
}

fn f64(name: &str) -> Verdict {
    let mut executor = CpuExecutor::<f64>::new(None).expect("the processor");
    verify(&open(name), &mut executor, Precision::F64).expect("the network runs")
}

fn f32(name: &str) -> Verdict {
    let mut executor = CpuExecutor::<f32>::new(None).expect("the processor");
    verify(&open(name), &mut executor, Precision::F32).expect("the network runs")
}

fn holds(verdict: &Verdict) {
    assert!(verdict.passed(), "{}/{} keys, {:#?}", verdict.compared, verdict.total, verdict.failures);
}

macro_rules! golden {
    ($($name:ident = $file:literal),+ $(,)?) => {
        $(mod $name {
            #[test]
            #[ignore = "needs the golden files: set MOUE_SHARED and run with --include-ignored"]
            fn cpu_f64_equals_pytorch() {
                super::holds(&super::f64($file));
            }

            #[test]
            #[ignore = "needs the golden files: set MOUE_SHARED and run with --include-ignored"]
            fn cpu_f32_stays_below_the_bars() {
                super::holds(&super::f32($file));
            }
        })+
    };
}

golden!(esr3_plain = "esr3_plain", esr3 = "esr3", esr3_gamma = "esr3_gamma0.005", esr9 = "esr9", manet = "manet");

#[test]
fn a_file_that_is_no_golden_file_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.safetensors");
    std::fs::write(&path, b"not safetensors").expect("a file");
    let error = Golden::open(&path).expect_err("no golden file");
    assert!(error.to_string().contains("wrong.safetensors"), "{error}");
    assert_eq!(error.exit_code(), 3);
}
