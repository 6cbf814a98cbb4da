//! The folder of a run: settings, facts, records, checkpoints, charts and reports.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clock::now_utc;
use super::config::TrainConfig;
use super::metrics::{EpochRecord, Summary, mean_off_diagonal};
use super::tensorboard::{EventFile, cut};
use super::{confusion_svg, curves_svg, model_card, report_html, similarity_svg};
use crate::checkpoint::{
    ModelMeta, TrainingData, TrainingState, file_hash, load_state, save_model, save_state, write_atomic,
};
use crate::{Error, Result, nn::variables::Tensors};

/// What is known when a training starts, beside its settings.
#[derive(Debug, Clone)]
pub struct RunStart {
    /// The device in words, and why it was chosen.
    pub device: String,
    /// What the driver says of the adapter: name, backend, driver, features; null on the CPU.
    pub adapter: Value,
    /// Where the training images are, and why.
    pub images: String,
    /// The data set, its hash and its counts.
    pub data: TrainingData,
    /// The class names in order.
    pub classes: Vec<String>,
    /// The number of trained values.
    pub parameters: usize,
    /// The command line.
    pub command: Vec<String>,
    /// What the weights to start from brought; null where there are none.
    pub init: Value,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It goes on.
    Running,
    /// It came to its end.
    Finished,
    /// The user stopped it; it can be resumed.
    Interrupted,
    /// It ended with an error.
    Failed,
}

/// A run's folder while the run goes on.
///
/// `config.toml` and `run.json` say what the run is; `metrics.jsonl` and the TensorBoard events grow with it;
/// `checkpoints/last.safetensors` and `best.safetensors` are replaced as a whole; the charts are redrawn every epoch;
/// `report.html` and `MODEL_CARD.md` come at the end.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    config: TrainConfig,
    facts: Map<String, Value>,
    metrics: File,
    metrics_bytes: u64,
    events: EventFile,
    records: Vec<EpochRecord>,
}

/// Where the growing files stood at a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    metrics_bytes: u64,
    events_file: String,
    events_bytes: u64,
}

impl RunFolder {
    /// Makes the folder of a new run under `config.out`: `config.name`, or model and data (`esr-synthetic`); where that
    /// exists, with the first free number behind (`esr-synthetic-2`).
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be written.
    pub fn create(config: &TrainConfig, start: &RunStart) -> Result<Self> {
        let name = config.name.clone().unwrap_or_else(|| {
            let data = config.data_name();
            let plain: String = data.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            format!("{}-{plain}", config.model)
        });
        let path = new_folder(&config.out, &name)?;
        make_folder(&path.join("checkpoints"))?;
        let mut config = config.clone();
        config.resume = None;
        let text = config.to_toml()?;
        write_text(&path.join("config.toml"), &text)?;
        let metrics_path = path.join("metrics.jsonl");
        let metrics = File::create_new(&metrics_path).map_err(|source| failed(&metrics_path, source))?;
        let events = EventFile::create(&path)?;
        let mut run =
            Self { facts: facts(&config, start), path, config, metrics, metrics_bytes: 0, events, records: Vec::new() };
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
        for needed in ["config.toml", "run.json", "metrics.jsonl", "checkpoints/last.safetensors"] {
            if !folder.join(needed).is_file() {
                return Err(Error::File {
                    path: given.into(),
                    expected: "the folder of a run or its checkpoints/last.safetensors".into(),
                    found: format!("no {needed}"),
                    hint: "give a folder under runs/ whose training saved a checkpoint".into(),
                });
            }
        }
        Ok(folder.into())
    }

    /// Goes on with the run in `folder` where its last checkpoint was written: later records are cut off.
    ///
    /// # Errors
    /// [`Error::File`] when the run's files do not fit together, or its data were others; [`Error::Io`] when one cannot
    /// be read or written.
    pub fn resume(folder: &Path, config: &TrainConfig, start: &RunStart) -> Result<(Self, TrainingState)> {
        let last = folder.join("checkpoints/last.safetensors");
        let mut training = load_state(&last)?;
        let wrong = |path: &Path, expected: &str, found: String, hint: &str| Error::File {
            path: path.into(),
            expected: expected.into(),
            found,
            hint: hint.into(),
        };
        let position: Position = training
            .state
            .get_mut("run")
            .map(Value::take)
            .and_then(|position| serde_json::from_value(position).ok())
            .ok_or_else(|| {
                wrong(
                    &last,
                    "a checkpoint of a run folder",
                    "no position in its records".into(),
                    "use a run's own file",
                )
            })?;
        training.state = training.state.get_mut("loop").map(Value::take).unwrap_or_default();
        training.model.meta.require_architecture(&last, &config.architecture())?;
        if let Some(data) = &training.model.meta.data
            && data.hash != start.data.hash
        {
            let found = format!("hash {}, {} {:?}", start.data.hash, start.data.source, start.data.counts);
            return Err(wrong(
                &last,
                &format!("the data it was trained on, hash {}", data.hash),
                found,
                "give the same data, or start a new run",
            ));
        }
        let metrics_path = folder.join("metrics.jsonl");
        let metrics = cut(&metrics_path, position.metrics_bytes)?;
        let records = read_records(&metrics_path)?;
        let events = EventFile::reopen(&folder.join(&position.events_file), position.events_bytes)?;
        let facts_path = folder.join("run.json");
        let text = fs::read_to_string(&facts_path).map_err(|source| failed(&facts_path, source))?;
        let mut facts: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
            wrong(&facts_path, "the facts of a run as JSON", error.to_string(), "restore the file from a copy")
        })?;
        let resumed = json!({ "at": now_utc(), "device": start.device, "command": start.command });
        match facts.get_mut("resumed").and_then(Value::as_array_mut) {
            Some(list) => list.push(resumed),
            None => drop(facts.insert("resumed".into(), json!([resumed]))),
        }
        facts.insert("status".into(), json!(Status::Running));
        let mut config = config.clone();
        config.resume = None;
        let metrics_bytes = position.metrics_bytes;
        let mut run = Self { path: folder.into(), config, facts, metrics, metrics_bytes, events, records };
        run.write_facts()?;
        Ok((run, training))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint that the run resumes from.
    #[must_use]
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoints/last.safetensors")
    }

    /// The best model so far.
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.path.join("checkpoints/best.safetensors")
    }

    /// The epochs so far, those before a resumption included.
    #[must_use]
    pub fn records(&self) -> &[EpochRecord] {
        &self.records
    }

    /// The run's settings.
    #[must_use]
    pub fn config(&self) -> &TrainConfig {
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
        self.metrics.write_all(line.as_bytes()).map_err(|source| failed(&self.path.join("metrics.jsonl"), source))?;
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
            ("loss/validation", Some(record.val_loss)),
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
        for (branch, accuracy) in record.branch_accuracy.iter().enumerate() {
            self.scalar(&format!("accuracy/validation_branch_{}", branch + 1), record.step, *accuracy)?;
        }
        self.records.push(record.clone());
        self.draw()
    }

    /// Saves the checkpoint that `--resume` goes on from: `state` is what [`RunFolder::resume`] hands back.
    ///
    /// # Errors
    /// As [`save_state`]; the checkpoint before this one is then still there.
    pub fn save_last(&mut self, meta: &ModelMeta, tensors: &Tensors, momenta: &Tensors, state: &Value) -> Result<()> {
        // The records must be on the disk before a checkpoint counts on them.
        self.metrics.sync_data().map_err(|source| failed(&self.path.join("metrics.jsonl"), source))?;
        self.events.sync()?;
        let (events_file, events_bytes) = self.events.position();
        let position = Position { metrics_bytes: self.metrics_bytes, events_file, events_bytes };
        save_state(&self.last(), meta, tensors, momenta, &json!({ "loop": state, "run": position }))
    }

    /// Saves the best model so far.
    ///
    /// # Errors
    /// As [`save_model`]; the best one before is then still there.
    pub fn save_best(&mut self, meta: &ModelMeta, tensors: &Tensors) -> Result<()> {
        save_model(&self.best(), meta, tensors)
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
        self.metrics.sync_data().map_err(|source| failed(&self.path.join("metrics.jsonl"), source))?;
        self.events.sync()?;
        self.draw()?;
        if let Some(evaluation) = &summary.evaluation {
            write_text(&self.path.join("confusion.svg"), &confusion_svg(evaluation))?;
        }
        let page = report_html(&self.config, &self.facts, &self.records, &summary, meta);
        write_text(&self.path.join("report.html"), &page)?;
        let card = model_card(&self.config, &self.facts, &summary, meta);
        write_text(&self.path.join("MODEL_CARD.md"), &card)?;
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
        write_text(&self.path.join("curves.svg"), &curves_svg(&self.records))?;
        write_text(&self.path.join("similarity.svg"), &similarity_svg(&self.records))
    }

    fn write_facts(&mut self) -> Result<()> {
        write_text(&self.path.join("run.json"), &format!("{:#}\n", json!(self.facts)))
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
            records.push(serde_json::from_value(value).map_err(|error| bad_line(path, index, &error))?);
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

/// The facts of run.json at the start.
fn facts(config: &TrainConfig, start: &RunStart) -> Map<String, Value> {
    let value = json!({
        "status": Status::Running,
        "moue": env!("CARGO_PKG_VERSION"),
        "git": git_revision(),
        "command": start.command,
        "init": start.init,
        "started": now_utc(),
        "finished": null,
        "seed": config.seed,
        "device": start.device,
        "adapter": start.adapter,
        "images": start.images,
        "host": {
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "system": std::env::consts::OS,
            "processor": std::env::consts::ARCH,
        },
        "data": start.data,
        "classes": start.classes,
        "architecture": config.architecture(),
        "parameters": start.parameters,
    });
    value.as_object().expect("invariant: an object was written").clone()
}

/// The revision of the repository that the program runs in, with `-dirty` for changes; none outside of one.
fn git_revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let revision = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { revision } else { format!("{revision}-dirty") })
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

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(|source| failed(path, source))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, "writing the run folder", |writer| writer.write_all(text.as_bytes()))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::io(path, "writing the run folder", source, "check --out, the permissions and the space on the disk")
}
