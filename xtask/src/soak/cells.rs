//! An ablation by four processes in one folder, two of which are killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{Random, compare};
use crate::Result;

const PROCESSES: usize = 4;
const KILLED: usize = 2;
const CELLS: usize = 12;
const EPOCHS: u64 = 4;
/// Longer than it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// Trains the cells by one process, then by several; true where both left the same.
///
/// # Errors
/// A sentence where a process could not be started, or the one that nobody disturbs failed.
pub(super) fn run(program: &Path, folder: &Path, shared: &[&str], random: &mut Random) -> Result<bool> {
    let ablate = |out: &Path| {
        let mut command = Command::new(program);
        command.arg("ablate").args(shared).arg(format!("--epochs={EPOCHS}")).arg("--out").arg(out);
        command.args(["--networks=esr-2", "--variants=plain,attention,both", "--seeds=1,2,3,4"]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    let (one, four) = (folder.join("cells-by-one"), folder.join("cells-by-four"));
    println!(
        "\n{CELLS} cells of an ablation by one process, then by {PROCESSES} in one folder, {KILLED} of them killed"
    );
    let expected = table(&mut ablate(&one))?;
    let start = |_| ablate(&four).stdout(Stdio::null()).spawn().map_err(|error| error.to_string());
    let mut processes = (0..PROCESSES).map(start).collect::<Result<Vec<Child>>>()?;
    let mut problems = Vec::new();
    // Each somewhere in the first two thirds of the work.
    let mut moments: Vec<u64> = (0..KILLED).map(|_| random.within(1..=CELLS as u64 * EPOCHS * 2 / 3)).collect();
    moments.sort_unstable();
    for moment in moments {
        let mut victim = processes.swap_remove(random.within(0..=processes.len() as u64 - 1) as usize);
        if wait(&mut victim, &four, moment)? {
            problems.push(format!("one process ended before {moment} epochs were trained"));
        }
        // One that has ended by itself can't be killed.
        let _ = victim.kill();
        victim.wait().map_err(|error| error.to_string())?;
        println!("killed a process after {} epochs in all", epochs(&four));
    }
    for mut process in processes {
        let status = process.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            problems.push(format!("a process that nobody disturbed: {status}"));
        }
    }
    // What the killed ones had begun, if the others had passed it by.
    match table(&mut ablate(&four)) {
        Err(problem) => problems.push(problem),
        Ok(found) if found != expected => problems.push("another table is printed".into()),
        Ok(_) => {}
    }
    problems.extend(differences(&one, &four));
    let results = rows(&four).map_or(0, |rows| rows.len().saturating_sub(1));
    println!(
        "{results} results for {CELLS} cells, the table and the records {}",
        match &*problems {
            [] => "equal to those of one process".to_owned(),
            some => format!("DIFFER: {}", some.join("; ")),
        }
    );
    Ok(problems.is_empty())
}

/// What the command prints.
fn table(command: &mut Command) -> Result<String> {
    let output = command.stdout(Stdio::piped()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("an ablation by one process: {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Until so many epochs were trained in all; true where the process ended before.
fn wait(process: &mut Child, folder: &Path, moment: u64) -> Result<bool> {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        if process.try_wait().map_err(|error| error.to_string())?.is_some() {
            return Ok(true);
        }
        if epochs(folder) >= moment {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("expected {moment} epochs within {} s", LIMIT.as_secs()))
}

/// The folders of the cells: `ROW/seed-N`.
fn cells(folder: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let mut cells: Vec<_> = below(folder).iter().flat_map(|row| below(row)).collect();
    cells.sort();
    cells
}

/// How many epochs the records of all cells have.
fn epochs(folder: &Path) -> u64 {
    let of = |cell: &PathBuf| fs::read_to_string(cell.join("metrics.jsonl")).unwrap_or_default();
    cells(folder).iter().map(|cell| of(cell).matches("\"kind\":\"epoch\"").count() as u64).sum()
}

/// The lines of the table as numbers, less the seconds that a cell took.
fn rows(folder: &Path) -> Result<Vec<Vec<String>>> {
    let path = folder.join("ablation.csv");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let clock = lines.first().and_then(|names| names.iter().position(|name| *name == "seconds"));
    let timeless = |line: &Vec<&str>| {
        let kept = line.iter().enumerate().filter(|(column, _)| Some(*column) != clock);
        kept.map(|(_, value)| (*value).to_owned()).collect()
    };
    Ok(lines.iter().map(timeless).collect())
}

fn differences(one: &Path, four: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    match (rows(one), rows(four)) {
        (Ok(expected), Ok(found)) => {
            if expected.len() != CELLS + 1 || found.len() != expected.len() {
                problems.push(format!("expected {CELLS} rows, found {} and {}", expected.len() - 1, found.len() - 1));
            } else if expected != found {
                problems.push("ablation.csv".into());
            }
        }
        (expected, found) => problems.extend(expected.err().into_iter().chain(found.err())),
    }
    for cell in cells(one) {
        let name = cell.strip_prefix(one).expect("invariant: a folder in it").to_owned();
        if let Err(problem) = compare::runs(&cell, &four.join(&name)) {
            problems.push(format!("{}: {problem}", name.display()));
        }
    }
    problems
}
