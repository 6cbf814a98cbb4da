//! Settings as a user gives them: some on the command line, some in a file.

use std::path::Path;

use clap::{ArgMatches, Args, Command, FromArgMatches, error::ErrorKind, parser::ValueSource};
use serde::Serialize;

use super::{
    Settings,
    of_weights::{NETWORK, of_weights},
    words::{DiversityMaps, Gamma, InitPart, ModelKind},
};
use crate::{Error, Result};

/// Names that settings had before, and names of the same in other spelling; flags and files may still use them.
const OTHER_NAMES: [(&str, &str); 11] = [
    ("protocol", "select-on"),
    ("schedule", "branch-schedule"),
    ("lr-old", "trained-lr"),
    ("size", "image-size"),
    ("batch", "batch-size"),
    ("validation", "val-fraction"),
    ("early-stop", "patience"),
    ("read-every", "log-every"),
    ("warmup", "warmup-fraction"),
    ("color", "colour"),
    ("normalize", "normalise"),
];

/// Settings that may differ when a run is resumed: none of them changes a bit of the result on the same device.
const FREE_ON_RESUME: [&str; 6] = ["device", "threads", "out", "checkpoint-every", "log-every", "claim-timeout"];

/// Some of the [`Settings`], by their keys: `stage-epochs` for [`Settings::stage_epochs`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given(toml::Table);

impl Given {
    /// Reads a configuration file (TOML, one flat list of keys).
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Usage`] that names the line of a mistake, and for an unknown key
    /// the nearest known one.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::io(path, "reading the configuration", source, "check the path of the file"))?;
        Self::parse(path, &text)
    }

    /// Reads the text of a configuration file; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Given::load`], but for reading.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let place = |at: usize| format!("{}, line {}", path.display(), 1 + text[..at].matches('\n').count());
        let table: toml::Table = toml::from_str(text).map_err(|error| Error::Usage {
            setting: place(error.span().map_or(0, |span| span.start)),
            expected: "TOML".into(),
            found: one_line(error.message()),
            hint: "write one `key = value` a line, text in quotes".into(),
        })?;
        let keys = Settings::keys();
        let mut given = Self::default();
        for (written, value) in table {
            let key = OTHER_NAMES.iter().find(|(other, _)| *other == written).map_or(&*written, |(_, key)| key);
            if !keys.iter().any(|known| known == key) {
                return Err(unknown_key(path, &written, &keys));
            }
            // One setting at a time, so that the line of a wrong value is known.
            let mut one = toml::Table::new();
            one.insert(key.into(), value.clone());
            if let Err(error) = complete(one) {
                let line = text.lines().position(|line| {
                    line.trim_start()
                        .trim_start_matches(['"', '\''])
                        .strip_prefix(&*written)
                        .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with('='))
                });
                return Err(Error::Usage {
                    setting: format!("{}, line {}", path.display(), 1 + line.unwrap_or(0)),
                    expected: format!("a value that `{written}` takes"),
                    found: error,
                    hint: "`moue train --help` lists the settings and their values".into(),
                });
            }
            if given.0.insert(key.into(), value).is_some() {
                return Err(Error::Usage {
                    setting: path.display().to_string(),
                    expected: format!("`{key}` once"),
                    found: format!("it twice, as `{key}` and by its other name"),
                    hint: "remove one of the two lines".into(),
                });
            }
        }
        Ok(given)
    }

    /// Whether the setting of this key was given.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Gives a setting by its key.
    ///
    /// # Panics
    /// Where no setting has this key.
    pub fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        assert!(Settings::keys().iter().any(|known| known == key), "invariant: `{key}` is a setting");
        self.0.insert(key.into(), value.into());
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }
}

impl From<Gamma> for toml::Value {
    fn from(gamma: Gamma) -> Self {
        match gamma {
            Gamma::Auto => "auto".into(),
            Gamma::Value(value) => value.into(),
        }
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        let defaults = table_of(&Settings::default()).expect("invariant: the defaults are plain values");
        // A recipe may decide otherwise, so the help shows the default, and what was not given stays open.
        let settings = Settings::augment_args(Command::new("settings")).mut_args(|argument| {
            let key = argument.get_id().as_str().replace('_', "-");
            let others = OTHER_NAMES.iter().filter(|(_, name)| *name == key).map(|(other, _)| *other);
            let argument = argument.aliases(others);
            match defaults.get(&key) {
                Some(toml::Value::String(text)) => argument.required(false).default_value(text.clone()),
                Some(value) => argument.required(false).default_value(value.to_string()),
                None => argument,
            }
        });
        command.args(settings.get_arguments().filter(|argument| argument.get_long() != Some("help")).cloned())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let all = table_of(&Settings::from_arg_matches(matches)?)
            .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n")))?;
        let typed = |key: &str| matches.value_source(&key.replace('-', "_")) == Some(ValueSource::CommandLine);
        Ok(Self(all.into_iter().filter(|(key, _)| typed(key)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

impl Settings {
    /// The names of all settings, as flags and as keys.
    #[must_use]
    pub fn keys() -> Vec<String> {
        let command = Self::augment_args(Command::new("train"));
        command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect()
    }

    /// The settings of a training: a flag wins over the file's key, the key over the network of the weights to start from,
    /// and that over the default of the model and data.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value out of range; [`Error::Io`] and [`Error::File`] for weights to start from that cannot
    /// be read.
    pub fn resolve(file: &Given, flags: &Given) -> Result<Self> {
        let text = |key| flags.text(key).or(file.text(key));
        let network = match text("init") {
            // A run's own file says it all, and the weights may be gone when the run goes on.
            Some(path) if !NETWORK.iter().all(|key| file.has(key)) => {
                of_weights(Path::new(path), text("init-part") == Some(&InitPart::Base.to_string()))?
            }
            _ => toml::Table::new(),
        };
        let model = text("model").or(network.get("model").and_then(toml::Value::as_str)).unwrap_or_default();
        let mut table = recipe(model, text("data").unwrap_or_default().split(':').next().unwrap_or_default());
        if text("diversity-maps") == Some(&DiversityMaps::Centred.to_string()) {
            table.insert("gamma".into(), 1.0.into());
        }
        table.extend(network);
        table.extend(file.0.clone());
        table.extend(flags.0.clone());
        let settings = complete(table).map_err(|found| Error::Usage {
            setting: "settings".into(),
            expected: "values that a training takes".into(),
            found,
            hint: "`moue train --help` lists the settings and their values".into(),
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// The settings of a run that is continued: those in its `config.toml`, with `flags` for what may differ.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Usage`] for the file; [`Error::Usage`] for a flag that would change the result.
    pub fn resumed(config: &Path, flags: &Given) -> Result<Self> {
        let saved = Given::load(config)?;
        let old = table_of(&Self::resolve(&saved, &Given::default())?)?;
        for (key, value) in &flags.0 {
            if !FREE_ON_RESUME.contains(&key.as_str()) && old.get(key) != Some(value) {
                return Err(Error::Usage {
                    setting: format!("--{key}"),
                    expected: old.get(key).map_or_else(|| "it unset".into(), |old| format!("{old}, as the run began")),
                    found: value.to_string(),
                    hint: "a resumed run keeps its settings; start a new one to change them".into(),
                });
            }
        }
        Self::resolve(&saved, flags)
    }

    /// The first setting that changes a trained network and is not the same in `other`, in words; the run's name and
    /// place do not count.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (table_of(self).ok()?, table_of(other).ok()?);
        let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
        let free = |key: &&String| FREE_ON_RESUME.contains(&key.as_str()) || *key == "name";
        // `auto` is what the weights to start from decide, and those are the same.
        let decided = |key: &str| {
            let is_auto = |table: &toml::Table| table.get(key).and_then(toml::Value::as_str) == Some("auto");
            ["colour", "normalise"].contains(&key) && (is_auto(&ours) || is_auto(&theirs))
        };
        let key = keys.filter(|key| !free(key) && !decided(key)).find(|key| ours.get(*key) != theirs.get(*key))?;
        let text = |table: &toml::Table| table.get(key).map_or_else(|| "unset".into(), toml::Value::to_string);
        Some(format!("`{key}` {} instead of {}", text(&ours), text(&theirs)))
    }

    /// The text of `config.toml`: every setting, complete.
    ///
    /// # Errors
    /// [`Error::Usage`] for a number that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        Ok(format!(
            "# The settings of a training by moue {}. Use them again with: moue train --config config.toml\n{}",
            env!("CARGO_PKG_VERSION"),
            table_of(self)?
        ))
    }
}

/// What a model's training starts from where a user says nothing; for MA-Net the paper's recipe on the data set.
fn recipe(model: &str, data: &str) -> toml::Table {
    if model != ModelKind::Manet.to_string() {
        return toml::Table::new();
    }
    let (augment, epochs, step_size, batch_size) = match data {
        "affectnet" => ("affectnet", 20, 5, 128),
        "rafdb" => ("rafdb", 100, 15, 128),
        "ferplus" => ("affectnet", 100, 15, 32),
        _ => ("light", 100, 15, 32),
    };
    let settings: [(&str, toml::Value); 12] = [
        ("augment", augment.into()),
        ("width", 1.0.into()),
        ("image-size", 224.into()),
        ("epochs", epochs.into()),
        ("batch-size", batch_size.into()),
        ("lr", 0.01.into()),
        ("nesterov", false.into()),
        ("weight-decay", 1e-4.into()),
        ("lr-schedule", "step".into()),
        ("step-size", step_size.into()),
        ("step-gamma", 0.1.into()),
        ("warmup-fraction", 0.0.into()),
    ];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The settings of a table; those that it lacks have their defaults.
fn complete(given: toml::Table) -> std::result::Result<Settings, String> {
    let mut table = table_of(&Settings::default()).map_err(|error| error.to_string())?;
    table.extend(given);
    toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| one_line(error.message()))
}

/// The settings that are there, by key.
fn table_of(settings: &impl Serialize) -> Result<toml::Table> {
    toml::Table::try_from(settings).map_err(|error| Error::Usage {
        setting: "settings".into(),
        expected: "whole numbers up to 9223372036854775807, the largest of TOML".into(),
        found: one_line(&error.to_string()),
        hint: "give smaller numbers".into(),
    })
}

fn unknown_key(path: &Path, written: &str, keys: &[String]) -> Error {
    let nearest = keys
        .iter()
        .map(|key| (strsim::jaro_winkler(key, written), key))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7);
    Error::Usage {
        setting: path.display().to_string(),
        expected: "the names of `moue train`'s flags as keys".into(),
        found: format!("`{written}`"),
        hint: nearest
            .map_or_else(|| "`moue train --help` lists them".into(), |(_, key)| format!("the nearest one is `{key}`")),
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
