//! `moue ablate`: the paper's ablation, cell by cell.

use std::path::{Path, PathBuf};
use std::sync::{Arc, atomic::AtomicBool};

use serde_json::json;

use super::{
    Outcome, device,
    eval::inputs,
    train::{interrupt, train_run},
};
use crate::{
    Error, Result,
    checkpoint::{load_model, write_atomic},
    data::{Dataset, Spec},
    exec::Precision,
    train::{
        Evaluation, RunFolder, Summary, TrainConfig, TrainOptions,
        ablation::{CellResult, DataSet, NetworkName, Row, Variant, chart, csv, exits, markdown},
        choices::Gamma,
        evaluate::evaluate,
        mean_off_diagonal, read_records,
        session::Evaluator,
    },
};

/// What a finished cell leaves in its folder.
const RESULT: &str = "cell.json";

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
    /// Trains nothing: tabulates the cells that are there.
    #[arg(long, help_heading = "Ablation")]
    table: bool,
    /// A TOML file with the settings that all cells share; its keys have the flags' names, flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: TrainOptions,
}

/// Settings that the ablation decides for each cell.
fn check_options(options: &TrainOptions) -> Result<()> {
    let decided = [
        ("--model", options.model.is_some(), "--networks"),
        ("--branch-diversity", options.branch_diversity.is_some(), "--variants"),
        ("--branches", options.branches.is_some(), "--networks"),
        ("--attention", options.attention.is_some(), "--variants"),
        ("--spatial-diversity", options.spatial_diversity.is_some(), "--variants"),
        ("--channel-diversity", options.channel_diversity.is_some(), "--variants"),
        ("--gamma", options.gamma.is_some(), "--gammas"),
        ("--seed", options.seed.is_some(), "--seeds"),
        ("--name", options.name.is_some(), "--out"),
        ("--resume", options.resume.is_some(), "--out"),
    ];
    match decided.into_iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((flag, _, instead)) => Err(Error::Usage {
            setting: flag.into(),
            expected: format!("{instead}, which says it for all cells"),
            found: flag.into(),
            hint: format!("use {instead}; an ablation in a folder that exists goes on by itself"),
        }),
    }
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    check_options(&args.options)?;
    let file = args.config.as_deref().map(TrainOptions::load).transpose()?.unwrap_or_default();
    check_options(&file)?;
    let rows = Row::all(&args.networks, &args.variants, &args.gammas);
    let shared = TrainConfig::resolve(&file, &args.options)?;
    let out = shared.out.clone();
    let interrupted = interrupt();
    let mut results = Vec::new();
    let count = rows.len() * args.seeds.len();
    // A seed at a time, so that an ablation that is stopped early has every row.
    for (number, (seed, row)) in args.seeds.iter().flat_map(|seed| rows.iter().map(move |row| (*seed, row))).enumerate()
    {
        let name = format!("seed-{seed}");
        let folder = out.join(row.name());
        let path = folder.join(&name).join(RESULT);
        let mut options = args.options.clone();
        row.set(&mut options);
        (options.seed, options.name, options.out) = (Some(seed), Some(name.clone()), Some(folder.clone()));
        let config = TrainConfig::resolve(&file, &options)?;
        if path.is_file() {
            results.push(finished(&path, row, seed, &config)?);
        } else if !args.table {
            eprintln!("cell {} of {count}: {}, seed {seed}", number + 1, row.name());
            let cell = folder.join(&name);
            results.push(train_cell(args, row, &config, &cell, &interrupted)?);
            write_tables(&out, &rows, &results, &shared)?;
        }
    }
    let table = write_tables(&out, &rows, &results, &shared)?;
    print!("{table}");
    Ok(Outcome::passed(json!({ "out": out, "cells": results, "of": count })))
}

/// The result of a cell that an earlier call finished, with the settings of this one.
fn finished(path: &Path, row: &Row, seed: u64, config: &TrainConfig) -> Result<CellResult> {
    let wrong = |expected: &str, found: String| Error::File {
        path: path.into(),
        expected: expected.into(),
        found,
        hint: "name another --out, or remove this cell's folder to train it again".into(),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(path, "reading a cell's result", error, "check the file's permissions"))?;
    let result: CellResult =
        serde_json::from_str(&text).map_err(|error| wrong("the result of a cell", error.to_string()))?;
    if result.row != *row || result.seed != seed {
        return Err(wrong(
            &format!("{}, seed {seed}", row.name()),
            format!("{}, seed {}", result.row.name(), result.seed),
        ));
    }
    let settings = path.with_file_name("config.toml");
    let trained = TrainConfig::resolve(&TrainOptions::load(&settings)?, &TrainOptions::default())?;
    if let Some(difference) = trained.difference(config) {
        return Err(wrong("a cell trained with the settings that are asked for", difference));
    }
    Ok(result)
}

/// Trains a cell, or goes on with it, and evaluates its best model.
fn train_cell(
    args: &Args,
    row: &Row,
    config: &TrainConfig,
    cell: &Path,
    interrupted: &Arc<AtomicBool>,
) -> Result<CellResult> {
    let begun = cell.join("checkpoints/last.safetensors").is_file();
    let trained = if begun {
        let options = TrainOptions { resume: Some(cell.into()), ..TrainOptions::default() };
        let saved = TrainConfig::resumed(&cell.join("config.toml"), &options)?;
        if let Some(difference) = saved.difference(config) {
            return Err(Error::File {
                path: cell.join("config.toml"),
                expected: "a cell begun with the settings that are asked for".into(),
                found: difference,
                hint: "name another --out, or remove this cell's folder to train it again".into(),
            });
        }
        train_run(&saved, Some(&RunFolder::locate(cell)?), interrupted)?
    } else {
        if cell.exists() {
            // Begun, but stopped before its first checkpoint: nothing to go on from.
            std::fs::remove_dir_all(cell)
                .map_err(|error| Error::io(cell, "removing a cell that was not begun", error, "remove it by hand"))?;
        }
        train_run(config, None, interrupted)?
    };
    let result = evaluate_cell(args, row, config, &trained.folder, &trained.summary)?;
    let text = serde_json::to_string_pretty(&result).expect("invariant: a result is plain data");
    write_atomic(&trained.folder.join(RESULT), "writing a cell's result", |to| to.write_all(text.as_bytes()))?;
    Ok(result)
}

fn evaluate_cell(args: &Args, row: &Row, config: &TrainConfig, folder: &Path, summary: &Summary) -> Result<CellResult> {
    let spec: Spec = config.data.parse()?;
    let data: Dataset = spec.load_splits(&[&args.split])?;
    let path = folder.join("checkpoints/best.safetensors");
    let model = load_model(&path)?;
    let network = model.network()?;
    let threads = (config.threads > 0).then_some(config.threads);
    let mut opened = device::open(&config.device, Precision::F32, threads)?;
    let mut evaluator = Evaluator::new(opened.executor.as_mut(), &network, config.batch, &model.tensors)?;
    let inputs = inputs(&model, config.batch);
    let samples = &data.split(&args.split)?.samples;
    let predictions = evaluate(samples, &network, &inputs, |images| evaluator.answer(images))?;
    let answers = predictions.answers();
    let records = read_records(&folder.join("metrics.jsonl"))?;
    let last = records.last();
    let off_diagonal = |matrix: Option<&Vec<Vec<f64>>>| matrix.and_then(|s| mean_off_diagonal(s));
    Ok(CellResult {
        row: *row,
        seed: config.seed,
        split: args.split.clone(),
        validation: summary.best_val_accuracy,
        exits: exits(&predictions),
        branches: predictions.branch_accuracy(),
        evaluation: Evaluation::from_predictions(&predictions.labels, &answers, &data.classes)?,
        calibration_error: predictions.calibration_error(),
        similarity: [
            off_diagonal(last.and_then(|record| record.similarity_spatial.as_ref())),
            off_diagonal(last.and_then(|record| record.similarity_channel.as_ref())),
        ],
        seconds: summary.seconds,
        epochs: [summary.best_epoch, summary.epochs],
        model_sha256: summary.model_hash.clone(),
    })
}

/// Writes `ablation.md`, `ablation.csv` and `ablation.svg`; returns the first.
fn write_tables(out: &Path, rows: &[Row], results: &[CellResult], config: &TrainConfig) -> Result<String> {
    std::fs::create_dir_all(out)
        .map_err(|error| Error::io(out, "making the folder", error, "name a folder that may be written"))?;
    let data = DataSet::of(config.data_name());
    let table = markdown(rows, results, data);
    let files =
        [("ablation.md", table.clone()), ("ablation.csv", csv(results)), ("ablation.svg", chart(rows, results, data))];
    for (name, text) in files {
        write_atomic(&out.join(name), "writing the ablation's tables", |to| to.write_all(text.as_bytes()))?;
    }
    Ok(table)
}
