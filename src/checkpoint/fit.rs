//! Tensors of one network put into another: what is taken, left, reshaped, replaced.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{names::StateDict, recognise};
use crate::nn::variables::Tensors;
use crate::{Error, Result};

/// What has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Every tensor of the network and no other.
    Whole,
    /// Whatever fits, to start a training from; the rest starts afresh.
    Start,
}

/// What became of each tensor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Taken as they are.
    pub taken: Vec<String>,
    /// Taken under the network's shape, which differs in dimensions of 1 only.
    pub reshaped: Vec<String>,
    /// Classifiers for other classes, which start afresh.
    pub replaced: Vec<String>,
    /// In the network but not in the files: they start afresh.
    pub fresh: Vec<String>,
    /// In the files but not in the network.
    pub left: Vec<String>,
}

/// Puts the tensors of `network` over those of `fresh`, the network to be.
///
/// A classifier is replaced where its rows are of another number than the network's, or where `same_classes` is false.
///
/// # Errors
/// [`Error::Data`] that lists, all at once, what does not fit: tensors of another shape or of a type that is no floating
/// point; for [`Want::Whole`] also those that are missing and those that are too many.
pub fn fit(network: &StateDict, mut fresh: Tensors, want: Want, same_classes: bool) -> Result<(Tensors, Fit)> {
    let (mut fit, mut wrong) = (Fit::default(), Vec::new());
    let expected = fresh.len();
    for (name, (shape, values)) in &mut fresh {
        let Some((found, given)) = network.tensors.get(name) else {
            match (network.others.get(name), want) {
                (Some(dtype), _) => wrong.push(format!("{name} is of type {dtype}")),
                (None, Want::Whole) => wrong.push(format!("{name} is missing")),
                (None, Want::Start) => fit.fresh.push(name.clone()),
            }
            continue;
        };
        let other_classes = !same_classes || shape.first() != found.first();
        let group = if recognise::is_head(name) && other_classes && shape.get(1..) == found.get(1..) {
            fit.replaced.push(name.clone());
            continue;
        } else if found == shape {
            &mut fit.taken
        } else if squeezed(found).eq(squeezed(shape)) {
            &mut fit.reshaped
        } else {
            wrong.push(format!("{name} is {found:?} instead of {shape:?}"));
            continue;
        };
        values.clone_from(given);
        group.push(name.clone());
    }
    let left = network.tensors.keys().chain(network.others.keys()).filter(|name| !fresh.contains_key(*name));
    match want {
        Want::Whole => wrong.extend(left.map(|name| format!("{name} is no part of the network"))),
        Want::Start => fit.left.extend(left.cloned()),
    }
    let files = || network.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let refuse = |expected: String, found: String, hint: &str| {
        Err(Error::Data { what: files(), expected, found, hint: hint.into() })
    };
    if !wrong.is_empty() {
        let hint = "give the options and all the files that the network was made with";
        return refuse(format!("the {expected} tensors of the network"), wrong.join(", "), hint);
    }
    if fit.taken.is_empty() && fit.reshaped.is_empty() {
        let hint = "give a file of the same kind of network, of the same width";
        return refuse("tensors of the network".into(), format!("{} others", fit.left.len()), hint);
    }
    Ok((fresh, fit))
}

/// A shape without its dimensions of 1.
fn squeezed(shape: &[usize]) -> impl Iterator<Item = usize> {
    shape.iter().copied().filter(|size| *size != 1)
}

impl Fit {
    /// One line for each group that is not empty, with what it means.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let groups = [
            ("taken", &self.taken),
            ("reshaped", &self.reshaped),
            ("replaced by fresh ones, since they are for other classes", &self.replaced),
            ("not in the files, so they start afresh", &self.fresh),
            ("left, since the network has none like them", &self.left),
        ];
        let groups = groups.into_iter().filter(|(_, names)| !names.is_empty());
        groups.map(|(what, names)| format!("{what}: {} tensors ({})", names.len(), layers(names))).collect()
    }
}

/// The layers of some tensors, each with its number of tensors; branches together.
fn layers(names: &[String]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let mut parts: Vec<&str> = name.split('.').collect();
        let depth = if parts[0] == "branches" && parts.len() > 2 {
            parts[1] = "*";
            3
        } else {
            2
        };
        // The last part is the tensor itself, such as `weight`.
        let layer = parts[..depth.min(parts.len() - 1).max(1)].join(".").escape_debug().to_string();
        *counts.entry(layer).or_default() += 1;
    }
    counts.into_iter().map(|(layer, count)| format!("{layer} {count}")).collect::<Vec<_>>().join(", ")
}
