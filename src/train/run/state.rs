//! Where a run stands: all that a resumed run needs beside the variables and momenta.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, checkpoint::ModelResult, train::trainer};

/// The state of a run, as its newest checkpoint keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Where the training stands.
    #[serde(alias = "loop")]
    pub training: trainer::State,
    /// How far the records had grown.
    #[serde(alias = "run")]
    pub records: Position,
    /// The stages that the records tell of.
    #[serde(default)]
    pub stages_recorded: usize,
    /// What the best model reached.
    #[serde(default)]
    pub result: Option<ModelResult>,
}

/// How far the files of the records had grown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Bytes of `metrics.jsonl`.
    pub metrics_bytes: u64,
    /// The name of the TensorBoard events.
    pub events_file: String,
    /// Their bytes.
    pub events_bytes: u64,
}

impl State {
    /// As a checkpoint's metadata keep it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("invariant: a state is plain data")
    }

    /// The state in the checkpoint at `path`, which is for the error alone.
    ///
    /// # Errors
    /// [`Error::File`] where it is of another version.
    pub fn from_value(path: &Path, value: Value) -> Result<Self> {
        let old = value.get("loop").is_some();
        let mut state: Self = serde_json::from_value(value).map_err(|error| Error::File {
            path: path.into(),
            expected: "the state of a training by this version".into(),
            found: error.to_string(),
            hint: "start a new run, or resume with the version that began it".into(),
        })?;
        if old {
            // It did not count them; the records had each stage once.
            state.stages_recorded = state.training.stage + 1;
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_is_read_back_and_so_is_one_of_the_first_version() {
        let path = Path::new("last.safetensors");
        let state = State { stages_recorded: 2, ..State::default() };
        assert_eq!(State::from_value(path, state.to_value()).expect("its own"), state);
        let old = json!({
            "loop": {
                "stage": 1, "epoch": 2, "step": 3, "epochs-done": 7, "gammas": [10.0], "best": [0.5, 6],
                "stage-best": 0.5, "since-best": 1, "sums": { "steps": 1, "loss": 2.0, "hits": 3.0, "images": 4 },
                "seconds": 5.0, "images": 6,
            },
            "run": { "metrics_bytes": 10, "events_file": "events", "events_bytes": 20 },
        });
        let state = State::from_value(path, old).expect("the first version's");
        assert_eq!((state.training.epochs_done, state.training.best), (7, Some((0.5, 6))));
        assert_eq!((state.records.metrics_bytes, state.stages_recorded), (10, 2));
        assert!(State::from_value(path, json!({"training": 1})).is_err());
    }
}
