//! The folder of a run: settings, facts, records, checkpoints, charts and reports.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::claim::Claim;
use super::facts::{RunStart, Status, facts};
use super::state::{Position, State};
use crate::checkpoint::{ModelMeta, file_hash, load_state, save_model, save_state, write_atomic};
use crate::train::clock::now_utc;
use crate::train::metrics::{EpochRecord, Summary, mean_off_diagonal};
use crate::train::settings::Settings;
use crate::train::tensorboard::{EventFile, cut};
use crate::train::{confusion_svg, curves_svg, model_card, report_html, similarity_svg};
use crate::{Error, Result, nn::variables::Tensors};

/// A run's folder while the run goes on.
///
/// `config.toml` and `run.json` say what the run is; `metrics.jsonl` and the TensorBoard events grow with it;
/// `checkpoints/last.safetensors` and `best.safetensors` are replaced as a whole; the charts are redrawn every epoch;
/// `report.html` and `MODEL_CARD.md` come at the end.
#[derive(Debug)]
pub struct RunFolder {
    claim: Claim,
    config: Settings,
    facts: Map<String, Value>,
    metrics: File,
    metrics_bytes: u64,
    events: EventFile,
    records: Vec<EpochRecord>,
}

/// What a checkpoint of a run holds.
#[derive(Debug)]
pub struct Saved {
    /// Where the run stood.
    pub state: State,
    /// The variables.
    pub tensors: Tensors,
    /// The momenta.
    pub momenta: Tensors,
    /// The best network of the stage in progress, where a later stage will need it.
    pub stage_best: Option<Tensors>,
}

impl RunFolder {
    /// Makes and claims the folder of a new run under `config.out`: `config.name`, or model and data (`esr-synthetic`);
    /// where that exists, with the first free number behind (`esr-synthetic-2`).
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be written.
    pub fn create(config: &Settings) -> Result<Claim> {
        let name = config.name.clone().unwrap_or_else(|| {
            let data = config.data_name();
            let plain: String = data.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            format!("{}-{plain}", config.model)
        });
        Claim::take(&new_folder(&config.out, &name)?, config.claim_timeout())
    }

    /// Begins a run in a claimed folder; what an earlier beginning that saved no checkpoint left there goes.
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be written.
    pub fn begin(claim: Claim, config: &Settings, start: &RunStart) -> Result<Self> {
        let path = claim.folder().to_owned();
        sweep(&path, |name| name.ends_with(".partial") || name.starts_with("events.out.tfevents."))?;
        fs::create_dir_all(path.join("checkpoints")).map_err(|source| failed(&path, source))?;
        sweep(&path.join("checkpoints"), |_| true)?;
        write_text(&path.join("config.toml"), &config.to_toml()?)?;
        let metrics_path = path.join("metrics.jsonl");
        let metrics = File::create(&metrics_path).map_err(|source| failed(&metrics_path, source))?;
        let events = EventFile::create(&path)?;
        let (config, facts, records) = (config.clone(), facts(config, start), Vec::new());
        let mut run = Self { claim, config, facts, metrics, metrics_bytes: 0, events, records };
        run.write_facts()?;
        Ok(run)
    }

    /// The folder of the run that `--resume` names: the folder itself, or a checkpoint in it.
    ///
    /// # Errors
    /// [`Error::File`] where there is no run.
    pub fn locate(given: &Path) -> Result<PathBuf> {
        let folder = match given.file_name() {
            Some(name) if name == "last.safetensors" => given.parent().and_then(Path::parent).unwrap_or(given),
            Some(name) if name == "checkpoints" => given.parent().unwrap_or(given),
            _ => given,
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if !folder.join("config.toml").is_file() {
            return Err(Error::File {
                path: given.into(),
                expected: "the folder of a run or its checkpoints/last.safetensors".into(),
                found: "no config.toml".into(),
                hint: "give a folder under runs/".into(),
            });
        }
        Ok(folder.into())
    }

    /// The newest checkpoint of the run in a folder; none where it was killed before its first.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Io`] where the checkpoint cannot be read.
    pub fn checkpoint(folder: &Path, config: &Settings, classes: usize) -> Result<Option<Saved>> {
        let last = folder.join("checkpoints/last.safetensors");
        if !last.is_file() {
            return Ok(None);
        }
        let saved = load_state(&last)?;
        let state = State::from_value(&last, saved.state)?;
        // A network that grows has fewer branches in the stages before its last one.
        let stages = crate::train::schedule::stages(config, config.network(classes).heads());
        let branches = stages.get(state.training.stage).map_or(config.branches, |stage| stage.branches);
        let network = config.network(classes).with_branches(branches);
        saved.model.meta.require_architecture(&last, &network.architecture())?;
        let best = stage_best(folder, state.training.stage);
        // The file of the first version had no stage in its name.
        let best = if best.is_file() { best } else { folder.join("checkpoints/stage.safetensors") };
        let stage_best = if state.training.stage_best.is_some() && best.is_file() {
            Some(crate::checkpoint::load_model(&best)?.tensors)
        } else {
            None
        };
        Ok(Some(Saved { state, tensors: saved.model.tensors, momenta: saved.momenta, stage_best }))
    }

    /// Goes on with the run in a claimed folder where its newest checkpoint, `state`, was written: later records are cut
    /// off.
    ///
    /// # Errors
    /// [`Error::File`] when the run's files do not fit together, or its data were others; [`Error::Io`] when one cannot
    /// be read or written.
    pub fn resume(claim: Claim, config: &Settings, state: &State, start: &RunStart) -> Result<Self> {
        let folder = claim.folder().to_owned();
        let wrong = |path: &Path, expected: String, found: String, hint: &str| Error::File {
            path: path.into(),
            expected,
            found,
            hint: hint.into(),
        };
        let facts_path = folder.join("run.json");
        let text = fs::read_to_string(&facts_path).map_err(|source| failed(&facts_path, source))?;
        let mut facts: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
            wrong(&facts_path, "the facts of a run as JSON".into(), error.to_string(), "restore the file from a copy")
        })?;
        let hash = facts.get("data").and_then(|data| data.get("hash")).and_then(Value::as_str).unwrap_or_default();
        if hash != start.data.hash {
            let found = format!("hash {}, {} {:?}", start.data.hash, start.data.source, start.data.counts);
            // Hashes of earlier versions do not name the splits: nobody can tell whether an image has moved between them.
            let hint = if hash.contains(':') || hash.is_empty() {
                "give the same data, or start a new run"
            } else {
                "the run was begun by an earlier version, whose hash cannot be compared: go on with that version, or start \
                 a new run"
            };
            return Err(wrong(&facts_path, format!("the data it was trained on, hash {hash}"), found, hint));
        }
        for folder in [folder.clone(), folder.join("checkpoints")] {
            sweep(&folder, |name| name.ends_with(".partial"))?;
        }
        let metrics_path = folder.join("metrics.jsonl");
        let metrics = cut(&metrics_path, state.records.metrics_bytes)?;
        let records = read_records(&metrics_path)?;
        let events = EventFile::reopen(&folder.join(&state.records.events_file), state.records.events_bytes)?;
        let resumed = json!({ "at": now_utc(), "device": start.device, "command": start.command });
        match facts.get_mut("resumed").and_then(Value::as_array_mut) {
            Some(list) => list.push(resumed),
            None => drop(facts.insert("resumed".into(), json!([resumed]))),
        }
        facts.insert("status".into(), json!(Status::Unfinished));
        let (config, metrics_bytes) = (config.clone(), state.records.metrics_bytes);
        let mut run = Self { claim, config, facts, metrics, metrics_bytes, events, records };
        run.write_facts()?;
        Ok(run)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.claim.folder()
    }

    /// Lets the files go, not the folder.
    #[must_use]
    pub fn into_claim(self) -> Claim {
        self.claim
    }

    /// The checkpoint that the run resumes from.
    #[must_use]
    pub fn last(&self) -> PathBuf {
        self.path().join("checkpoints/last.safetensors")
    }

    /// The best model so far.
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.path().join("checkpoints/best.safetensors")
    }

    /// The epochs so far, those before a resumption included.
    #[must_use]
    pub fn records(&self) -> &[EpochRecord] {
        &self.records
    }

    /// The run's settings.
    #[must_use]
    pub fn config(&self) -> &Settings {
        &self.config
    }

    /// The content of run.json.
    #[must_use]
    pub fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    /// Adds a line to `metrics.jsonl`. A record says what it is by the key `kind`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn metric(&mut self, record: &Map<String, Value>) -> Result<()> {
        let mut line = json!(record).to_string();
        line.push('\n');
        self.metrics.write_all(line.as_bytes()).map_err(|source| failed(&self.path().join("metrics.jsonl"), source))?;
        self.metrics_bytes += line.len() as u64;
        Ok(())
    }

    /// Adds a figure to the TensorBoard events.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        self.events.scalar(tag, step, value)
    }

    /// Records some figures of a step: a line of kind `step`, and each as `step/<name>` in the events.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be written.
    pub fn step(&mut self, step: u64, figures: &[(&str, f64)]) -> Result<()> {
        let mut record = Map::from_iter([("kind".into(), json!("step")), ("step".into(), json!(step))]);
        for (name, value) in figures {
            record.insert((*name).into(), json!(value));
            self.scalar(&format!("step/{name}"), step, *value)?;
        }
        self.metric(&record)
    }

    /// Records an epoch: a line of kind `epoch`, the figures in the events, and the charts redrawn.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be written.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        let mut line = Map::from_iter([("kind".into(), json!("epoch"))]);
        if let Value::Object(figures) = json!(record) {
            line.extend(figures);
        }
        self.metric(&line)?;
        let off_diagonal = |matrix: &Option<Vec<Vec<f64>>>| matrix.as_ref().and_then(|s| mean_off_diagonal(s));
        let figures = [
            ("loss/train", Some(record.train_loss)),
            ("cross_entropy/train", Some(record.train_cross_entropy)),
            ("cross_entropy/validation", Some(record.val_cross_entropy)),
            ("accuracy/train", Some(record.train_accuracy)),
            ("accuracy/validation", Some(record.val_accuracy)),
            ("learning_rate", Some(record.lr)),
            ("images_per_s", Some(record.images_per_s)),
            ("similarity/branch", off_diagonal(&record.similarity_branch)),
            ("similarity/spatial", off_diagonal(&record.similarity_spatial)),
            ("similarity/channel", off_diagonal(&record.similarity_channel)),
            ("diversity/branch", record.diversity_branch),
            ("diversity/spatial", record.diversity_spatial),
            ("diversity/channel", record.diversity_channel),
            ("diversity_gradient/branch", record.gradient_branch),
            ("diversity_gradient/spatial", record.gradient_spatial),
            ("diversity_gradient/channel", record.gradient_channel),
        ];
        for (tag, value) in figures {
            if let Some(value) = value {
                self.scalar(tag, record.step, value)?;
            }
        }
        for (kind, weight) in &record.diversity_weight {
            self.scalar(&format!("diversity_weight/{kind}"), record.step, *weight)?;
        }
        for (branch, accuracy) in record.branch_accuracy.iter().enumerate() {
            self.scalar(&format!("accuracy/validation_branch_{}", branch + 1), record.step, *accuracy)?;
        }
        self.records.push(record.clone());
        self.draw()
    }

    /// Saves the checkpoint that `--resume` goes on from; the state's place in the records is set to where they are now.
    ///
    /// # Errors
    /// As [`save_state`], the checkpoint before this one is then still there; [`Error::Busy`] where another process has
    /// taken the folder over.
    pub fn save_last(
        &mut self,
        meta: &ModelMeta,
        tensors: &Tensors,
        momenta: &Tensors,
        state: &mut State,
    ) -> Result<()> {
        self.claim.check()?;
        // The records must be on the disk before a checkpoint counts on them.
        self.metrics.sync_data().map_err(|source| failed(&self.path().join("metrics.jsonl"), source))?;
        self.events.sync()?;
        let (events_file, events_bytes) = self.events.position();
        state.records = Position { metrics_bytes: self.metrics_bytes, events_file, events_bytes };
        save_state(&self.last(), meta, tensors, momenta, &state.to_value())?;
        // The networks that earlier stages started from are of no more use.
        let own = stage_best(self.path(), state.training.stage);
        sweep(&self.path().join("checkpoints"), |name| name.starts_with("stage") && !own.ends_with(name))
    }

    /// Saves the best model so far.
    ///
    /// # Errors
    /// As [`save_model`]; the best one before is then still there.
    pub fn save_best(&mut self, meta: &ModelMeta, tensors: &Tensors) -> Result<()> {
        self.claim.check()?;
        save_model(&self.best(), meta, tensors)
    }

    /// Saves the best network of a stage, counted from 0, from which the next one starts.
    ///
    /// # Errors
    /// As [`save_model`].
    pub fn save_stage_best(&mut self, stage: usize, meta: &ModelMeta, tensors: &Tensors) -> Result<()> {
        self.claim.check()?;
        save_model(&stage_best(self.path(), stage), meta, tensors)
    }

    /// Ends the run: `run.json` with the result, all charts, `report.html` and `MODEL_CARD.md`. `meta` is the best
    /// model's. Returns the summary with the model file's hash.
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be read or written.
    pub fn finish(&mut self, summary: &Summary, meta: &ModelMeta) -> Result<Summary> {
        let mut summary = summary.clone();
        if self.best().is_file() {
            summary.model_hash = file_hash(&self.best())?;
        }
        self.facts.insert("status".into(), json!(Status::Finished));
        self.facts.insert("finished".into(), json!(now_utc()));
        self.facts.insert("result".into(), json!(summary));
        self.metrics.sync_data().map_err(|source| failed(&self.path().join("metrics.jsonl"), source))?;
        self.events.sync()?;
        self.draw()?;
        if let Some(evaluation) = &summary.evaluation {
            write_text(&self.path().join("confusion.svg"), &confusion_svg(evaluation))?;
        }
        let page = report_html(&self.config, &self.facts, &self.records, &summary, meta);
        write_text(&self.path().join("report.html"), &page)?;
        let card = model_card(&self.config, &self.facts, &summary, meta);
        write_text(&self.path().join("MODEL_CARD.md"), &card)?;
        self.write_facts()?;
        Ok(summary)
    }

    /// Notes in `run.json` that the run ended early, and when.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn stop(&mut self, status: Status) -> Result<()> {
        self.facts.insert("status".into(), json!(status));
        self.facts.insert("finished".into(), json!(now_utc()));
        self.write_facts()
    }

    fn draw(&self) -> Result<()> {
        write_text(&self.path().join("curves.svg"), &curves_svg(&self.records))?;
        write_text(&self.path().join("similarity.svg"), &similarity_svg(&self.records))
    }

    fn write_facts(&mut self) -> Result<()> {
        write_text(&self.path().join("run.json"), &format!("{:#}\n", json!(self.facts)))
    }
}

/// The epochs recorded in a `metrics.jsonl`, in order.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::File`] for a line that is no record.
pub fn read_records(path: &Path) -> Result<Vec<EpochRecord>> {
    let text = fs::read_to_string(path)
        .map_err(|source| Error::io(path, "reading the run's records", source, "check the run folder"))?;
    let mut records = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let value: Value = serde_json::from_str(line).map_err(|error| bad_line(path, index, &error))?;
        if value.get("kind").and_then(Value::as_str) == Some("epoch") {
            // Versions without this key counted stages from 0.
            let counts_from_0 = value.get("train_cross_entropy").is_none();
            let mut record: EpochRecord =
                serde_json::from_value(value).map_err(|error| bad_line(path, index, &error))?;
            record.stage += usize::from(counts_from_0);
            records.push(record);
        }
    }
    Ok(records)
}

fn bad_line(path: &Path, index: usize, error: &serde_json::Error) -> Error {
    Error::File {
        path: path.into(),
        expected: format!("a record as JSON in line {}", index + 1),
        found: error.to_string(),
        hint: "restore the file from a copy, or start a new run".into(),
    }
}

/// Makes `out/name`, or the first of `out/name-2`, `out/name-3`, … that does not exist.
fn new_folder(out: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(out).map_err(|source| failed(out, source))?;
    for number in 1_usize.. {
        let path = if number == 1 { out.join(name) } else { out.join(format!("{name}-{number}")) };
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(&path, source)),
        }
    }
    unreachable!("invariant: some number is free")
}

/// The best network of a stage; each stage has a file of its own, so that a run killed early in the next one still has
/// what its checkpoint needs.
fn stage_best(folder: &Path, stage: usize) -> PathBuf {
    folder.join(format!("checkpoints/stage-{}.safetensors", stage + 1))
}

/// Removes the files of a folder whose names are `unwanted`.
fn sweep(folder: &Path, unwanted: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let entry = entry.map_err(|source| failed(folder, source))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && unwanted(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(|source| failed(&entry.path(), source))?;
        }
    }
    Ok(())
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, "writing the run folder", |writer| writer.write_all(text.as_bytes()))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::io(path, "writing the run folder", source, "check --out, the permissions and the space on the disk")
}
