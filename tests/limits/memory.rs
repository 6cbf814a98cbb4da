//! Memory and disks that are full.

use std::process::{Command, Output};

use super::{TRAIN, ends, folder, model, moue, partial, pictures::png, status, stderr};

/// Runs a command after a line of shell that sets limits.
fn limited(limits: &str, command: &Command) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().expect("a folder")).env("RUST_BACKTRACE", "1");
    shell.output().expect("sh starts")
}

#[test]
#[cfg(target_os = "linux")]
fn where_memory_ends_a_command_ends_with_4_and_one_sentence() {
    let folder = folder();
    model(folder.path());
    let network = ["--branches=16", "--batch-size=64", "--width=1"];
    let bench = [&["bench", "--device=cpu", "--steps=1"][..], &network].concat();
    let large = ["train", "--data=synthetic:train=64,valid=8,test=8,size=96", "--image-size=96", "--device=cpu"];
    let train = [&large[..], &network].concat();
    // 1.6 GB once it is decoded.
    png(&folder.path().join("huge.png"), [40_000, 40_000], 40);
    let predict = ["predict", "huge.png", "--model", "model.safetensors", "--device=cpu", "--max-pixels", "1600000000"];
    for command in [&bench[..], &train, &predict] {
        let output = limited("ulimit -v 600000", &moue(folder.path(), command));
        ends(&output, 4, &["cpu", "bytes", "smaller batch"]);
    }
    // A limit that is enough changes nothing.
    let predict = ["predict", "face.png", "--model", "model.safetensors", "--device=cpu"];
    ends(&limited("ulimit -v 600000", &moue(folder.path(), &predict)), 0, &[]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_a_training_with_1_and_leaves_no_part_of_a_file() {
    let folder = folder();
    // Files of 4 KiB at most: the first model is larger. The signal is ignored as on a disk that is full.
    let output = limited("trap '' XFSZ; ulimit -f 8", &moue(folder.path(), &TRAIN));
    ends(&output, 1, &["runs/run", "writing", "File too large", "free space on the disk"]);
    assert_eq!(partial(folder.path()), [""; 0].map(std::path::PathBuf::from));
    assert!(!folder.path().join("runs/run/checkpoints/last.safetensors").exists(), "{}", stderr(&output));
    assert_eq!(status(folder.path()), "failed");
}
