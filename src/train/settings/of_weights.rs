//! The settings of a network that weights are of.

use std::path::Path;

use crate::{
    Result,
    checkpoint::{Weights, gather},
};

/// The keys by which a network is described, of which a run's own `config.toml` has all.
pub(super) const NETWORK: [&str; 5] = ["model", "branches", "width", "image-size", "attention"];

/// The network of the weights in a file, by keys; without the number of branches where the base alone is there or wanted.
/// Nothing where no known network shows, such as in weights for a part of one.
///
/// # Errors
/// What [`Weights::read`] and [`gather`] return.
pub(super) fn of_weights(path: &Path, base_alone: bool) -> Result<toml::Table> {
    let Ok(architecture) = gather(vec![Weights::read(path)?])?.architecture() else { return Ok(toml::Table::new()) };
    let mut table =
        toml::Table::try_from(&architecture).expect("invariant: an architecture is an object of words and numbers");
    if base_alone || architecture.is_base() {
        table.remove("branches");
    }
    let key = |key: String| if key == "size" { "image-size".to_owned() } else { key.replace('_', "-") };
    Ok(table.into_iter().map(|(name, value)| (key(name), value)).collect())
}
