//! Lists of settings as text: `key=value,key=value`.

use std::str::FromStr;

use crate::{Error, Result};

/// One setting of a list.
pub(super) struct Setting<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// Splits `key=value,key=value`; an empty text has no settings.
pub(super) fn settings<'a>(what: &str, text: &'a str) -> Result<Vec<Setting<'a>>> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').ok_or_else(|| Error::Usage {
                setting: what.into(),
                expected: "settings of the form key=value, separated by commas".into(),
                found: format!("`{part}`"),
                hint: "write it as key=value".into(),
            })?;
            Ok(Setting { key: key.trim(), value: value.trim() })
        })
        .collect()
}

impl Setting<'_> {
    /// The value as a number in low..=high.
    pub(super) fn number<T>(&self, what: &str, low: T, high: T) -> Result<T>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        self.value.parse().ok().filter(|value| *value >= low && *value <= high).ok_or_else(|| Error::Usage {
            setting: format!("{what}, {}", self.key),
            expected: format!("a number from {low} to {high}"),
            found: format!("`{}`", self.value),
            hint: "correct the value".into(),
        })
    }

    /// The error for a key that is none of `known`.
    pub(super) fn unknown(&self, what: &str, known: &str) -> Error {
        Error::Usage {
            setting: what.into(),
            expected: format!("one of {known}"),
            found: format!("`{}`", self.key),
            hint: "correct the key".into(),
        }
    }
}
