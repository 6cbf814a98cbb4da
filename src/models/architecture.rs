//! What a model file says of its network.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EsrSpec, ManetSpec, NetworkSpec};

/// A network but for its classes, which model files list by name.
///
/// As JSON it is an object: `{"model": "esr", "branches": 4, "width": 0.5, "size": 64, "attention": true}` or
/// `{"model": "manet", "width": 1.0, "size": 224, "local_weight": 0.6}`. An ESR with no branches is its base alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Architecture(NetworkSpec);

impl NetworkSpec {
    /// The network as model files describe it.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        Architecture(self.with_classes(0))
    }

    fn with_classes(&self, classes: usize) -> Self {
        match self {
            Self::Esr(spec) => Self::Esr(EsrSpec { classes, ..spec.clone() }),
            Self::Manet(spec) => Self::Manet(ManetSpec { classes, ..spec.clone() }),
        }
    }
}

impl Architecture {
    /// The network for a number of classes. Nothing is checked: see [`NetworkSpec::validate`].
    #[must_use]
    pub fn network(&self, classes: usize) -> NetworkSpec {
        self.0.with_classes(classes)
    }

    /// Whether this is an ESR's base alone, to train branches on.
    #[must_use]
    pub fn is_base(&self) -> bool {
        matches!(self.0, NetworkSpec::Esr(EsrSpec { branches: 0, .. }))
    }

    /// Side of the input images, in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// The settings that `other` has otherwise, as two lists in words: these, and those of `other`; none where the two
    /// are equal.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Option<[String; 2]> {
        let [ours, theirs] = [self, other].map(Self::settings);
        let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
        let differing: Vec<_> = keys.filter(|key| ours.get(*key) != theirs.get(*key)).collect();
        let words = |settings: &serde_json::Map<String, Value>| {
            let one = |key: &&String| match settings.get(*key) {
                Some(value) => format!("{key} {value}"),
                None => format!("no {key}"),
            };
            differing.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        (!differing.is_empty()).then(|| [words(&ours), words(&theirs)])
    }

    fn settings(&self) -> serde_json::Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(settings)) => settings,
            _ => unreachable!("invariant: an architecture is an object of plain data"),
        }
    }
}

/// Why some JSON is no architecture.
#[derive(Debug, thiserror::Error)]
#[error("the architecture {0}, which this version does not know ({1})")]
pub struct Unknown(Value, serde_json::Error);

impl TryFrom<Value> for Architecture {
    type Error = Unknown;

    fn try_from(value: Value) -> Result<Self, Unknown> {
        NetworkSpec::deserialize(&value).map(Self).map_err(|error| Unknown(value, error))
    }
}

impl std::fmt::Display for Architecture {
    /// The JSON of model files.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Value::Object(self.settings()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Padding;
    use super::*;
    use serde_json::json;

    fn esr() -> NetworkSpec {
        NetworkSpec::Esr(EsrSpec {
            branches: 3,
            width: 0.5,
            size: 64,
            classes: 7,
            attention: true,
            padding: Padding::Published,
        })
    }

    fn manet() -> NetworkSpec {
        NetworkSpec::Manet(ManetSpec { width: 0.25, size: 32, classes: 7, local_weight: 0.3 })
    }

    #[test]
    fn an_architecture_is_the_json_of_earlier_files_and_gives_the_network_back() {
        for (network, written) in [
            (esr(), json!({"model": "esr", "branches": 3, "width": 0.5, "size": 64, "attention": true})),
            (manet(), json!({"model": "manet", "width": 0.25, "size": 32, "local_weight": 0.3})),
        ] {
            let architecture = network.architecture();
            assert_eq!(json!(architecture), written);
            assert_eq!(architecture.to_string(), written.to_string());
            let read: Architecture = serde_json::from_value(written).expect("an architecture");
            assert_eq!((read.network(7), read.size()), (network.clone(), network.size()));
        }
    }

    #[test]
    fn a_manet_of_an_earlier_file_has_the_papers_local_weight() {
        let read: Architecture =
            serde_json::from_value(json!({"model": "manet", "width": 1.0, "size": 224})).expect("an architecture");
        assert_eq!(read.network(8).head_weights(), [0.6, 0.4, 0.0]);
    }

    #[test]
    fn a_base_alone_is_an_esr_of_no_branches() {
        let read: Architecture =
            serde_json::from_value(json!({"model": "esr", "branches": 0, "width": 1, "size": 96, "attention": false}))
                .expect("an architecture");
        assert!(read.is_base() && esr().with_branches(0).architecture().is_base());
        assert!(!esr().architecture().is_base() && !manet().with_branches(0).architecture().is_base());
    }

    #[test]
    fn what_is_no_architecture_of_this_version_is_quoted_with_the_reason() {
        for (wrong, reason) in [
            (json!({"model": "vgg", "size": 1}), "unknown variant `vgg`, expected `esr` or `manet`"),
            (json!({"model": "esr", "branches": 3, "width": 0.5, "size": 64}), "missing field `attention`"),
            (json!({"model": "manet", "width": 1, "size": 64, "depth": 3}), "unknown field `depth`"),
            (json!("esr"), "invalid type"),
        ] {
            let error = serde_json::from_value::<Architecture>(wrong.clone()).expect_err("no architecture").to_string();
            assert!(error.contains(&wrong.to_string()) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn differences_name_every_setting_of_either_side() {
        let others = esr().with_branches(9).architecture();
        assert_eq!(esr().architecture().differences(&others), Some(["branches 3".into(), "branches 9".into()]));
        assert_eq!(others.differences(&others), None);
        let [ours, theirs] = manet().architecture().differences(&others).expect("two models");
        assert_eq!(ours, "model \"manet\", width 0.25, size 32, local_weight 0.3, no branches, no attention");
        assert_eq!(theirs, "model \"esr\", width 0.5, size 64, no local_weight, branches 9, attention true");
    }
}
