//! From the names of one or more files to the published names of one network.
//!
//! What wraps a network puts a name in front of all of its tensors' names: `module.` (data parallelism, averaged weights),
//! `_orig_mod.` (`torch.compile`), `model.` or any other attribute of a trainer, also several of them. It is taken off. The authors of ESR save a network as a file for the base and
//! one for each branch (`Net-Base-Shared_Representations.pt`, `Net-Branch_1.pt`, …), whose names lack the part in front.

use std::collections::{BTreeMap, BTreeSet};
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
    /// What was taken off the front of all names of a file, such as `_orig_mod.module.`.
    pub prefixes: BTreeSet<String>,
    /// How many of batch norm's counters of batches were left out: moue does not use them.
    pub counters: usize,
}

impl StateDict {
    /// One line for each prefix that was taken off.
    pub fn unwrapped(&self) -> impl Iterator<Item = String> {
        self.prefixes.iter().map(|prefix| format!("taken off: `{}` in front of all names", prefix.escape_debug()))
    }
}

/// Joins the tensors of some files into one network, without the names that wrap a file's tensors.
///
/// # Errors
/// [`Error::Data`] where two files bring the same tensor or branches are missing between others.
pub fn gather(files: Vec<Weights>) -> Result<StateDict> {
    let mut network = StateDict::default();
    let mut files = files;
    network.prefixes = files.iter_mut().filter_map(unwrap).collect();
    let places = places(&files)?;
    for (file, place) in files.into_iter().zip(places) {
        for (name, tensor) in file.tensors {
            let name = format!("{place}{name}");
            if is_counter(&name) {
                network.counters += 1;
            } else if network.tensors.insert(name.clone(), tensor).is_some() {
                return Err(twice(&name, &file.path));
            }
        }
        for (name, dtype) in file.others {
            let name = format!("{place}{name}");
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

/// Whether a tensor counts batches: batch norm's, or those that averaged weights (`torch.optim.swa_utils`) are made of.
fn is_counter(name: &str) -> bool {
    name == AVERAGED || name.rsplit('.').next() == Some(COUNTER)
}

/// What averaged weights keep beside the network that they wrap.
const AVERAGED: &str = "n_averaged";

/// Takes off the components that all names of layers in a file begin with, as far as a known network's first layer then comes to
/// light, and `module.` in any case; returns what it took.
fn unwrap(file: &mut Weights) -> Option<String> {
    let names: Vec<&String> = file.tensors.keys().chain(file.others.keys()).filter(|name| name.contains('.')).collect();
    let shared = |depth: usize| {
        let prefix = prefix_of(names.first()?, depth)?;
        names.iter().all(|name| name.starts_with(prefix)).then_some(prefix)
    };
    let prefixes: Vec<&str> = (0..).map_while(shared).collect();
    let shows = |prefix: &&&str| names.iter().any(|name| is_first_layer(&name[prefix.len()..]));
    let modules = || prefixes.iter().rfind(|prefix| prefix.split_terminator('.').all(|part| part == "module"));
    let prefix = (*prefixes.iter().find(shows).or_else(modules)?).to_owned();
    if prefix.is_empty() {
        return None;
    }
    let plain = |name: String| name.strip_prefix(&prefix).map(str::to_owned).unwrap_or(name);
    file.tensors = std::mem::take(&mut file.tensors).into_iter().map(|(name, tensor)| (plain(name), tensor)).collect();
    file.others = std::mem::take(&mut file.others).into_iter().map(|(name, dtype)| (plain(name), dtype)).collect();
    Some(prefix)
}

/// The first components of a name, with the dot behind each; none where it has not as many before its last.
fn prefix_of(name: &str, components: usize) -> Option<&str> {
    match components.checked_sub(1) {
        None => Some(""),
        Some(before) => name.match_indices('.').nth(before).map(|(dot, _)| &name[..=dot]),
    }
}

/// Whether a name is of the layer that an ESR, its base alone, one of its branches or a MA-Net begins with.
fn is_first_layer(name: &str) -> bool {
    matches!(name, "base.conv1.weight" | "branches.0.conv1.weight" | "conv1.weight")
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
    file.tensors.contains_key(name)
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
