//! Stdout and stderr that take nothing.

use std::{fs::File, process::Stdio};

use super::{TRAIN, ends, folder, model, moue, status, stderr};

const FACES: &str = "synthetic:train=24,valid=8,test=8,size=54";

/// A pipe whose reader has gone before anything was written.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A device on which there is never space.
#[cfg(target_os = "linux")]
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("a full device").into()
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let folder = folder();
    model(folder.path());
    let commands: [&[&str]; 5] = [
        &["data", "check", FACES],
        &["data", "check", FACES, "--json"],
        &["predict", "--model", "model.safetensors", "face.png", "face.png", "--device", "cpu"],
        &["predict", "--model", "model.safetensors", "face.png", "--device", "cpu", "--csv", "--json"],
        &["doctor"],
    ];
    for command in commands {
        let output = moue(folder.path(), command).stdout(closed()).output().expect("moue starts");
        ends(&output, 0, &[]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_cannot_be_written_fail_in_one_sentence() {
    let folder = folder();
    model(folder.path());
    for more in [&[][..], &["--csv"], &["--json"]] {
        let command = ["predict", "--model", "model.safetensors", "face.png", "--device", "cpu"];
        let output = moue(folder.path(), &[&command, more].concat()).stdout(full()).output().expect("moue starts");
        ends(&output, 1, &["standard output", "No space left", "free space"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn progress_that_cannot_be_written_is_dropped() {
    let folder = folder();
    model(folder.path());
    for nowhere in [closed, full] {
        let command = ["predict", "--model", "model.safetensors", "face.png", "--device", "cpu"];
        let output = moue(folder.path(), &command).stderr(nowhere()).output().expect("moue starts");
        ends(&output, 0, &[]);
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("face.png: "), "{}", stderr(&output));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_training_goes_on_where_nobody_takes_its_output_and_its_folder_is_whole() {
    for (stdout, stderr, code) in [(closed(), closed(), 0), (full(), Stdio::piped(), 1), (Stdio::piped(), full(), 0)] {
        let folder = folder();
        let output = moue(folder.path(), &TRAIN).stdout(stdout).stderr(stderr).output().expect("moue starts");
        ends(&output, code, if code == 0 { &[] } else { &["standard output", "No space left"] });
        assert_eq!(status(folder.path()), "finished");
        for file in ["report.html", "MODEL_CARD.md", "checkpoints/last.safetensors", "checkpoints/best.safetensors"] {
            assert!(folder.path().join("runs/run").join(file).metadata().is_ok_and(|data| data.len() > 0), "{file}");
        }
    }
}
