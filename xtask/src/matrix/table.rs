//! The matrix as a table for people and for programs.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::Row;
use crate::{Result, report::Tally, target};

/// Writes `target/matrix.md` and `target/matrix.json`.
///
/// # Errors
/// A sentence where a file could not be written.
pub(super) fn write(rows: &[Row], whole: &Tally, full: bool) -> Result<()> {
    let text = markdown(rows);
    println!("\n{text}");
    let json = serde_json::to_string_pretty(&json(rows, whole, full)).expect("invariant: a JSON value is writable");
    for (name, text) in [("matrix.md", text), ("matrix.json", json + "\n")] {
        let path = target(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// How many tests were ignored for each reason.
fn reasons(tally: &Tally) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for test in &tally.ignored {
        *counts.entry(test.reason.as_str()).or_default() += 1;
    }
    counts
}

fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| adapter | backend | driver | features | tests | passed | failed | ignored |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for Row { adapter, tally, .. } in rows {
        let ignored: Vec<_> = reasons(tally).into_iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            adapter.name,
            adapter.backend,
            adapter.driver,
            adapter.features.join(", "),
            tally.total(),
            tally.passed,
            tally.failed.len(),
            if ignored.is_empty() { "0".to_owned() } else { ignored.join("; ") },
        );
    }
    text
}

fn json(rows: &[Row], whole: &Tally, full: bool) -> Value {
    let row = |Row { label, adapter, tally, seconds }: &Row| {
        json!({
            "label": label, "index": adapter.index, "adapter": adapter.name, "backend": adapter.backend, "driver": adapter.driver,
            "software": adapter.software, "features": adapter.features, "unusable": adapter.unusable,
            "tests": tally.total(), "passed": tally.passed, "failed": tally.failed,
            "ignored": tally.ignored.iter().map(|test| json!({"test": test.name, "reason": test.reason}))
                .collect::<Vec<_>>(),
            "seconds": seconds,
        })
    };
    json!({"full": full, "cpu_executor": false, "rows": rows.iter().map(row).collect::<Vec<_>>(), "failed": whole.failed})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::tests::adapter;

    #[test]
    fn each_adapter_has_a_line_with_its_counts_and_reasons() {
        let mut tally = Tally { passed: 7, failed: vec!["a".into()], ..Tally::default() };
        tally.absorb(Tally::skipped("b", "needs ../shared/golden"));
        tally.absorb(Tally::skipped("c", "needs ../shared/golden"));
        let rows =
            [Row { label: "gpu_gl_llvmpipe".to_owned(), adapter: adapter(0, "llvmpipe", "gl"), tally, seconds: 2.0 }];
        let text = markdown(&rows);
        let line = "| llvmpipe | gl | Mesa 22.3.6 | SHADER_F16 | 10 | 7 | 1 | 2: needs ../shared/golden |";
        assert_eq!(text.lines().last(), Some(line));
        let json = json(&rows, &Tally::default(), false);
        assert_eq!(json["rows"][0]["tests"], 10);
        assert_eq!(json["rows"][0]["ignored"][1]["test"], "c");
    }
}
