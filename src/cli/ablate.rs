//! `moue ablate`: the paper's ablation, cell by cell.

use std::{ops::RangeInclusive, path::PathBuf, str::FromStr};

use serde_json::json;

use super::{
    Outcome, device,
    eval::inputs,
    output::{note, say},
    train::train_at,
};
use crate::{
    Error, Result,
    checkpoint::load_model,
    evaluation::{Answered, Evaluation},
    exec::Precision,
    train::{
        Given, Settings,
        ablation::{
            CellResult, DataSet, NetworkName, Variant,
            cells::{Cell, tabulate},
            exits,
        },
        evaluate::evaluate,
        mean_off_diagonal, read_records,
        run::{
            Place, Trained,
            claim::{Attempt, Claim},
        },
        session::Evaluator,
        settings::words::Gamma,
    },
};

/// Arguments of `moue ablate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The networks, such as esr-9,esr-15,manet.
    #[arg(long, value_delimiter = ',', default_value = "esr-9", help_heading = "Ablation")]
    networks: Vec<NetworkName>,
    /// What of the method a row has: attention, and which diversities.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "plain,attention,spatial,channel,both",
        help_heading = "Ablation"
    )]
    variants: Vec<Variant>,
    /// γ of the diversified rows: numbers, or `auto`.
    #[arg(long, value_delimiter = ',', default_value = "10", help_heading = "Ablation")]
    gammas: Vec<Gamma>,
    /// The seeds; each row is trained once with each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", help_heading = "Ablation")]
    seeds: Vec<u64>,
    /// The split that the table reports.
    #[arg(long, default_value = "test", help_heading = "Ablation")]
    split: String,
    /// Trains only these cells, by their numbers in `--list`, such as 3,7-9.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", help_heading = "Ablation")]
    cells: Vec<Numbers>,
    /// Trains nothing: tells how each cell stands, a line each.
    #[arg(long, conflicts_with = "table", help_heading = "Ablation")]
    list: bool,
    /// Trains nothing: tabulates the cells that are there.
    #[arg(long, help_heading = "Ablation")]
    table: bool,
    /// A TOML file with the settings that all cells share; its keys have the flags' names, flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Given,
}

/// A cell's number, or the first and the last of several.
#[derive(Debug, Clone)]
struct Numbers(RangeInclusive<usize>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok(Self(first..=last)),
            _ => Err(format!("expected a number from 1, or two with `-` between, such as 7-9, found `{text}`")),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let file = args.config.as_deref().map(Given::load).transpose()?.unwrap_or_default();
    let Args { networks, variants, gammas, seeds, .. } = args;
    let cells = Cell::all(networks, variants, gammas, seeds, &file, &args.settings)?;
    let wanted = wanted(&args.cells, cells.len())?;
    if args.list {
        let mut listed = Vec::new();
        for cell in &cells {
            let standing = cell.standing()?;
            say!("{:>3}  {:<40}  {standing}", cell.number, cell.name());
            listed.push(json!({ "number": cell.number, "cell": cell.name(), "standing": standing.to_string() }));
        }
        return Ok(Outcome::passed(json!({ "cells": listed })));
    }
    let shared = Settings::resolve(&file, &args.settings)?;
    let (out, data) = (&shared.out, DataSet::of(shared.data_name()));
    if !args.table {
        for cell in cells.iter().filter(|cell| wanted[cell.number - 1]) {
            if cell.result()?.is_some() {
                continue;
            }
            match cell.claim()? {
                Attempt::Held(holder) => note!("cell {} is in training: {holder}", cell.number),
                // Another process may have finished it between the two looks.
                Attempt::Won(_) if cell.result()?.is_some() => {}
                Attempt::Won(claim) => {
                    note!("cell {} of {}: {}", cell.number, cells.len(), cell.name());
                    train_cell(args, cell, claim)?;
                    tabulate(&cells, out, data)?;
                }
            }
        }
    }
    let (table, results) = tabulate(&cells, out, data)?;
    say!("{}", table.trim_end());
    Ok(Outcome::passed(json!({ "out": out, "cells": results, "of": cells.len() })))
}

/// Whether each of `count` cells was asked for; all are where none was named.
fn wanted(numbers: &[Numbers], count: usize) -> Result<Vec<bool>> {
    if let Some(Numbers(range)) = numbers.iter().find(|Numbers(range)| *range.end() > count) {
        return Err(Error::Usage {
            setting: "--cells".into(),
            expected: format!("numbers from 1 to {count}"),
            found: range.end().to_string(),
            hint: "--list shows the cells with their numbers".into(),
        });
    }
    let is_wanted = |number| numbers.is_empty() || numbers.iter().any(|Numbers(range)| range.contains(&number));
    Ok((1..=count).map(is_wanted).collect())
}

/// Trains a cell, or goes on with it, and evaluates its best model.
fn train_cell(args: &Args, cell: &Cell, claim: Claim) -> Result<()> {
    let trained = train_at(Place::claimed(claim, &cell.settings)?)?;
    // The claim, in `trained`, is held until the result is there.
    cell.finish(&evaluate_cell(args, cell, &trained)?)
}

fn evaluate_cell(args: &Args, cell: &Cell, trained: &Trained) -> Result<CellResult> {
    let Trained { folder, summary, .. } = trained;
    let settings = &cell.settings;
    let data = settings.load_splits(&[&args.split])?;
    let path = folder.join("checkpoints/best.safetensors");
    let model = load_model(&path)?;
    let network = model.network()?;
    let threads = (settings.threads > 0).then_some(settings.threads);
    let mut opened = device::open(&settings.device, Precision::F32, threads)?;
    let mut evaluator = Evaluator::of_model(opened.executor.as_mut(), &model, settings.batch_size)?;
    let inputs = inputs(&model, settings.batch_size);
    let samples = &data.split(&args.split)?.samples;
    let predictions = evaluate(samples, &network, &inputs, |images| evaluator.answer(images))?;
    let answers = predictions.voted();
    let mean = predictions.mean_probabilities();
    let (classes, labels) = (predictions.classes, &predictions.labels);
    let answered = Answered { classes, probabilities: &mean, labels, votes: None };
    let records = read_records(&folder.join("metrics.jsonl"))?;
    let last = records.last();
    let off_diagonal = |matrix: Option<&Vec<Vec<f64>>>| matrix.and_then(|s| mean_off_diagonal(s));
    Ok(CellResult {
        row: cell.row,
        seed: cell.seed,
        split: args.split.clone(),
        validation: summary.best_val_accuracy,
        exits: exits(&predictions),
        branches: predictions.branch_accuracy(),
        evaluation: Evaluation::from_predictions(&predictions.labels, &answers, &data.classes)?,
        calibration_error: answered.figures().calibration_error,
        similarity: [
            off_diagonal(last.and_then(|record| record.similarity_spatial.as_ref())),
            off_diagonal(last.and_then(|record| record.similarity_channel.as_ref())),
        ],
        seconds: summary.seconds,
        epochs: [summary.best_epoch, summary.epochs],
        model_sha256: summary.model_hash.clone(),
    })
}
