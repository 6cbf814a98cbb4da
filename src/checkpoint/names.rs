//! From the names of one or more files to the published names of one network.
//!
//! `module.` in front comes from PyTorch's data parallelism. The authors of ESR save a network as a file for the base and
//! one for each branch (`Net-Base-Shared_Representations.pt`, `Net-Branch_1.pt`, …), whose names lack the part in front.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{ModelMeta, Weights, model::COUNTER};
use crate::models::esr::MAX_BRANCHES;
use crate::nn::variables::Tensors;
use crate::{Error, Result};

/// The tensors of one network under the published names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict {
    /// The files they come from.
    pub files: Vec<PathBuf>,
    /// What moue's own file said about the model.
    pub meta: Option<ModelMeta>,
    /// The tensors of floating-point elements.
    pub tensors: Tensors,
    /// The element types of all other tensors.
    pub others: BTreeMap<String, String>,
    /// How many of batch norm's counters of batches were left out: moue does not use them.
    pub counters: usize,
}

/// Joins the tensors of some files into one network.
///
/// # Errors
/// [`Error::Data`] where two files bring the same tensor or branches are missing between others.
pub fn gather(files: Vec<Weights>) -> Result<StateDict> {
    let mut network = StateDict::default();
    let places = places(&files)?;
    for (file, place) in files.into_iter().zip(places) {
        for (name, tensor) in file.tensors {
            let name = format!("{place}{}", plain(&name));
            if is_counter(&name) {
                network.counters += 1;
            } else if network.tensors.insert(name.clone(), tensor).is_some() {
                return Err(twice(&name, &file.path));
            }
        }
        for (name, dtype) in file.others {
            let name = format!("{place}{}", plain(&name));
            if is_counter(&name) {
                network.counters += 1;
            } else if network.others.insert(name.clone(), dtype).is_some() {
                return Err(twice(&name, &file.path));
            }
        }
        network.files.push(file.path);
        network.meta = network.meta.or(file.meta);
    }
    Ok(network)
}

fn twice(name: &str, path: &Path) -> Error {
    Error::Data {
        what: "the files".into(),
        expected: "each tensor once".into(),
        found: format!("`{name}` again in {}", path.display()),
        hint: "give each file once".into(),
    }
}

fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some(COUNTER)
}

/// The name without `module.` in front.
fn plain(name: &str) -> &str {
    name.strip_prefix("module.").map_or(name, plain)
}

/// What goes in front of the names of each file.
fn places(files: &[Weights]) -> Result<Vec<String>> {
    let numbers: Vec<Option<usize>> =
        files.iter().map(|file| is_part(file).then(|| branch_number(file)).flatten()).collect();
    let first = usize::from(!numbers.contains(&Some(0)));
    let mut free = 0;
    let mut branches = Vec::new();
    let places = files.iter().zip(&numbers).map(|(file, number)| {
        if !is_part(file) {
            return String::new();
        }
        let number = match number {
            Some(number) => number - first,
            None if has(file, "fc.weight") => {
                free += 1;
                free - 1
            }
            None => return "base.".to_owned(),
        };
        branches.push(number);
        format!("branches.{number}.")
    });
    let places = places.collect();
    branches.sort_unstable();
    let missing: Vec<_> = (0..branches.last().map_or(0, |last| last + 1)).filter(|b| !branches.contains(b)).collect();
    if missing.is_empty() {
        return Ok(places);
    }
    let list = |numbers: &[usize]| numbers.iter().map(|n| (n + first).to_string()).collect::<Vec<_>>().join(", ");
    Err(Error::Data {
        what: "the files of the branches".into(),
        expected: format!("a file for each branch from {first} to {}", branches.last().map_or(0, |last| last + first)),
        found: format!("none for {}", list(&missing)),
        hint: "give the files of all branches up to the last one".into(),
    })
}

fn has(file: &Weights, name: &str) -> bool {
    file.tensors.keys().any(|key| plain(key) == name)
}

/// Whether a file holds a base or a branch alone.
fn is_part(file: &Weights) -> bool {
    file.meta.is_none() && has(file, "conv1.weight") && has(file, "conv4.weight")
}

/// The number in a file's name after the word branch, as in `Net-Branch_3.pt`.
fn branch_number(file: &Weights) -> Option<usize> {
    let name = file.path.file_name()?.to_string_lossy().to_lowercase();
    let rest = name.rsplit_once("branch")?.1.trim_start_matches(|c: char| !c.is_ascii_digit());
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok().filter(|number| *number <= MAX_BRANCHES)
}
