//! What `cargo xtask bench` is asked to time.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::Result;

/// A network that every program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// An ESR of so many branches.
    Esr(usize),
    Manet,
}

impl Network {
    /// The arguments that name it.
    pub(super) fn args(self) -> Vec<String> {
        match self {
            Self::Esr(branches) => ["--branches".into(), branches.to_string()].into(),
            Self::Manet => ["--model".into(), "manet".into()].into(),
        }
    }

    /// Heads whose logits a yardstick shows: those of the branches.
    pub(super) fn heads(self) -> usize {
        match self {
            Self::Esr(branches) => branches,
            Self::Manet => 2,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Esr(branches) => write!(f, "{branches}"),
            Self::Manet => f.write_str("manet"),
        }
    }
}

/// A network and what it does, as text `train-9-b32` or `infer-manet-b1`: mode, branches or `manet`, images of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) train: bool,
    pub(super) network: Network,
    pub(super) batch: usize,
}

/// What is timed where the user does not say.
const CASES: &str = "train-9-b32,train-15-b32,train-1-b32,infer-9-b1,infer-9-b32,infer-1-b1,infer-15-b1,\
                     train-manet-b8,infer-manet-b1";

impl Case {
    /// The case in words.
    pub(super) fn title(self) -> String {
        let mode = if self.train { "training" } else { "inference" };
        let network = match self.network {
            Network::Esr(1) => "1 branch".to_owned(),
            Network::Esr(branches) => format!("{branches} branches"),
            Network::Manet => "MA-Net".to_owned(),
        };
        format!("{mode}, {network}, batch {}", self.batch)
    }

    /// The arguments that moue and the PyTorch yardstick share.
    pub(super) fn args(self) -> Vec<String> {
        let mode = if self.train { "train" } else { "infer" };
        let mut args = vec!["--mode".to_owned(), mode.to_owned()];
        args.extend(self.network.args());
        args.extend(["--batch".to_owned(), self.batch.to_string()]);
        args
    }

    /// Runs before the clock starts, and runs that are timed, in each round.
    fn runs(self) -> [usize; 2] {
        match (self.train, self.batch) {
            (true, _) => [2, 5],
            (false, 1) => [10, 50],
            (false, _) => [3, 10],
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let number = |text: &str, most: usize| text.parse().ok().filter(|number| (1..=most).contains(number));
        let case = match parts[..] {
            [mode @ ("train" | "infer"), network, batch] => {
                let batch = batch.strip_prefix('b').and_then(|batch| number(batch, 65_536));
                let network = match network {
                    "manet" => Some(Network::Manet),
                    branches => number(branches, 16).map(Network::Esr),
                };
                network.zip(batch).map(|(network, batch)| Self { train: mode == "train", network, batch })
            }
            _ => None,
        };
        case.ok_or_else(|| format!("`{text}` is no case; write train-9-b32 (1 to 16 branches) or infer-manet-b1"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-b{}", if self.train { "train" } else { "infer" }, self.network, self.batch)
    }
}

/// The arguments.
#[derive(Debug, PartialEq)]
pub(super) struct Options {
    /// A Python with the yardsticks' packages.
    pub(super) python: Option<PathBuf>,
    /// Installs what is missing below `target/yardstick`.
    pub(super) install: bool,
    /// moue's device.
    pub(super) device: String,
    pub(super) cases: Vec<Case>,
    /// How often each program runs each case.
    pub(super) rounds: usize,
    /// Threads of the processor, for every program.
    pub(super) threads: usize,
    warmup: Option<usize>,
    steps: Option<usize>,
    /// Further arguments of `moue bench`.
    pub(super) moue: Vec<String>,
}

impl Options {
    pub(super) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self {
            python: None,
            install: false,
            device: "cpu".into(),
            cases: cases(CASES)?,
            rounds: 3,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            warmup: None,
            steps: None,
            moue: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value after it"));
            let count = |text: &String, least: usize| {
                let wrong = || format!("`{arg}` takes a whole number of at least {least}, found `{text}`");
                text.parse().ok().filter(|count| *count >= least).ok_or_else(wrong)
            };
            match arg.as_str() {
                "--python" => options.python = Some(value()?.into()),
                "--install" => options.install = true,
                "--device" => options.device = value()?.clone(),
                "--cases" => options.cases = cases(value()?)?,
                "--rounds" => options.rounds = count(value()?, 1)?,
                "--threads" => options.threads = count(value()?, 1)?,
                "--warmup" => options.warmup = Some(count(value()?, 0)?),
                "--steps" => options.steps = Some(count(value()?, 1)?),
                "--" => options.moue = args.by_ref().cloned().collect(),
                other => return Err(format!("`{other}` is not known here; arguments of `moue bench` follow `--`")),
            }
        }
        if options.install && options.python.is_some() {
            return Err("--install fills target/yardstick, --python names another place: give one of them".into());
        }
        Ok(options)
    }

    /// The arguments of every program that say how often a case runs; the losses of the first two training steps are
    /// compared, so a training has at least two runs before the clock starts.
    pub(super) fn runs(&self, case: Case) -> Vec<String> {
        let [warmup, steps] = case.runs();
        let warmup = self.warmup.unwrap_or(warmup).max(if case.train { 2 } else { 0 });
        let (warmup, steps) = (warmup.to_string(), self.steps.unwrap_or(steps).to_string());
        ["--warmup", &warmup, "--steps", &steps].map(String::from).to_vec()
    }
}

fn cases(text: &str) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    for case in text.split(',').map(str::trim).filter(|case| !case.is_empty()) {
        let case = case.parse()?;
        if !cases.contains(&case) {
            cases.push(case);
        }
    }
    if cases.is_empty() { Err(format!("--cases takes a list such as {CASES}")) } else { Ok(cases) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_case_is_its_own_text() {
        for text in CASES.split(',') {
            assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
        }
        let case: Case = "infer-1-b8".parse().unwrap();
        assert_eq!(case, Case { train: false, network: Network::Esr(1), batch: 8 });
        assert_eq!(case.title(), "inference, 1 branch, batch 8");
        assert_eq!(case.args().join(" "), "--mode infer --branches 1 --batch 8");
        let case: Case = "train-manet-b8".parse().unwrap();
        assert_eq!(case.title(), "training, MA-Net, batch 8");
        assert_eq!(case.args().join(" "), "--mode train --model manet --batch 8");
        for wrong in
            ["train", "train-9", "train-9-32", "train-17-b32", "train-0-b1", "fit-9-b32", "train-9-b0", "a-b-c-d"]
        {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_after_the_dashes_are_moues() {
        let options =
            parse(&["--install", "--cases", "train-9-b4, infer-9-b1,train-9-b4", "--", "--size", "54"]).unwrap();
        assert!(options.install && options.moue == ["--size", "54"]);
        assert_eq!(options.cases.iter().map(Case::to_string).collect::<Vec<_>>(), ["train-9-b4", "infer-9-b1"]);
        assert_eq!((options.rounds, options.device.as_str()), (3, "cpu"));
        let wrong: [&[&str]; 6] = [
            &["--size", "54"],
            &["--rounds", "0"],
            &["--rounds"],
            &["--cases", ","],
            &["--steps", "many"],
            &["--install", "--python", "p"],
        ];
        for args in wrong {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn a_training_always_shows_two_losses_before_the_clock_starts() {
        let [train, infer] = ["train-9-b32", "infer-9-b1"].map(|case| case.parse::<Case>().unwrap());
        let options = parse(&["--warmup", "0", "--steps", "3"]).unwrap();
        assert_eq!(options.runs(train), ["--warmup", "2", "--steps", "3"]);
        assert_eq!(options.runs(infer), ["--warmup", "0", "--steps", "3"]);
        assert_eq!(parse(&[]).unwrap().runs(infer), ["--warmup", "10", "--steps", "50"]);
    }
}
