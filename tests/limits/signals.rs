//! Signals that ask a program to end.
#![cfg(target_os = "linux")]

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use super::{TRAIN, folder, moue, partial, status, stderr};

/// Waits until a process has a handler for this signal.
fn has_handler(child: &Child, signal: u32) {
    let path = format!("/proc/{}/status", child.id());
    for _ in 0..600 {
        let status = fs::read_to_string(&path).expect("a process");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("signals");
        if u64::from_str_radix(caught.trim(), 16).expect("a mask") >> (signal - 1) & 1 == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no handler for signal {signal}");
}

/// Sends a signal; the output, and how long the process took to end.
fn ended(child: Child, signal: u32) -> (Output, Duration) {
    let begin = Instant::now();
    let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().expect("kill");
    assert!(kill.success());
    let output = child.wait_with_output().expect("moue ends");
    (output, begin.elapsed())
}

#[test]
fn a_signal_while_pictures_are_decoded_ends_at_once_with_130() {
    let folder = folder();
    let pixel = |x: u32, y: u32| image::Rgb([(x * y / 7) as u8, (x ^ y) as u8, (x * x + 3 * y) as u8]);
    let picture = folder.path().join("picture.png");
    image::RgbImage::from_fn(1600, 1600, pixel).save(&picture).expect("a png");
    for split in ["train", "valid"] {
        for class in ["happiness", "sadness"] {
            let path = folder.path().join("faces").join(split).join(class);
            fs::create_dir_all(&path).expect("a folder");
            for number in 0..300 {
                fs::hard_link(&picture, path.join(format!("{split}{number}.png"))).expect("a link");
            }
        }
    }
    for (signal, command) in [
        (15, &["train", "--data", "folder:faces", "--device", "cpu"][..]),
        (2, &["train", "--data", "folder:faces", "--device", "cpu"]),
        (15, &["data", "check", "folder:faces"]),
    ] {
        let mut command = moue(folder.path(), command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("moue starts");
        has_handler(&child, signal);
        std::thread::sleep(Duration::from_millis(300));
        let (output, took) = ended(child, signal);
        assert_eq!(output.status.code(), Some(130), "{:?}: {}", output.status, stderr(&output));
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(!folder.path().join("runs").exists() && partial(folder.path()).is_empty());
    }
}

#[test]
fn a_signal_while_a_training_validates_ends_it_within_a_batch_with_its_state_saved() {
    let folder = folder();
    // One step, then a validation of many times a step's length.
    let data = "synthetic:train=16,valid=1536,test=8,size=54";
    let command =
        [&TRAIN[..], &["--data", data, "--width=0.5", "--branches=4", "--image-size=96", "--epochs=3"]].concat();
    let mut command = moue(folder.path(), &command);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("moue starts");
    let records = folder.path().join("runs/run/metrics.jsonl");
    let records = || fs::read_to_string(&records).unwrap_or_default();
    let begin = Instant::now();
    while !records().contains("\"kind\":\"step\"") {
        assert!(begin.elapsed() < Duration::from_secs(120), "no step");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (output, took) = ended(child, 15);
    assert_eq!(output.status.code(), Some(130), "{:?}: {}", output.status, stderr(&output));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    // The epoch that was being validated has no record yet.
    assert!(!records().contains("\"kind\":\"epoch\""), "{}", records());
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(status(folder.path()), "interrupted");
    assert!(folder.path().join("runs/run/checkpoints/last.safetensors").is_file() && partial(folder.path()).is_empty());
}

#[test]
fn a_hang_up_saves_and_ends_a_training_but_not_one_that_was_started_to_ignore_it() {
    let data = "synthetic:train=256,valid=16,test=8,size=54";
    for ignored in [false, true] {
        let folder = folder();
        let plain = moue(folder.path(), &[&TRAIN[..], &["--data", data, "--image-size=54", "--epochs=2"]].concat());
        let mut command = Command::new("env");
        command.arg(if ignored { "--ignore-signal=HUP" } else { "--default-signal=HUP" });
        command.arg(plain.get_program()).args(plain.get_args());
        command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("sh starts");
        let records = folder.path().join("runs/run/metrics.jsonl");
        let begin = Instant::now();
        while !fs::read_to_string(&records).unwrap_or_default().contains("\"kind\":\"step\"") {
            assert!(begin.elapsed() < Duration::from_secs(120), "no step");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (output, _) = ended(child, 1);
        let expected = if ignored { (Some(0), "finished") } else { (Some(130), "interrupted") };
        assert_eq!((output.status.code(), &*status(folder.path())), expected, "{}", stderr(&output));
    }
}
