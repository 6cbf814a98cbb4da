//! `cargo xtask soak`: kills trainings at any moment, resumes them, and compares what they leave with a run that nobody
//! disturbed.

mod cells;
mod compare;
mod kill;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{Result, command::Command, target};
use kill::{Kill, Outcome, Plan};

/// One kill in ten hits a checkpoint that is being written.
const ONE_IN: usize = 10;

/// Small enough that a run takes seconds: 4 steps an epoch.
const SMALL: [&str; 12] = [
    "--data=synthetic:seed=1,train=64,valid=16,test=16,size=54",
    "--device=cpu",
    "--threads=1",
    "--width=0.125",
    "--image-size=54",
    "--batch-size=16",
    "--log-every=1",
    "--checkpoint-every=1",
    "--select-on=valid",
    "--mixup=0.2",
    "--augment=light",
    "--lr=0.02",
];

/// Runs the command with its arguments; true where every run was continued to the same end.
///
/// # Errors
/// A sentence where an argument is wrong or a run that nobody disturbed failed.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let options = Options::parse(args)?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build()?,
    };
    let folder = target("soak");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    println!("seed {} (`--seed {}` draws the same kills)", options.seed, options.seed);
    let mut random = Random(options.seed);
    let begin = Instant::now();
    let plans = plans(&program, &folder)?;
    let kills = kill::draw(&plans, options.kills, ONE_IN, &mut random);
    let outcomes = all(&program, &plans, &kills, &folder);
    let good = table(&plans, &kills, &outcomes);
    println!("{} kills took {:.0} s", kills.len(), begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let cells = cells::run(&program, &folder, &SMALL, &mut random)?;
    println!("the cells took {:.0} s", begin.elapsed().as_secs_f64());
    Ok(good && cells)
}

/// Runs that nobody disturbs: joint, fine-tuned from its best, and progressive in three stages of equal length.
fn plans(program: &Path, folder: &Path) -> Result<Vec<Plan>> {
    let joint = Plan::new(program, folder, "joint", &SMALL, &["--branches=3", "--epochs=18"])?;
    let init = format!("--init={}", joint.folder.join("checkpoints/best.safetensors").display());
    let fine_tune = ["--branches=3", "--epochs=18", "--init-part=base", "--seed=1", &init];
    let fine_tune = Plan::new(program, folder, "fine-tune", &SMALL, &fine_tune)?;
    let stages = ["--branches=3", "--branch-schedule=progressive", "--epochs=6", "--stage-epochs=6"];
    Ok(vec![joint, fine_tune, Plan::new(program, folder, "progressive", &SMALL, &stages)?])
}

/// Two at a time.
fn all(program: &Path, plans: &[Plan], kills: &[Kill], folder: &Path) -> Vec<Outcome> {
    let next = Mutex::new(0..kills.len());
    let outcomes = Mutex::new(vec![None; kills.len()]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(index) = next.lock().expect("invariant: nobody panics with it").next() else { return };
                    let kill = &kills[index];
                    let outcome = kill.run(program, &plans[kill.plan], &folder.join(format!("kill-{:02}", index + 1)));
                    println!("{:>3} {}", index + 1, outcome.verdict());
                    outcomes.lock().expect("invariant: nobody panics with it")[index] = Some(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("invariant: nobody panics with it");
    outcomes.into_iter().map(|outcome| outcome.expect("invariant: each kill was run")).collect()
}

/// Prints a row for each kill and the sums; true where they are as they must be: all equal, at least four in five resumed
/// from a checkpoint.
fn table(plans: &[Plan], kills: &[Kill], outcomes: &[Outcome]) -> bool {
    println!("\n| kill | run | stage | killed after step | while saving | resumed from step | end |");
    println!("|---|---|---|---|---|---|---|");
    for (index, (kill, outcome)) in kills.iter().zip(outcomes).enumerate() {
        let plan = &plans[kill.plan];
        let step = |step: Option<u64>, none: &str| step.map_or_else(|| none.to_owned(), |step| step.to_string());
        println!(
            "| {} | {} | {} of {} | {} of {} | {} | {} | {} |",
            index + 1,
            plan.name,
            kill.stage + 1,
            plan.stages.len(),
            step(outcome.killed, "–"),
            plan.steps(),
            if kill.saving { "yes" } else { "" },
            step(outcome.resumed, "the start"),
            outcome.verdict(),
        );
    }
    let count = |which: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| which(outcome)).count();
    let (equal, resumed) = (count(|outcome| outcome.end.is_ok()), count(|outcome| outcome.resumed.is_some()));
    let saving = kills.iter().zip(outcomes).filter(|(kill, outcome)| kill.saving && outcome.killed.is_some()).count();
    let all = kills.len();
    println!(
        "\n{resumed} of {all} resumed from a checkpoint, {saving} killed while one was written, {equal} of {all} ended as the run that nobody disturbed"
    );
    equal == all && 5 * resumed >= 4 * all
}

fn build() -> Result<PathBuf> {
    if !Command::cargo(["build", "--release", "--bin", "moue"]).run()?.success() {
        return Err("moue could not be built".into());
    }
    Ok(target("release").join(if cfg!(windows) { "moue.exe" } else { "moue" }))
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    kills: usize,
    seed: u64,
    program: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let mut options = Self { kills: 50, seed: now, program: None };
        let mut words = args.iter();
        while let Some(flag) = words.next() {
            let mut number = || {
                let value = words.next().ok_or_else(|| format!("`{flag}` expects a value"))?;
                value.parse::<u64>().map_err(|_| format!("`{flag}` expects a whole number, found `{value}`"))
            };
            match flag.as_str() {
                "--kills" => options.kills = usize::try_from(number()?).unwrap_or(usize::MAX),
                "--seed" => options.seed = number()?,
                "--program" => {
                    options.program = Some(words.next().ok_or("`--program` expects a path")?.into());
                }
                other => return Err(format!("`{other}` is not known here; see `cargo xtask help`")),
            }
        }
        if !(1..=10_000).contains(&options.kills) {
            return Err(format!("`--kills` expects 1 to 10000, found {}", options.kills));
        }
        Ok(options)
    }
}

/// SplitMix64, whose numbers follow from the seed alone.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A whole number in a range, each as likely as the others but for one part in 2⁶⁴ over its length.
    pub(crate) fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        range.start() + z % (range.end() - range.start() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_others_refused() {
        let parse = |words: &[&str]| Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let options = parse(&["--kills", "7", "--seed", "3"]).unwrap();
        assert_eq!((options.kills, options.seed, options.program), (7, 3, None));
        assert!(parse(&["--kills", "0"]).is_err() && parse(&["--kills"]).is_err() && parse(&["--kill", "5"]).is_err());
    }

    #[test]
    fn the_same_seed_draws_the_same_numbers_of_the_whole_range() {
        let draw = |seed| {
            let mut random = Random(seed);
            (0..200).map(|_| random.within(3..=7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert!(
            (3..=7).all(|number| draw(5).contains(&number)) && draw(5).iter().all(|number| (3..=7).contains(number))
        );
    }
}
