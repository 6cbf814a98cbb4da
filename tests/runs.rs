//! Runs from outside: killed, resumed, and shared by several processes.
#![cfg(all(unix, feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use moue::{
    Error,
    checkpoint::load_model,
    train::{
        Settings,
        run::{Run, TrainingSet},
        trainer::Observer,
    },
};
use serde_json::Value;

const SMALL: &str = "--data synthetic:train=48,valid=16,test=24,size=54 --image-size 54 --width 0.0625 --batch-size 16 \
                     --device cpu --threads 1 --log-every 1";

fn command(folder: &Path, name: &str, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moue"));
    command.current_dir(folder).arg(name).args(arguments.split_whitespace());
    command
}

fn moue(folder: &Path, name: &str, arguments: &str) -> Output {
    command(folder, name, arguments).output().expect("moue starts")
}

fn start(folder: &Path, name: &str, arguments: &str) -> Child {
    command(folder, name, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moue starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

/// Waits until `done`, while the process lives.
fn wait(child: &mut Child, what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}: not within two minutes");
        assert_eq!(child.try_wait().expect("a state"), None, "it ended before {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(mut child: Child) {
    child.kill().expect("kill -9");
    child.wait().expect("an end");
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

/// The lines of a run's records, without what the clock says.
fn records(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("records");
    let timeless = |line: &str| {
        let mut record: Value = serde_json::from_str(line).expect("JSON");
        let keys: Vec<String> = record.as_object().expect("an object").keys().cloned().collect();
        for key in keys.iter().filter(|key| key.contains("seconds") || key.contains("per_s")) {
            record[key] = Value::Null;
        }
        record
    };
    text.lines().map(timeless).collect()
}

fn count(run: &Path, kind: &str) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default().matches(&format!("\"kind\":\"{kind}\"")).count()
}

fn checkpoint(run: &Path, name: &str) -> PathBuf {
    run.join("checkpoints").join(name)
}

#[test]
fn a_run_killed_in_any_stage_goes_on_to_the_same_bits_and_records() {
    let folder = tempfile::tempdir().expect("a folder");
    for schedule in ["joint", "progressive", "fine-tune"] {
        let train = format!("{SMALL} --branches 2 --epochs 6 --stage-epochs 6 --branch-schedule {schedule} --name");
        succeeded(moue(folder.path(), "train", &format!("{train} whole-{schedule}")));
        let whole = folder.path().join("runs").join(format!("whole-{schedule}"));
        let stages = if schedule == "joint" { 1 } else { 2 };
        for stage in 1..=stages {
            let name = format!("{schedule}-{stage}");
            let run = folder.path().join("runs").join(&name);
            let mut child = start(folder.path(), "train", &format!("{train} {name}"));
            wait(&mut child, "its second epoch of the stage", || count(&run, "epoch") >= 6 * (stage - 1) + 2);
            kill(child);
            assert_eq!(json(&run.join("run.json"))["status"], "unfinished");
            fs::write(checkpoint(&run, ".moue-killed.partial"), "half a model").expect("written");
            succeeded(moue(folder.path(), "train", &format!("--resume runs/{name}")));
            for file in ["best.safetensors", "last.safetensors"] {
                let [a, b] = [&whole, &run].map(|run| load_model(&checkpoint(run, file)).expect("a model"));
                assert_eq!(a.tensors, b.tensors, "{name}, {file}");
                assert_eq!(a.meta, b.meta, "{name}, {file}");
                assert!(b.meta.result.is_some(), "{name}, {file}: what the best model reached");
            }
            assert_eq!(records(&run), records(&whole), "{name}");
            assert_eq!(count(&run, "stage"), stages, "{name}");
            let facts = json(&run.join("run.json"));
            assert_eq!(
                (facts["status"].as_str(), facts["resumed"].as_array().map(Vec::len)),
                (Some("finished"), Some(1))
            );
            let left: Vec<_> = [run.clone(), run.join("checkpoints")]
                .iter()
                .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .filter(|name| name.ends_with(".partial") || name.starts_with("claim"))
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

#[test]
fn a_run_killed_before_its_first_checkpoint_begins_again_in_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let train = format!("{SMALL} --branches 2 --epochs 2 --checkpoint-every 9 --name");
    succeeded(moue(folder.path(), "train", &format!("{train} whole")));
    let run = folder.path().join("runs/killed");
    let mut child = start(folder.path(), "train", &format!("{train} killed"));
    wait(&mut child, "its first step", || count(&run, "step") > 0);
    kill(child);
    succeeded(moue(folder.path(), "train", "--resume runs/killed"));
    assert_eq!(records(&run), records(&folder.path().join("runs/whole")));
}

#[test]
fn a_run_in_training_is_not_resumed_by_a_second_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("runs/one");
    let mut first = start(folder.path(), "train", &format!("{SMALL} --branches 2 --epochs 4000 --name one"));
    wait(&mut first, "its first checkpoint", || checkpoint(&run, "last.safetensors").is_file());
    let second = moue(folder.path(), "train", "--resume runs/one");
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    assert!(stderr(&second).contains(&format!("process {}", first.id())), "{}", stderr(&second));
    assert_eq!(stderr(&second).lines().count(), 1, "{}", stderr(&second));
    kill(first);
    // Its claim is seen to be free at once.
    let mut third = start(folder.path(), "train", "--resume runs/one");
    let before = count(&run, "epoch");
    wait(&mut third, "an epoch more", || count(&run, "epoch") > before + 1);
    kill(third);
}

#[test]
fn any_number_of_ablations_share_the_cells_of_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let cells = "--networks esr-2 --variants plain,attention --seeds 1,2,3 --epochs 12";
    let settings = format!("{SMALL} {cells} --json --out");
    succeeded(moue(folder.path(), "ablate", &format!("{settings} alone")));
    // One is killed in its first cell; three more come, and do what it left.
    let cell = folder.path().join("shared/esr-2-plain/seed-1");
    let mut killed = start(folder.path(), "ablate", &format!("{settings} shared"));
    wait(&mut killed, "two epochs of its first cell", || count(&cell, "epoch") >= 2);
    let listed = succeeded(moue(folder.path(), "ablate", &format!("{settings} shared --list")));
    let lines = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(lines.contains(&format!("in training, process {}", killed.id())), "{lines}");
    assert_eq!(lines.lines().filter(|line| line.ends_with("  open")).count(), 5, "{lines}");
    kill(killed);
    let others: Vec<Child> = (0..3)
        .map(|_| {
            let mut command = command(folder.path(), "ablate", &format!("{settings} shared"));
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("moue starts")
        })
        .collect();
    let outputs: Vec<Output> =
        others.into_iter().map(|child| succeeded(child.wait_with_output().expect("an end"))).collect();
    let trained: usize = outputs.iter().map(|output| stderr(output).matches(" of 6: ").count()).sum();
    assert_eq!(trained, 6, "each cell is trained by one process");
    let table = |out: &str| {
        let text = fs::read_to_string(folder.path().join(out).join("ablation.csv")).expect("a table");
        // All but the seconds.
        text.lines()
            .map(|line| {
                line.split(',')
                    .enumerate()
                    .filter(|(at, _)| *at != 15)
                    .map(|(_, cell)| cell.to_owned())
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(table("shared"), table("alone"));
    assert_eq!(table("shared").len(), 7);
    let resumed = json(&cell.join("run.json"))["resumed"].as_array().map(Vec::len);
    assert_eq!(resumed, Some(1), "the killed cell went on");
}

#[test]
fn an_ablation_trains_the_cells_that_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!("{SMALL} --networks esr-2 --variants plain,attention --seeds 1,2 --epochs 1 --out out");
    succeeded(moue(folder.path(), "ablate", &format!("{settings} --cells 1,3-4")));
    let finished = |name: &str| folder.path().join("out").join(name).join("cell.json").is_file();
    let cells = ["esr-2-plain/seed-1", "esr-2-attention/seed-1", "esr-2-plain/seed-2", "esr-2-attention/seed-2"];
    assert_eq!(cells.map(finished), [true, false, true, true]);
    let listed = succeeded(moue(folder.path(), "ablate", &format!("{settings} --list")));
    let lines = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        lines.lines().nth(1).is_some_and(|line| line.contains("esr-2-attention, seed 1") && line.ends_with("open"))
    );
    assert_eq!(lines.matches("finished, accuracy").count(), 3, "{lines}");
    let wrong = moue(folder.path(), "ablate", &format!("{settings} --cells 5"));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("numbers from 1 to 4"), "{}", stderr(&wrong));
}

/// Stops when it is asked for the time after so many looks: before a step or a batch of validation images.
struct Patience(usize);

impl Observer for Patience {
    fn stops(&mut self) -> bool {
        let stops = self.0 == 0;
        self.0 = self.0.saturating_sub(1);
        stops
    }
}

#[test]
fn a_library_user_starts_stops_and_resumes_a_run_also_in_its_last_evaluation() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        data: "synthetic:train=48,valid=16,test=16,size=54".into(),
        image_size: 54,
        width: 0.0625,
        branches: 2,
        batch_size: 16,
        epochs: 2,
        device: "cpu".parse().expect("a device"),
        checkpoint_every: 9,
        out: folder.path().into(),
        ..Settings::default()
    };
    let start = || {
        let set = TrainingSet::load(&settings).expect("drawn faces");
        Run::start(&settings, set, settings.open_device().expect("the processor")).expect("a run")
    };
    let whole = start().train(&mut Patience(usize::MAX)).expect("trained").summary;
    // Two epochs of three steps and a batch of validation images, and the evaluation of the best model.
    for looks in [0, 5, 7, 8] {
        let run = start();
        let path = run.folder().to_owned();
        let stopped = run.train(&mut Patience(looks)).expect_err("stopped");
        assert!(matches!(&stopped, Error::Interrupted { checkpoint } if checkpoint.is_file()), "{looks}: {stopped}");
        assert_eq!(json(&path.join("run.json"))["status"], "interrupted");
        let ended = Run::resume(&path).expect("resumed").train(&mut Patience(usize::MAX)).expect("trained").summary;
        assert_eq!(
            (ended.model_hash, ended.evaluation),
            (whole.model_hash.clone(), whole.evaluation.clone()),
            "{looks}"
        );
    }
}
