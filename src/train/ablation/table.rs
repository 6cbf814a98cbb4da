//! The results as text: a table in markdown and every cell in csv.

use std::fmt::Write;

use super::{CellResult, DataSet, Row, grouped, mean_and_deviation, published};

/// `0.8368` as `83.68`, with its deviation where there is one.
fn percent(values: &[f64]) -> String {
    match mean_and_deviation(values) {
        (mean, Some(deviation)) => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation),
        (mean, None) => format!("{:.2}", 100.0 * mean),
    }
}

fn plain(values: &[f64]) -> String {
    match mean_and_deviation(values) {
        (mean, Some(deviation)) => format!("{mean:.4} ± {deviation:.4}"),
        (mean, None) => format!("{mean:.4}"),
    }
}

/// Tables of the rows: the ensemble beside the paper's figures, every early exit, every class.
///
/// Accuracies are percentages, mean ± sample standard deviation over the seeds.
#[must_use]
pub fn markdown(rows: &[Row], results: &[CellResult], data: Option<DataSet>) -> String {
    let groups = grouped(rows, results);
    let mut text = String::new();
    let Some(first) = results.first() else { return "No cell has been trained yet.\n".into() };
    let _ = writeln!(
        text,
        "Accuracy in percent on the {} split ({} images), mean ± sample standard deviation over the seeds.\n",
        first.split, first.evaluation.images
    );
    text += "| network | attention | spatial div. | channel div. | γ | seeds | accuracy | mean probability | balanced | \
             calibration error | mean S off diagonal, spatial | channel | validation | the paper's |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for (row, cells) in &groups {
        let of = |pick: &dyn Fn(&CellResult) -> f64| cells.iter().map(|cell| pick(cell)).collect::<Vec<_>>();
        let marks = row.variant.parts().map(|part| if part { "✓" } else { "–" });
        let similarity = |at: usize| {
            let values: Option<Vec<f64>> = cells.iter().map(|cell| cell.similarity[at]).collect();
            values.map_or("–".into(), |values| plain(&values))
        };
        let paper = data.and_then(|data| published(row.network, row.variant, data));
        let cells = [
            row.network.to_string(),
            marks[0].into(),
            marks[1].into(),
            marks[2].into(),
            row.gamma.map_or("–".into(), |gamma| gamma.to_string()),
            cells.len().to_string(),
            percent(&of(&CellResult::accuracy)),
            percent(&of(&|cell| cell.exits.last().map_or(0.0, |exit| exit.mean))),
            percent(&of(&|cell| cell.evaluation.balanced_accuracy)),
            plain(&of(&|cell| cell.calibration_error)),
            similarity(0),
            similarity(1),
            percent(&of(&|cell| cell.validation)),
            paper.map_or("–".into(), |paper| format!("{paper:.2}")),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text += "\nEarly exits: the vote of the first branches alone.\n\n";
    let most = groups.iter().map(|(_, cells)| cells[0].exits.len()).max().unwrap_or(0);
    let heads: Vec<String> = (1..=most).map(|branches| branches.to_string()).collect();
    let _ = writeln!(text, "| row | {} | each branch alone |", heads.join(" | "));
    let _ = writeln!(text, "|---|{}---|", "---|".repeat(most));
    for (row, cells) in &groups {
        let exits = (0..most).map(|at| {
            let values: Option<Vec<f64>> = cells.iter().map(|cell| Some(cell.exits.get(at)?.vote)).collect();
            values.map_or("–".into(), |values| percent(&values))
        });
        let branches = (0..cells[0].branches.len()).map(|at| {
            let values: Vec<f64> = cells.iter().filter_map(|cell| cell.branches.get(at).copied()).collect();
            format!("{:.2}", 100.0 * mean_and_deviation(&values).0)
        });
        let branches = branches.collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "| {} | {} | {branches} |", row.name(), exits.collect::<Vec<_>>().join(" | "));
    }
    text += "\nRecall of each class by vote.\n\n";
    let classes: Vec<&str> = first.evaluation.per_class.iter().map(|class| class.class.as_str()).collect();
    let _ = writeln!(text, "| row | {} |", classes.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(classes.len()));
    for (row, cells) in &groups {
        let recalls = (0..classes.len()).map(|at| {
            let values: Option<Vec<f64>> = cells.iter().map(|cell| cell.evaluation.per_class.get(at)?.recall).collect();
            values.map_or("–".into(), |values| percent(&values))
        });
        let _ = writeln!(text, "| {} | {} |", row.name(), recalls.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// One line for each cell.
#[must_use]
pub fn csv(results: &[CellResult]) -> String {
    let mut text = String::from(
        "network,variant,gamma,seed,split,images,vote,mean_probability,balanced,calibration_error,similarity_spatial,\
         similarity_channel,validation,epoch,epochs,seconds,exits,branches,model_sha256\n",
    );
    for cell in results {
        let joined = |values: Vec<f64>| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let some = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let columns = [
            cell.row.network.to_string(),
            cell.row.variant.to_string(),
            cell.row.gamma.map_or(String::new(), |gamma| gamma.to_string()),
            cell.seed.to_string(),
            cell.split.clone(),
            cell.evaluation.images.to_string(),
            cell.accuracy().to_string(),
            some(cell.exits.last().map(|exit| exit.mean)),
            cell.evaluation.balanced_accuracy.to_string(),
            cell.calibration_error.to_string(),
            some(cell.similarity[0]),
            some(cell.similarity[1]),
            cell.validation.to_string(),
            cell.epochs[0].to_string(),
            cell.epochs[1].to_string(),
            format!("{:.1}", cell.seconds),
            joined(cell.exits.iter().map(|exit| exit.vote).collect()),
            joined(cell.branches.clone()),
            cell.model_sha256.clone(),
        ];
        text += &columns.join(",");
        text.push('\n');
    }
    text
}
