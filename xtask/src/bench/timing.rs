//! What the programs measured, and whether they did the same work.

use serde_json::{Value, json};

use super::{
    engine::Engine,
    options::{Case, Network},
};
use crate::{Result, command::Output};

/// One program's runs of one case, over all rounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timing {
    pub(super) engine: Engine,
    /// The median time of a run in each round, in seconds.
    pub(super) rounds: Vec<f64>,
    /// The largest resident memory of any round, in bytes.
    pub(super) peak_rss: Option<u64>,
    /// What it printed in the first round.
    pub(super) first: Value,
    /// Why it has no times, or why they may not be set beside moue's.
    pub(super) refused: Option<String>,
}

impl Timing {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, rounds: Vec::new(), peak_rss: None, first: Value::Null, refused: None }
    }

    /// Adds a round.
    ///
    /// # Errors
    /// A sentence where the program failed or printed something else.
    pub(super) fn add(&mut self, output: &Output) -> Result<()> {
        if !output.success() {
            return Err(format!("{}: {}", self.engine.name(), output.ending()));
        }
        let json = output.last_json()?;
        let seconds = json["median_s"].as_f64().filter(|seconds| *seconds > 0.0);
        self.rounds.push(seconds.ok_or("expected `median_s` in the result")?);
        self.peak_rss = self.peak_rss.max(output.peak_rss);
        if self.first.is_null() {
            self.first = json;
        }
        Ok(())
    }

    /// The median of the rounds' medians, in seconds.
    pub(super) fn seconds(&self) -> Option<f64> {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(f64::total_cmp);
        let middle = rounds.len() / 2;
        match rounds.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(rounds[middle]),
            _ => Some((rounds[middle - 1] + rounds[middle]) / 2.0),
        }
    }

    /// By how much the slowest round's median exceeds the fastest's.
    pub(super) fn spread(&self) -> Option<f64> {
        let slowest = self.rounds.iter().copied().max_by(f64::total_cmp)?;
        let fastest = self.rounds.iter().copied().min_by(f64::total_cmp)?;
        Some(slowest / fastest - 1.0)
    }
}

/// A case, and what every program made of it: moue first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) case: Case,
    pub(super) timings: Vec<Timing>,
}

impl Measured {
    pub(super) fn of(&self, engine: Engine) -> Option<&Timing> {
        self.timings.iter().find(|timing| timing.engine == engine)
    }

    /// moue's speed divided by another's; none where one has no times or has done other work.
    pub(super) fn ratio(&self, engine: Engine) -> Option<f64> {
        let (ours, other) = (self.of(Engine::Moue)?, self.of(engine)?);
        (ours.refused.is_none() && other.refused.is_none()).then_some(other.seconds()? / ours.seconds()?)
    }

    /// Compares the results of the first round with moue's; who computed something else gets no ratio.
    pub(super) fn compare(&mut self) {
        let case = self.case;
        let ours = self.of(Engine::Moue).filter(|timing| timing.refused.is_none());
        let Some(ours) = ours.map(|timing| timing.first.clone()) else { return };
        for timing in self.timings.iter_mut().filter(|timing| timing.engine != Engine::Moue && timing.refused.is_none())
        {
            timing.refused = difference(case, timing.engine, &ours, &timing.first).err();
        }
        // The PyTorch script prints nothing of an inference, but ONNX Runtime runs the network that it exported.
        let exported = self.of(Engine::Onnx).is_some_and(|timing| timing.refused.is_some() && !timing.first.is_null());
        if exported {
            for timing in self.timings.iter_mut().filter(|timing| timing.engine != Engine::Moue) {
                timing
                    .refused
                    .get_or_insert_with(|| "its network, run by ONNX Runtime, does not answer as moue's".into());
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let engine = |timing: &Timing| {
            json!({
                "engine": timing.engine.name(), "median_s": timing.seconds(), "rounds_s": timing.rounds,
                "images_per_s": timing.seconds().map(|seconds| self.case.batch as f64 / seconds),
                "peak_rss_bytes": timing.peak_rss, "refused": timing.refused,
                "moue_over_it": (timing.engine != Engine::Moue).then(|| self.ratio(timing.engine)),
                "first": timing.first,
            })
        };
        let engines: Vec<_> = self.timings.iter().map(engine).collect();
        json!({
            "case": self.case.to_string(), "mode": if self.case.train { "train" } else { "infer" },
            "network": self.case.network.to_string(), "batch": self.case.batch, "engines": engines,
        })
    }
}

/// Compares what a yardstick computed with what moue did: a training's first two losses, ONNX Runtime's logits of the
/// first image.
///
/// # Errors
/// A sentence on what differs.
fn difference(case: Case, engine: Engine, ours: &Value, theirs: &Value) -> Result<()> {
    let numbers =
        |json: &Value| -> Vec<f64> { json.as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    if case.train {
        let [ours, theirs] = [ours, theirs].map(|json| numbers(&json["losses"]));
        if ours.len() < 2 || theirs.len() < 2 {
            return Err("the losses of two steps are not there to be compared".into());
        }
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= engine.tolerance() * b.abs().max(1.0);
        return match ours.iter().zip(&theirs).find(|pair| !near(*pair)) {
            None => Ok(()),
            Some((a, b)) => Err(format!("moue's loss is {a:.5}, its own {b:.5}: not the same work")),
        };
    }
    if engine == Engine::Onnx {
        let shape: Vec<f64> = numbers(&theirs["logits_shape"]);
        let [mut ours, theirs] = [ours, theirs].map(|json| numbers(&json["logits"]));
        let heads = case.network.heads();
        // Of a MA-Net moue has the combined logits behind them.
        if case.network == Network::Manet {
            ours.truncate(2 * ours.len() / 3);
        }
        if ours.is_empty() || shape != [heads, case.batch, ours.len() / heads].map(|side| side as f64) {
            return Err(format!("its logits have the shape {shape:?}, moue's first image has {} of them", ours.len()));
        }
        let largest = theirs.iter().fold(0.0, |most: f64, z| most.max(z.abs()));
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-3 * largest;
        if ours.len() != theirs.len() || !ours.iter().zip(&theirs).all(near) {
            return Err("its logits of the first image are not moue's: not the same work".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(text: &str) -> Case {
        text.parse().unwrap()
    }

    fn output(code: i32, line: &str, peak_rss: Option<u64>) -> Output {
        Output { code: Some(code), stdout: format!("some words\n{line}\n"), timed_out: false, seconds: 1.0, peak_rss }
    }

    #[test]
    fn rounds_are_joined_by_their_median() {
        let mut timing = Timing::new(Engine::Torch);
        for (seconds, memory) in [(2.0, Some(10)), (9.0, Some(30)), (1.0, None)] {
            timing.add(&output(0, &format!("{{\"median_s\":{seconds}}}"), memory)).unwrap();
        }
        assert_eq!((timing.seconds(), timing.spread(), timing.peak_rss), (Some(2.0), Some(8.0), Some(30)));
        assert_eq!(timing.first["median_s"], 2.0);
        timing.rounds.push(3.0);
        assert_eq!(timing.seconds(), Some(2.5));
        assert!(timing.add(&output(1, "{\"median_s\":1.0}", None)).is_err(), "it failed");
        assert!(timing.add(&output(0, "{\"images_per_s\":1.0}", None)).is_err(), "no time");
        assert!(timing.add(&output(0, "no JSON", None)).is_err());
    }

    fn measured(case: Case, engine: Engine, ours: Value, theirs: Value) -> Measured {
        let timing = |engine, first, seconds| Timing { rounds: vec![seconds], first, ..Timing::new(engine) };
        let mut measured =
            Measured { case, timings: vec![timing(Engine::Moue, ours, 2.0), timing(engine, theirs, 3.0)] };
        measured.compare();
        measured
    }

    #[test]
    fn a_ratio_of_trainings_needs_the_same_first_losses() {
        let ratio = |engine, theirs| {
            measured(case("train-9-b32"), engine, json!({"losses": [16.9, 16.4]}), theirs).ratio(engine)
        };
        assert_eq!(ratio(Engine::Torch, json!({"losses": [16.9001, 16.4]})), Some(1.5));
        for other in
            [json!({"losses": [16.9, 16.0]}), json!({"losses": [16.9]}), json!({}), json!({"losses": [null, 1]})]
        {
            assert_eq!(ratio(Engine::Torch, other.clone()), None, "{other}");
        }
        let coarse = json!({"losses": [16.85, 16.3]});
        assert_eq!((ratio(Engine::Cuda, coarse.clone()), ratio(Engine::CudaF16, coarse)), (None, Some(1.5)));
    }

    #[test]
    fn a_ratio_with_onnx_runtime_needs_the_same_logits() {
        let ratio = |theirs| {
            let ours = json!({"logits": [0.5, -0.25, 0.0, 1.0]});
            measured(case("infer-2-b3"), Engine::Onnx, ours, theirs).ratio(Engine::Onnx)
        };
        assert_eq!(ratio(json!({"logits_shape": [2, 3, 2], "logits": [0.5001, -0.25, 0.0, 1.0]})), Some(1.5));
        for (shape, logits) in [
            (json!([2, 3, 2]), json!([0.5, -0.25, 0.0, 1.01])),
            (json!([2, 3, 2]), json!([0.5, -0.25, 0.0])),
            (json!([3, 2, 2]), json!([0.5, -0.25, 0.0, 1.0])),
            (json!([2, 3, 2]), json!([])),
        ] {
            assert_eq!(ratio(json!({"logits_shape": shape, "logits": logits})), None, "{shape} {logits}");
        }
    }

    #[test]
    fn an_inference_of_pytorch_is_judged_by_the_network_it_exported() {
        let first = |logits: [f64; 2]| json!({"logits_shape": [1, 1, 2], "logits": logits});
        let ratio = |logits| {
            let mut all = measured(case("infer-1-b1"), Engine::Torch, first([0.5, 1.0]), json!({"losses": []}));
            all.timings.push(Timing { rounds: vec![1.0], first: first(logits), ..Timing::new(Engine::Onnx) });
            all.compare();
            all.ratio(Engine::Torch)
        };
        assert_eq!((ratio([0.5, 1.0]), ratio([0.6, 1.0])), (Some(1.5), None));
    }

    #[test]
    fn where_moue_failed_nobody_is_blamed_and_nobody_has_a_ratio() {
        let mut all = measured(case("train-9-b32"), Engine::Torch, json!({"losses": [1.0, 1.0]}), Value::Null);
        all.timings[0] = Timing { refused: Some("moue: exit code 2".into()), ..Timing::new(Engine::Moue) };
        all.timings[1].refused = None;
        all.compare();
        assert_eq!((all.timings[1].refused.as_ref(), all.ratio(Engine::Torch)), (None, None));
    }
}
