//! PyTorch's exact numbers, reproduced by the CPU executor in float64 and in float32.
//!
//! The software GPU adapters run the same files in `cargo xtask matrix`.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::path::PathBuf;

use moue::{
    exec::Precision,
    exec::cpu::CpuExecutor,
    models::{ManetSpec, NetworkSpec},
    train::{session::Evaluator, trainer::fresh},
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

/// A MA-Net whose λ is 0.25 (tests/fixtures/make_golden.py), with `lam` as its metadata's λ.
fn with_local_weight(lam: &str) -> moue::Result<Golden> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manet_local_weight_0.25.safetensors");
    let mut bytes = std::fs::read(&path).expect("the fixture");
    let entry = br#""lam":"0.25""#;
    let at = bytes.windows(entry.len()).position(|window| window == entry).expect("the metadata's λ");
    bytes[at + 7..at + 11].copy_from_slice(lam.as_bytes());
    Golden::read(&path, &bytes)
}

#[test]
fn a_manet_with_another_local_weight_equals_pytorch_in_f64() {
    let mut executor = CpuExecutor::<f64>::new(None).expect("the processor");
    let golden = with_local_weight("0.25").expect("a golden file");
    holds(&verify(&golden, &mut executor, Precision::F64).expect("the network runs"));
}

#[test]
fn a_manet_with_another_local_weight_stays_below_the_bars_in_f32_and_with_the_papers_it_does_not() {
    let mut executor = CpuExecutor::<f32>::new(None).expect("the processor");
    let golden = with_local_weight("0.25").expect("a golden file");
    holds(&verify(&golden, &mut executor, Precision::F32).expect("the network runs"));
    let wrong = with_local_weight("0.60").expect("a golden file");
    let verdict = verify(&wrong, &mut executor, Precision::F32).expect("the network runs");
    assert!(verdict.failures.iter().any(|failure| failure.starts_with("train.total")), "{:#?}", verdict.failures);
}

#[test]
fn a_golden_file_with_a_local_weight_out_of_range_is_refused() {
    let error = with_local_weight("1.25").expect_err("no share").to_string();
    assert!(error.contains("local_weight of a share from 0 to 1, found 1.25"), "{error}");
}

#[test]
fn a_manets_answer_is_its_branches_logits_weighted_by_its_local_weight() {
    for local_weight in [0.0, 0.25, 0.6, 1.0] {
        let spec = NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 32, classes: 4, local_weight });
        let tensors = fresh(&spec, 3).expect("a network");
        let mut executor = CpuExecutor::<f32>::new(None).expect("the processor");
        let mut evaluator = Evaluator::new(&mut executor, &spec, 1, &tensors).expect("the network fits");
        let image: Vec<f32> = (0..3 * 32 * 32).map(|i| (i * i % 97) as f32 / 97.0).collect();
        let logits = evaluator.answer(&image).expect("logits").logits;
        let [local, global, combined] = [0, 1, 2].map(|head| &logits[4 * head..4 * head + 4]);
        assert!(local.iter().zip(global).any(|(l, g)| (l - g).abs() > 1e-3), "{logits:?}");
        for ((l, g), c) in local.iter().zip(global).zip(combined) {
            let expected = local_weight as f32 * l + (1.0 - local_weight) as f32 * g;
            assert!(
                (c - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "λ {local_weight}: {c} instead of {expected}"
            );
        }
    }
}
