//! `moue ablate`: its cells, its tables, and going on after an interruption.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const SMALL: [&str; 16] = [
    "--data",
    "synthetic:train=48,valid=16,test=24,size=54",
    "--image-size",
    "54",
    "--width",
    "0.0625",
    "--networks",
    "esr-2",
    "--batch-size",
    "16",
    "--epochs",
    "2",
    "--device",
    "cpu",
    "--log-every",
    "1",
];

fn command(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moue"));
    command.current_dir(folder).arg("ablate").args(SMALL).args(["--out", out, "--json"]).args(more);
    command
}

fn ablate(folder: &Path, out: &str, more: &[&str]) -> Output {
    command(folder, out, more).output().expect("moue starts")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {text}\n{}", stderr(output)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What training and evaluation reached, without how long it took.
fn timeless(result: &Value) -> Vec<Value> {
    let mut cells = result["cells"].as_array().expect("cells").clone();
    cells.iter_mut().for_each(|cell| cell["seconds"] = Value::Null);
    cells
}

#[test]
fn every_row_and_seed_is_trained_once_and_tabulated() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = ["--variants", "plain,both", "--gammas", "10,auto", "--seeds", "1,2"];
    let output = ablate(folder.path(), "all", &rows);
    assert!(output.status.success(), "{}", stderr(&output));
    let result = json(&output);
    let cells = result["cells"].as_array().expect("cells");
    assert_eq!((cells.len(), result["of"].as_u64()), (6, Some(6)));
    for cell in cells {
        let vote = cell["evaluation"]["accuracy"].as_f64();
        assert_eq!(cell["evaluation"]["images"], 24);
        assert_eq!(cell["exits"][1]["vote"].as_f64(), vote, "the last exit is the whole ensemble");
        assert_eq!(cell["exits"][0]["vote"], cell["branches"][0], "the first exit is the first branch");
        let diversified = !cell["row"]["gamma"].is_null();
        assert_eq!(!cell["similarity"][0].is_null() && !cell["similarity"][1].is_null(), diversified, "{cell}");
    }
    let read = |name: &str| fs::read_to_string(folder.path().join("all").join(name)).expect("a table");
    let table = read("ablation.md");
    for text in
        ["| esr-2 | – | – | – | – | 2 |", "| esr-2 | ✓ | ✓ | ✓ | 10 | 2 |", "| esr-2 | ✓ | ✓ | ✓ | auto | 2 |", " ± "]
    {
        assert!(table.contains(text), "`{text}` is not in {table}");
    }
    assert_eq!(read("ablation.csv").lines().count(), 7);
    assert!(read("ablation.svg").starts_with("<svg") && read("ablation.svg").matches("<circle").count() == 6);

    // A second call trains nothing and says the same.
    let before = fs::metadata(folder.path().join("all/esr-2-plain/seed-1/checkpoints/last.safetensors"));
    let again = ablate(folder.path(), "all", &rows);
    assert_eq!(json(&again), result);
    let after = fs::metadata(folder.path().join("all/esr-2-plain/seed-1/checkpoints/last.safetensors"));
    assert_eq!(before.expect("a file").modified().ok(), after.expect("a file").modified().ok());
    // Without the files of one cell, the table says how many there are.
    fs::remove_dir_all(folder.path().join("all/esr-2-plain/seed-2")).expect("a cell goes");
    let table = ablate(folder.path(), "all", &[&rows[..], &["--table"]].concat());
    assert_eq!(json(&table)["cells"].as_array().map(Vec::len), Some(5));
    // Other settings are not mixed with those cells.
    let other = ablate(folder.path(), "all", &[&rows[..], &["--lr", "0.5"]].concat());
    assert_eq!(other.status.code(), Some(3), "{}", stderr(&other));
    assert!(stderr(&other).contains("`lr` 0.08 instead of 0.5"), "{}", stderr(&other));
}

#[cfg(unix)]
#[test]
fn an_interrupted_ablation_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = ["--variants", "attention,spatial", "--seeds", "3", "--epochs", "40"];
    let whole = ablate(folder.path(), "whole", &rows);
    assert!(whole.status.success(), "{}", stderr(&whole));

    let mut child = command(folder.path(), "parts", &rows)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("moue starts");
    // The first checkpoint of the second cell: the first one is finished, the second one under way.
    let checkpoint = folder.path().join("parts/esr-2-spatial-gamma-10/seed-3/checkpoints/last.safetensors");
    let start = Instant::now();
    while !checkpoint.is_file() {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
        assert_eq!(child.try_wait().expect("a state"), None, "it ended before it could be interrupted");
        std::thread::sleep(Duration::from_millis(2));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(!folder.path().join("parts/esr-2-spatial-gamma-10/seed-3/cell.json").exists(), "interrupted too late");
    assert!(folder.path().join("parts/esr-2-attention/seed-3/cell.json").exists());

    let rest = ablate(folder.path(), "parts", &rows);
    assert!(rest.status.success(), "{}", stderr(&rest));
    assert_eq!(timeless(&json(&rest)), timeless(&json(&whole)));
    // A training that begins anew would end with the same bits: this one went on.
    let facts = fs::read_to_string(folder.path().join("parts/esr-2-spatial-gamma-10/seed-3/run.json")).expect("facts");
    let facts: Value = serde_json::from_str(&facts).expect("JSON");
    assert_eq!(facts["resumed"].as_array().map(Vec::len), Some(1), "{facts}");
}

#[test]
fn settings_that_the_rows_decide_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flags, words) in [
        (["--branches", "4"], ["--branches", "--networks"]),
        (["--attention", "false"], ["--attention", "--variants"]),
        (["--gamma", "5"], ["--gamma", "--gammas"]),
        (["--seed", "5"], ["--seed", "--seeds"]),
        (["--networks", "vgg"], ["--networks", "esr-9"]),
    ] {
        let output = ablate(folder.path(), "out", &flags);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        for word in words {
            assert!(stderr(&output).contains(word), "`{word}` is not in: {}", stderr(&output));
        }
    }
    assert!(!folder.path().join("out").exists());
}
