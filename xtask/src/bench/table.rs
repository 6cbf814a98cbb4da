//! The results as tables for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{engine::Engine, options::Network, timing::Measured};
use crate::{Result, target};

/// What is told beside the tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sitting {
    pub(super) rounds: usize,
    pub(super) threads: usize,
    /// moue's commit.
    pub(super) commit: Option<String>,
    /// The CUDA device.
    pub(super) cuda: Option<String>,
    /// What is not there, and how to get it.
    pub(super) missing: Vec<String>,
}

/// Writes `target/bench.md` and `target/bench.json`; returns the text.
///
/// # Errors
/// A sentence where a file could not be written.
pub(super) fn write(sitting: &Sitting, all: &[Measured]) -> Result<String> {
    let text = markdown(sitting, all);
    let json = serde_json::to_string_pretty(&json(sitting, all)).expect("invariant: a JSON value is writable");
    for (name, text) in [("bench.md", &text), ("bench.json", &(json + "\n"))] {
        let path = target(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(text)
}

/// The speed of a case: milliseconds for a single image, else images a second.
fn speed(measured: &Measured, engine: Engine) -> String {
    let Some(timing) = measured.of(engine) else { return "–".into() };
    match (timing.seconds(), measured.case.batch) {
        (None, _) => "failed".into(),
        (Some(seconds), 1) => format!("{:.1} ms", seconds * 1e3),
        (Some(seconds), batch) => format!("{:.1} images/s", batch as f64 / seconds),
    }
}

fn ratio(measured: &Measured, engine: Engine) -> String {
    match (measured.ratio(engine), measured.of(engine)) {
        (Some(ratio), _) => format!("{ratio:.2}"),
        (None, Some(timing)) if timing.refused.is_some() => "refused".into(),
        (None, _) => "–".into(),
    }
}

fn memory(measured: &Measured, engine: Engine) -> String {
    let bytes = measured.of(engine).and_then(|timing| timing.peak_rss);
    bytes.map_or_else(|| "–".into(), |bytes| format!("{} MiB", bytes >> 20))
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    cells.into_iter().fold("|".to_owned(), |line, cell| line + " " + &cell + " |") + "\n"
}

fn head(cells: &[String]) -> String {
    row(cells.iter().cloned()) + "|" + &"---|".repeat(cells.len()) + "\n"
}

/// The engines of a kind that measured anything.
fn present(all: &[Measured], cuda: bool) -> Vec<Engine> {
    let mut engines: Vec<Engine> = Vec::new();
    for engine in all.iter().flat_map(|measured| &measured.timings).map(|timing| timing.engine) {
        if engine != Engine::Moue && engine.is_cuda() == cuda && !engines.contains(&engine) {
            engines.push(engine);
        }
    }
    engines
}

/// One table: moue beside some engines.
fn beside(all: &[Measured], engines: &[Engine]) -> String {
    let with_moue = || std::iter::once(Engine::Moue).chain(engines.iter().copied());
    let mut cells = vec!["case".to_owned()];
    cells.extend(with_moue().map(|engine| engine.name().to_owned()));
    cells.extend(engines.iter().map(|engine| format!("moue ÷ {}", engine.name())));
    cells.extend(with_moue().map(|engine| format!("peak memory, {}", engine.name())));
    let mut text = head(&cells);
    for measured in all {
        let mut cells = vec![measured.case.title()];
        cells.extend(with_moue().map(|engine| speed(measured, engine)));
        cells.extend(engines.iter().map(|engine| ratio(measured, *engine)));
        cells.extend(with_moue().map(|engine| memory(measured, engine)));
        text += &row(cells);
    }
    text
}

/// The times of 15 branches divided by those of 9, training at equal batches.
fn fifteen_over_nine(all: &[Measured]) -> Vec<(usize, Engine, f64)> {
    let training =
        |branches: usize| all.iter().filter(move |m| m.case.train && m.case.network == Network::Esr(branches));
    let mut ratios = Vec::new();
    for (more, less) in training(15).flat_map(|more| training(9).map(move |less| (more, less))) {
        if more.case.batch != less.case.batch {
            continue;
        }
        for timing in &more.timings {
            let other = less.of(timing.engine).and_then(|timing| timing.seconds());
            if let Some((more_s, less_s)) = timing.seconds().zip(other) {
                ratios.push((more.case.batch, timing.engine, more_s / less_s));
            }
        }
    }
    ratios
}

fn markdown(sitting: &Sitting, all: &[Measured]) -> String {
    let mut text = String::new();
    let device = all.iter().find_map(|measured| measured.of(Engine::Moue)?.first["device"].as_str());
    let commit = sitting.commit.as_ref().map_or_else(String::new, |commit| format!(" at {commit}"));
    let _ = writeln!(text, "moue{commit} on {}", device.unwrap_or("no device"));
    let mut versions: Vec<&str> = Vec::new();
    for timing in all.iter().flat_map(|measured| &measured.timings) {
        let version = timing.first["engine"].as_str();
        versions.extend(version.filter(|version| !versions.contains(version)));
    }
    if !versions.is_empty() {
        let cuda = sitting.cuda.as_ref().map_or_else(String::new, |name| format!("; CUDA: {name}"));
        let _ = writeln!(text, "beside {}{cuda}", versions.join(", "));
    }
    let (rounds, threads) = (sitting.rounds, sitting.threads);
    let (s, their) = (if rounds == 1 { "" } else { "s" }, if threads == 1 { "thread" } else { "threads" });
    let _ = writeln!(text, "{rounds} round{s} of all programs in turn, {threads} {their} of the processor each\n");
    text += &beside(all, &present(all, false));
    let cuda = present(all, true);
    if !cuda.is_empty() {
        text += &format!("\n{}", beside(all, &cuda));
    }
    text += "\n÷ divides speeds, each the median of the rounds' medians: above 1 moue is faster. ";
    text +=
        "A training has a ratio where its first two losses are moue's, ONNX Runtime where the first image's logits ";
    text +=
        "are, and an inference of PyTorch's unless ONNX Runtime, which runs the network that it exported, has none. ";
    text += "Peak memory: the process's `VmHWM`, read from /proc every 20 ms.\n";
    let fifteen = fifteen_over_nine(all);
    if let Some((batch, ..)) = fifteen.first() {
        let parts: Vec<_> = fifteen.iter().map(|(_, engine, ratio)| format!("{} {ratio:.2}", engine.name())).collect();
        let _ = writeln!(text, "\nESR-15 ÷ ESR-9, time of a training step at batch {batch}: {}", parts.join(", "));
    }
    let spreads = all.iter().flat_map(|m| m.timings.iter().filter_map(|t| Some((t.spread()?, m.case, t.engine))));
    if let Some((spread, case, engine)) = spreads.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|_| rounds > 1) {
        let percent = 100.0 * spread;
        let _ = writeln!(text, "\nlargest spread between rounds: {percent:.0} % ({case}, {})", engine.name());
    }
    for measured in all {
        for timing in &measured.timings {
            if let Some(reason) = &timing.refused {
                let _ = writeln!(text, "\n{}, {}: {reason}", measured.case, timing.engine.name());
            }
        }
    }
    for missing in &sitting.missing {
        let _ = writeln!(text, "\n{missing}");
    }
    text
}

fn json(sitting: &Sitting, all: &[Measured]) -> Value {
    let fifteen = fifteen_over_nine(all).into_iter();
    let fifteen =
        fifteen.map(|(batch, engine, ratio)| json!({"batch": batch, "engine": engine.name(), "ratio": ratio}));
    json!({
        "commit": sitting.commit, "cuda": sitting.cuda, "rounds": sitting.rounds, "threads": sitting.threads,
        "cases": all.iter().map(Measured::json).collect::<Vec<_>>(),
        "esr15_over_esr9_training_time": fifteen.collect::<Vec<_>>(),
        "missing": sitting.missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::timing::Timing;

    fn timing(engine: Engine, rounds: &[f64], memory: u64, refused: Option<&str>) -> Timing {
        let first = json!({"engine": engine.name().to_lowercase() + " 1.0", "device": "a processor"});
        let refused = refused.map(str::to_owned);
        Timing { rounds: rounds.to_vec(), peak_rss: Some(memory << 20), first, refused, ..Timing::new(engine) }
    }

    fn all() -> Vec<Measured> {
        let case = |text: &str, timings| Measured { case: text.parse().unwrap(), timings };
        vec![
            case(
                "train-9-b32",
                vec![timing(Engine::Moue, &[2.0, 2.0, 2.2], 100, None), timing(Engine::Torch, &[4.0], 200, None)],
            ),
            case(
                "train-15-b32",
                vec![
                    timing(Engine::Moue, &[3.0], 150, None),
                    timing(Engine::Torch, &[5.0], 250, Some("moue's loss is 1, its own 2: not the same work")),
                ],
            ),
            case(
                "infer-9-b1",
                vec![
                    timing(Engine::Moue, &[0.025], 50, None),
                    timing(Engine::Torch, &[0.05], 90, None),
                    timing(Engine::Onnx, &[0.02], 70, None),
                ],
            ),
        ]
    }

    fn sitting() -> Sitting {
        Sitting { rounds: 3, threads: 2, commit: Some("abc1234".into()), ..Sitting::default() }
    }

    #[test]
    fn each_case_is_a_row_with_speeds_ratios_and_memory() {
        let text = markdown(&sitting(), &all());
        for line in [
            "moue at abc1234 on a processor",
            "3 rounds of all programs in turn, 2 threads of the processor each",
            "| training, 9 branches, batch 32 | 16.0 images/s | 8.0 images/s | – | 2.00 | – | 100 MiB | 200 MiB | – |",
            "| training, 15 branches, batch 32 | 10.7 images/s | 6.4 images/s | – | refused | – | 150 MiB | 250 MiB | – |",
            "| inference, 9 branches, batch 1 | 25.0 ms | 50.0 ms | 20.0 ms | 2.00 | 0.80 | 50 MiB | 90 MiB | 70 MiB |",
            "ESR-15 ÷ ESR-9, time of a training step at batch 32: moue 1.50, PyTorch 1.25",
            "largest spread between rounds: 10 % (train-9-b32, moue)",
            "train-15-b32, PyTorch: moue's loss is 1, its own 2: not the same work",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
        }
        assert!(!text.contains("CUDA"), "{text}");
    }

    #[test]
    fn cuda_has_a_table_of_its_own() {
        let mut all = all();
        all[0].timings.push(timing(Engine::CudaF16, &[0.5], 300, None));
        let text = markdown(&Sitting { cuda: Some("a GPU".into()), ..sitting() }, &all);
        let row = "| training, 9 branches, batch 32 | 16.0 images/s | 64.0 images/s | 0.25 | 100 MiB | 300 MiB |";
        assert!(text.lines().any(|line| line == row), "{text}");
        assert!(text.contains("; CUDA: a GPU"), "{text}");
    }

    #[test]
    fn moue_alone_still_has_a_table() {
        let alone = [Measured { case: "infer-1-b1".parse().unwrap(), timings: vec![Timing::new(Engine::Moue)] }];
        let missing = vec!["no yardsticks".to_owned()];
        let text = markdown(&Sitting { missing, ..sitting() }, &alone);
        assert!(text.contains("| inference, 1 branch, batch 1 | failed | – |"), "{text}");
        assert!(text.lines().any(|line| line == "no yardsticks"), "{text}");
    }

    #[test]
    fn the_json_has_every_round_and_the_ratios() {
        let json = json(&sitting(), &all());
        let torch = &json["cases"][0]["engines"][1];
        assert_eq!((&torch["engine"], &torch["moue_over_it"]), (&json!("PyTorch"), &json!(2.0)));
        assert_eq!(json["cases"][0]["engines"][0]["rounds_s"], json!([2.0, 2.0, 2.2]));
        assert_eq!(json["cases"][0]["engines"][0]["peak_rss_bytes"], 100 << 20);
        assert!(json["cases"][1]["engines"][1]["moue_over_it"].is_null());
        assert_eq!(json["esr15_over_esr9_training_time"][0]["ratio"], 1.5);
    }
}
