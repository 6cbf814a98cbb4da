//! The cells of an ablation, which any number of processes share.

use std::path::{Path, PathBuf};

use super::{CellResult, NetworkName, Row, Variant};
use crate::{
    Error, Result,
    checkpoint::write_atomic,
    train::{
        read_records,
        run::claim::{Claim, Holder},
        settings::{Given, Settings, words::Gamma},
    },
};

/// What a finished cell leaves in its folder.
const RESULT: &str = "cell.json";

/// A row trained with one seed, in a folder of its own.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Its number in the ablation, from 1.
    pub number: usize,
    /// The row.
    pub row: Row,
    /// The seed.
    pub seed: u64,
    /// The settings of its training.
    pub settings: Settings,
    /// Its run folder.
    pub folder: PathBuf,
}

/// How a cell stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It has its result.
    Finished(Box<CellResult>),
    /// A process trains it.
    Held(Holder),
    /// It has begun, and nobody trains it: so many epochs are done.
    Begun(usize),
    /// Nobody has begun it.
    Open,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Finished(result) => write!(f, "finished, accuracy {:.4}", result.accuracy()),
            Self::Held(holder) => write!(f, "in training, {holder}"),
            Self::Begun(epochs) => write!(f, "begun, {epochs} epochs done"),
            Self::Open => f.write_str("open"),
        }
    }
}

impl Cell {
    /// All cells of an ablation in the folder that the settings name, a seed at a time, so that one that is stopped early
    /// has every row. `file` and `flags` are the settings that all cells share.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of range, or one that the rows decide.
    pub fn all(
        networks: &[NetworkName],
        variants: &[Variant],
        gammas: &[Gamma],
        seeds: &[u64],
        file: &Given,
        flags: &Given,
    ) -> Result<Vec<Self>> {
        check_shared(file, "")?;
        check_shared(flags, "--")?;
        let rows = Row::all(networks, variants, gammas);
        let out = Settings::resolve(file, flags)?.out;
        let mut cells = Vec::new();
        for (&seed, row) in seeds.iter().flat_map(|seed| rows.iter().map(move |row| (seed, row))) {
            let (name, place) = (format!("seed-{seed}"), out.join(row.name()));
            let mut given = flags.clone();
            row.set(&mut given);
            let mut settings = Settings::resolve(file, &given)?;
            let folder = place.join(&name);
            (settings.seed, settings.name, settings.out) = (seed, Some(name), place);
            cells.push(Self { number: cells.len() + 1, row: *row, seed, settings, folder });
        }
        Ok(cells)
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, seed {}", self.row.name(), self.seed)
    }

    /// Tries to claim the cell's folder, which is made where it is missing.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be made or written.
    pub fn claim(&self) -> Result<crate::train::run::claim::Attempt> {
        std::fs::create_dir_all(&self.folder).map_err(|error| {
            Error::io(&self.folder, "making a cell's folder", error, "name a folder that may be written")
        })?;
        Claim::attempt(&self.folder, self.settings.claim_timeout())
    }

    /// How it stands.
    ///
    /// # Errors
    /// [`Error::File`] where its result is another cell's, or one of other settings; [`Error::Io`] where a file of it
    /// cannot be read.
    pub fn standing(&self) -> Result<Standing> {
        if let Some(result) = self.result()? {
            return Ok(Standing::Finished(Box::new(result)));
        }
        if let Some(holder) = Claim::holder(&self.folder, self.settings.claim_timeout())? {
            return Ok(Standing::Held(holder));
        }
        let metrics = self.folder.join("metrics.jsonl");
        if !metrics.is_file() {
            return Ok(Standing::Open);
        }
        Ok(Standing::Begun(read_records(&metrics).map_or(0, |records| records.len())))
    }

    /// Its result, where it is finished.
    ///
    /// # Errors
    /// As [`Cell::standing`].
    pub fn result(&self) -> Result<Option<CellResult>> {
        let path = &self.folder.join(RESULT);
        if !path.is_file() {
            return Ok(None);
        }
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
        if result.row != self.row || result.seed != self.seed {
            return Err(wrong(&self.name(), format!("{}, seed {}", result.row.name(), result.seed)));
        }
        let settings = path.with_file_name("config.toml");
        let trained = Settings::resolve(&Given::load(&settings)?, &Given::default())?;
        if let Some(difference) = trained.difference(&self.settings) {
            return Err(wrong("a cell trained with the settings that are asked for", difference));
        }
        Ok(Some(result))
    }

    /// Writes its result.
    ///
    /// # Errors
    /// [`Error::Io`] where the disk refuses.
    pub fn finish(&self, result: &CellResult) -> Result<()> {
        let text = serde_json::to_string_pretty(result).expect("invariant: a result is plain data");
        write_atomic(&self.folder.join(RESULT), "writing a cell's result", |to| to.write_all(text.as_bytes()))
    }
}

/// The results that there are, in the order of the cells.
///
/// # Errors
/// As [`Cell::result`].
pub fn results(cells: &[Cell]) -> Result<Vec<CellResult>> {
    cells.iter().filter_map(|cell| cell.result().transpose()).collect()
}

/// Tabulates what there is into `ablation.md`, `.csv` and `.svg` in `out`; returns the first, and the results in it.
///
/// Another process may finish a cell while this one writes: it is written again until nothing new was there, so that
/// whoever writes last has every result.
///
/// # Errors
/// As [`Cell::result`], and [`Error::Io`] where the tables cannot be written.
pub fn tabulate(cells: &[Cell], out: &Path, data: Option<super::DataSet>) -> Result<(String, Vec<CellResult>)> {
    std::fs::create_dir_all(out)
        .map_err(|error| Error::io(out, "making the folder", error, "name a folder that may be written"))?;
    let mut rows: Vec<Row> = Vec::new();
    for cell in cells {
        if !rows.contains(&cell.row) {
            rows.push(cell.row);
        }
    }
    let mut found = results(cells)?;
    loop {
        let table = super::markdown(&rows, &found, data);
        let files = [
            ("ablation.md", table.clone()),
            ("ablation.csv", super::csv(&found)),
            ("ablation.svg", super::chart(&rows, &found, data)),
        ];
        for (name, text) in files {
            write_atomic(&out.join(name), "writing the ablation's tables", |to| to.write_all(text.as_bytes()))?;
        }
        let now = results(cells)?;
        if now == found {
            return Ok((table, found));
        }
        found = now;
    }
}

/// Settings that the ablation decides for each cell; flags begin with `dashes`, the keys of a file do not.
fn check_shared(given: &Given, dashes: &str) -> Result<()> {
    let decided = [
        ("model", "--networks"),
        ("branch-diversity", "--variants"),
        ("branches", "--networks"),
        ("attention", "--variants"),
        ("spatial-diversity", "--variants"),
        ("channel-diversity", "--variants"),
        ("gamma", "--gammas"),
        ("seed", "--seeds"),
        ("name", "--out"),
    ];
    match decided.into_iter().find(|(key, _)| given.has(key)) {
        None => Ok(()),
        Some((key, instead)) => Err(Error::Usage {
            setting: format!("{dashes}{key}"),
            expected: format!("{instead}, which says it for all cells"),
            found: if dashes.is_empty() {
                format!("the key `{key}` in the file of settings")
            } else {
                format!("--{key}")
            },
            hint: format!("leave it out and use {instead}; an ablation in a folder that exists goes on by itself"),
        }),
    }
}
