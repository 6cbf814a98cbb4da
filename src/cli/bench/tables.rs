//! A profile, and a prediction, as tables and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    exec::{OpCost, Profile},
    train::bench::Roofline,
};

/// What the ops of one row did together.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    ops: usize,
    commands: usize,
    seconds: f64,
    predicted: f64,
    flops: u64,
    bytes: u64,
}

impl Row {
    fn add(&mut self, cost: &OpCost, seconds: f64, predicted: f64) {
        self.ops += 1;
        self.commands += cost.dispatches;
        self.seconds += seconds;
        self.predicted += predicted;
        self.flops += cost.flops;
        self.bytes += cost.bytes;
    }
}

/// The columns of both tables; a prediction stands alone where nothing was timed.
struct Columns<'a> {
    measured: Option<Vec<f64>>,
    predicted: Option<(&'a Roofline, Vec<f64>)>,
}

impl Columns<'_> {
    /// What the rows are sorted by, and what a rate refers to.
    fn seconds(&self, row: &Row) -> f64 {
        if self.measured.is_some() { row.seconds } else { row.predicted }
    }

    fn head(&self) -> String {
        let mut line = String::new();
        if self.measured.is_some() {
            line += &format!("{:>9} {:>6} ", "ms", "%");
        }
        if self.predicted.is_some() {
            line += &format!("{:>12} ", "predicted ms");
        }
        line + &format!("{:>10} {:>8}", "GFLOP/s", "GB/s")
    }

    fn line(&self, row: &Row, total: f64) -> String {
        let mut line = String::new();
        if self.measured.is_some() {
            line += &format!("{:>9.3} {:>6.1} ", row.seconds * 1e3, 100.0 * row.seconds / total.max(1e-12));
        }
        if self.predicted.is_some() {
            line += &format!("{:>12.4} ", row.predicted * 1e3);
        }
        let rate = |amount: u64| match amount {
            0 => "–".to_owned(),
            amount => format!("{:.1}", amount as f64 / self.seconds(row).max(1e-12) / 1e9),
        };
        line + &format!("{:>10} {:>8}", rate(row.flops), rate(row.bytes))
    }

    fn row(&self, costs: &[OpCost], ops: impl IntoIterator<Item = usize>) -> Row {
        let mut row = Row::default();
        for op in ops {
            let seconds = self.measured.as_ref().map_or(0.0, |seconds| seconds[op]);
            let predicted = self.predicted.as_ref().map_or(0.0, |(_, seconds)| seconds[op]);
            row.add(&costs[op], seconds, predicted);
        }
        row
    }
}

/// The ops of each kind, in order of first appearance.
fn kinds(costs: &[OpCost]) -> Vec<(&'static str, Vec<usize>)> {
    let mut kinds: Vec<(&'static str, Vec<usize>)> = Vec::new();
    for (op, cost) in costs.iter().enumerate() {
        match kinds.iter_mut().find(|(kind, _)| *kind == cost.kind) {
            Some((_, ops)) => ops.push(op),
            None => kinds.push((cost.kind, vec![op])),
        }
    }
    kinds
}

/// The tables of a run on `batch` images: ops, then kinds of ops, the longest first, and the sums.
pub(super) fn text(costs: &[OpCost], profile: Option<&Profile>, roofline: Option<&Roofline>, batch: usize) -> String {
    let measured = profile.map(Profile::medians);
    let predicted = roofline.map(|roofline| (roofline, costs.iter().map(|cost| roofline.seconds(cost)).collect()));
    let columns = Columns { measured, predicted };
    let all = columns.row(costs, 0..costs.len());
    let total = columns.seconds(&all);
    let sorted = |mut rows: Vec<(Row, String)>| {
        rows.sort_by(|a, b| columns.seconds(&b.0).total_cmp(&columns.seconds(&a.0)));
        rows
    };
    let mut out = String::new();
    if let Some(profile) = profile {
        let runs = profile.runs.len();
        let _ = writeln!(out, "each op: the median of {runs} runs by {}", profile.clock.describe());
    }
    let _ = writeln!(out, "{}  op", columns.head());
    let ops = (0..costs.len()).map(|op| (columns.row(costs, [op]), costs[op].op.clone())).collect();
    for (row, op) in sorted(ops) {
        let _ = writeln!(out, "{}  {op}", columns.line(&row, total));
    }
    let _ = writeln!(out, "\n{} {:>5} {:>9}  kind of op", columns.head(), "ops", "commands");
    let by_kind = kinds(costs).into_iter().map(|(kind, ops)| (columns.row(costs, ops), kind.to_owned())).collect();
    for (row, kind) in sorted(by_kind).into_iter().chain([(all, "all".to_owned())]) {
        let _ = writeln!(out, "{} {:>5} {:>9}  {kind}", columns.line(&row, total), row.ops, row.commands);
    }
    let convolutions = columns.row(costs, (0..costs.len()).filter(|&op| costs[op].kind.starts_with("Conv2d")));
    let rate = |flops: u64, row: &Row| flops as f64 / columns.seconds(row).max(1e-12) / 1e9;
    let _ = writeln!(
        out,
        "\nconvolutions: {:.1} GFLOP at {:.1} GFLOP/s; over the whole run {:.1} GFLOP/s; to be moved: {:.2} GB",
        convolutions.flops as f64 / 1e9,
        rate(convolutions.flops, &convolutions),
        rate(convolutions.flops, &all),
        all.bytes as f64 / 1e9,
    );
    if let Some((roofline, _)) = columns.predicted {
        let rate = batch as f64 / all.predicted.max(1e-12);
        let _ = writeln!(
            out,
            "prediction, not a measurement: {:.3} ms, {rate:.1} images/s with {roofline}, {} commands",
            all.predicted * 1e3,
            all.commands,
        );
    }
    out
}

/// The same for `--json`.
pub(super) fn json(costs: &[OpCost], profile: Option<&Profile>, roofline: Option<&Roofline>, batch: usize) -> Value {
    let medians = profile.map(Profile::medians);
    let op = |(i, cost): (usize, &OpCost)| {
        let mut op = json!({
            "op": cost.op, "kind": cost.kind, "commands": cost.dispatches, "flops": cost.flops, "bytes": cost.bytes,
        });
        if let Some(medians) = &medians {
            op["median_s"] = medians[i].into();
        }
        if let Some(roofline) = roofline {
            op["predicted_s"] = roofline.seconds(cost).into();
        }
        op
    };
    let mut all = json!({"ops": costs.iter().enumerate().map(op).collect::<Vec<_>>()});
    if let Some(profile) = profile {
        all["clock"] = profile.clock.describe().into();
        all["runs"] = profile.runs.len().into();
    }
    if let Some(roofline) = roofline {
        let total = roofline.total(costs);
        all["prediction"] = json!({
            "roofline": roofline.to_string(), "seconds": total, "images_per_s": batch as f64 / total.max(1e-12),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Clock;

    fn costs() -> Vec<OpCost> {
        let cost = |op: &str, kind, dispatches, flops, bytes| OpCost { op: op.into(), kind, dispatches, flops, bytes };
        vec![
            cost("a.Conv2d", "Conv2d", 1, 4_000_000_000, 10_000_000),
            cost("a.Pool2d", "Pool2d", 2, 0, 50_000_000),
            cost("b.Conv2d", "Conv2d", 3, 2_000_000_000, 20_000_000),
        ]
    }

    fn profile() -> Profile {
        let run = |ends: [f64; 3]| vec![0.0..ends[0], ends[0]..ends[1], ends[1]..ends[2]];
        Profile { clock: Clock::Host, ops: costs(), runs: vec![run([0.01, 0.015, 0.05])] }
    }

    /// The numbers of the line that ends with `name`.
    fn numbers(text: &str, name: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.ends_with(&format!("  {name}"))).expect(name);
        line.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn rows_have_rates_and_kinds_have_sums() {
        let text = text(&costs(), Some(&profile()), None, 8);
        assert_eq!(numbers(&text, "a.Conv2d"), ["10.000", "20.0", "400.0", "1.0", "a.Conv2d"]);
        assert_eq!(numbers(&text, "a.Pool2d"), ["5.000", "10.0", "–", "10.0", "a.Pool2d"]);
        assert_eq!(numbers(&text, "Conv2d"), ["45.000", "90.0", "133.3", "0.7", "2", "4", "Conv2d"]);
        assert_eq!(numbers(&text, "all"), ["50.000", "100.0", "120.0", "1.6", "3", "6", "all"]);
        let order: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(order[2..5], ["b.Conv2d", "a.Conv2d", "a.Pool2d"], "the longest first");
        assert!(!text.contains("predict"), "{text}");
    }

    #[test]
    fn a_prediction_is_called_one() {
        let roofline: Roofline = "1000:10".parse().expect("two peaks");
        let both = text(&costs(), Some(&profile()), Some(&roofline), 8);
        assert_eq!(numbers(&both, "a.Pool2d"), ["5.000", "10.0", "5.0100", "–", "10.0", "a.Pool2d"]);
        // 4.005 + 5.01 + 2.015 ms
        assert!(both.contains("prediction, not a measurement: 11.030 ms, 725.3 images/s"), "{both}");
        let alone = text(&costs(), None, Some(&roofline), 8);
        assert_eq!(numbers(&alone, "a.Conv2d"), ["4.0050", "998.8", "2.5", "a.Conv2d"]);
        let json = json(&costs(), None, Some(&roofline), 8);
        assert_eq!(json["ops"][1]["predicted_s"], 0.00501);
        assert!(json["ops"][1]["median_s"].is_null() && json["clock"].is_null());
    }
}
