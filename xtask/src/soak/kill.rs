//! A training that is killed once and resumed.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Random, compare};
use crate::Result;

/// How often a kill is tried that came too late: the run had ended, or the checkpoint was whole.
const TRIES: usize = 20;
/// Longer than any of these runs on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A training's arguments, and what it leaves where nobody disturbs it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    args: Vec<String>,
    /// The folder of the run that nobody disturbed.
    pub(super) folder: PathBuf,
    /// The steps of each stage.
    pub(super) stages: Vec<RangeInclusive<u64>>,
}

impl Plan {
    /// Trains it once.
    pub(super) fn new(program: &Path, folder: &Path, name: &str, shared: &[&str], own: &[&str]) -> Result<Self> {
        let args: Vec<String> = shared.iter().chain(own).map(|arg| (*arg).to_owned()).collect();
        let folder = folder.join(name);
        let mut plan = Self { name: name.to_owned(), args, folder: folder.clone(), stages: Vec::new() };
        println!("$ moue train {}", plan.args.join(" "));
        finished(plan.start(program, &folder)?).map_err(|problem| format!("the undisturbed run {name}: {problem}"))?;
        for record in compare::records(&folder)? {
            match (record["kind"].as_str(), record["step"].as_u64(), plan.stages.last_mut()) {
                (Some("stage"), ..) => plan.stages.push(RangeInclusive::new(1, 0)),
                (Some("step"), Some(step), Some(stage)) if stage.is_empty() => *stage = step..=step,
                (Some("step"), Some(step), Some(stage)) => *stage = *stage.start()..=step,
                _ => {}
            }
        }
        if plan.stages.is_empty() || plan.stages.iter().any(RangeInclusive::is_empty) {
            return Err(format!("{}: expected steps in each stage", folder.display()));
        }
        Ok(plan)
    }

    pub(super) fn steps(&self) -> u64 {
        self.stages.last().map_or(0, |stage| *stage.end())
    }

    fn start(&self, program: &Path, folder: &Path) -> Result<Child> {
        let (out, name) = (folder.parent().unwrap_or(folder), folder.file_name().unwrap_or_default());
        let mut command = Command::new(program);
        command.arg("train").args(&self.args).arg("--out").arg(out).arg("--name").arg(name);
        spawn(command)
    }
}

fn spawn(mut command: Command) -> Result<Child> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    child.map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))
}

/// Waits for the end, which must be a good one.
fn finished(child: Child) -> Result<()> {
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, said.trim().lines().last().unwrap_or("nothing was said")))
}

/// When a run is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    /// Which run.
    pub(super) plan: usize,
    /// In which of its stages.
    pub(super) stage: usize,
    /// As soon as its records have this step.
    pub(super) step: u64,
    /// Not at once, but while the next checkpoint is written.
    pub(super) saving: bool,
}

/// What became of it.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// The last step in the records of the killed run; none where it couldn't be killed.
    pub(super) killed: Option<u64>,
    /// The step of the checkpoint that it went on from; none where there was no checkpoint.
    pub(super) resumed: Option<u64>,
    /// Whether it ended as the run that nobody disturbed, or what differs.
    pub(super) end: Result<()>,
}

impl Outcome {
    pub(super) fn verdict(&self) -> String {
        self.end.clone().map_or_else(|problem| format!("DIFFERS: {problem}"), |()| "equal".to_owned())
    }
}

/// As many kills for each stage of each run, at steps that are equally likely; one in `one_in` waits for a checkpoint.
pub(super) fn draw(plans: &[Plan], count: usize, one_in: usize, random: &mut Random) -> Vec<Kill> {
    let stages: Vec<(usize, usize)> = plans
        .iter()
        .enumerate()
        .flat_map(|(plan, each)| (0..each.stages.len()).map(move |stage| (plan, stage)))
        .collect();
    let mut kills = Vec::new();
    for index in 0..count {
        let (plan, stage) = stages[index % stages.len()];
        let step = random.within(plans[plan].stages[stage].clone());
        // Each stage has its turn, and so has each of its kills.
        kills.push(Kill { plan, stage, step, saving: index % one_in == (index / one_in) % one_in });
    }
    kills
}

impl Kill {
    /// Trains, kills, resumes and compares.
    pub(super) fn run(&self, program: &Path, plan: &Plan, folder: &Path) -> Outcome {
        match self.kill(program, plan, folder) {
            Err(problem) => Outcome { killed: None, resumed: None, end: Err(problem) },
            Ok(killed) => {
                let resumed = compare::step_of(&folder.join("checkpoints/last.safetensors"));
                let mut command = Command::new(program);
                command.arg("train").arg("--resume").arg(folder);
                let end = spawn(command).and_then(finished).and_then(|()| compare::runs(&plan.folder, folder));
                Outcome { killed: Some(killed), resumed, end }
            }
        }
    }

    /// Starts the run anew until a kill comes in time; the last step in its records.
    fn kill(&self, program: &Path, plan: &Plan, folder: &Path) -> Result<u64> {
        for _ in 0..TRIES {
            let _ = fs::remove_dir_all(folder);
            let mut child = plan.start(program, folder)?;
            let is_time = self.wait(&mut child, folder);
            // One that has ended by itself can't be killed.
            let _ = child.kill();
            let output = child.wait_with_output().map_err(|error| error.to_string())?;
            is_time?;
            let is_in_time = !output.status.success() && (!self.saving || is_saving(folder));
            if is_in_time {
                return last_step(folder).ok_or_else(|| "killed before its first step".to_owned());
            }
        }
        Err(format!("{TRIES} kills at step {} came too late", self.step))
    }

    /// Until it is time, or the run has ended.
    fn wait(&self, child: &mut Child, folder: &Path) -> Result<()> {
        let begin = Instant::now();
        let (mut seen, mut text, mut step) = (0, String::new(), None);
        while begin.elapsed() < LIMIT {
            if step < Some(self.step) {
                seen = read_on(&folder.join("metrics.jsonl"), seen, &mut text);
                while let Some(end) = text.find('\n') {
                    let record: Value = serde_json::from_str(&text[..end]).unwrap_or_default();
                    if record["kind"] == "step" {
                        step = step.max(record["step"].as_u64());
                    }
                    text.drain(..=end);
                }
            } else if !self.saving || is_saving(folder) {
                return Ok(());
            }
            if child.try_wait().map_err(|error| error.to_string())?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(format!("expected step {} within {} s", self.step, LIMIT.as_secs()))
    }
}

/// Appends what a growing file has after `from`; where it ends now.
fn read_on(path: &Path, from: u64, text: &mut String) -> u64 {
    let Ok(mut file) = fs::File::open(path) else { return from };
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(from)).is_err() || file.read_to_end(&mut bytes).is_err() {
        return from;
    }
    text.push_str(&String::from_utf8_lossy(&bytes));
    from + bytes.len() as u64
}

/// Whether a checkpoint is being written: a temporary file stands beside them.
fn is_saving(folder: &Path) -> bool {
    let entries = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".partial"))
}

fn last_step(folder: &Path) -> Option<u64> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).ok()?;
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["kind"] == "step").filter_map(|record| record["step"].as_u64()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(stages: Vec<RangeInclusive<u64>>) -> Plan {
        Plan { name: String::new(), args: Vec::new(), folder: PathBuf::new(), stages }
    }

    #[test]
    fn fifty_kills_are_ten_in_each_stage_and_five_hit_a_checkpoint() {
        let plans = [plan(vec![0..=71]), plan(vec![0..=71]), plan(vec![0..=23, 24..=47, 48..=71])];
        let kills = draw(&plans, 50, 10, &mut Random(1));
        for (index, each) in plans.iter().enumerate() {
            for (stage, steps) in each.stages.iter().enumerate() {
                let of_it: Vec<_> = kills.iter().filter(|kill| (kill.plan, kill.stage) == (index, stage)).collect();
                assert_eq!(of_it.len(), 10);
                assert!(of_it.iter().all(|kill| steps.contains(&kill.step)));
                assert_eq!(of_it.iter().filter(|kill| kill.saving).count(), 1);
            }
        }
        assert_eq!(kills, draw(&plans, 50, 10, &mut Random(1)));
    }
}
