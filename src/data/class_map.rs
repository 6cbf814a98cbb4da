//! Whose class is whose: expressions under the names that data sets give them, and the user's own choice.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::files::composed;
use super::{Dataset, Dropped, EXPRESSIONS, Sample};
use crate::{Error, Result};

/// Other names of the [`EXPRESSIONS`], in their order.
const SYNONYMS: [&[&str]; EXPRESSIONS.len()] = [
    &["neutrality"],
    &["happy", "joy", "joyful"],
    &["sad"],
    &["surprised"],
    &["fearful", "afraid", "scared"],
    &["disgusted"],
    &["angry"],
    &["contemptuous"],
];

/// The expression that a class's name stands for, such as `anger` for `Angry`; capitals do not matter.
#[must_use]
pub fn expression(class: &str) -> Option<&'static str> {
    let class = class.to_lowercase();
    let named = |(name, others): &(&'static str, &[&str])| *name == class || others.contains(&class.as_str());
    EXPRESSIONS.into_iter().zip(SYNONYMS).find(named).map(|(name, _)| name)
}

/// `FROM=TO,…`: images of the data's class FROM count as the class TO; `FROM=` leaves them out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassMap {
    pairs: Vec<(String, Option<String>)>,
}

impl FromStr for ClassMap {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |expected: &str, found: &str| Error::Usage {
            setting: "the class map".into(),
            expected: expected.into(),
            found: format!("`{found}`"),
            hint:
                "write the data's class, `=` and the model's: happy=happiness,calm=neutral; `calm=` leaves images out"
                    .into(),
        };
        let mut pairs: Vec<(String, Option<String>)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (from, to) = part.split_once('=').ok_or_else(|| wrong("FROM=TO,…", part))?;
            let (from, to) = (composed(from.trim()), composed(to.trim()));
            if from.is_empty() || pairs.iter().any(|pair| pair.0 == from) {
                return Err(wrong("each class of the data once", part));
            }
            pairs.push((from, Some(to).filter(|to| !to.is_empty())));
        }
        Ok(Self { pairs })
    }
}

impl fmt::Display for ClassMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |(from, to): &(String, Option<String>)| format!("{from}={}", to.as_deref().unwrap_or_default());
        f.write_str(&self.pairs.iter().map(pair).collect::<Vec<_>>().join(","))
    }
}

/// What becomes of the images of one of the data's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// They are of this class of the model.
    Class(usize),
    /// The model has no such class: whatever it answers is wrong.
    Wrong,
    /// They are left out.
    Out,
}

/// A data set's classes as a model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    data: Vec<String>,
    model: Vec<String>,
    targets: Vec<Target>,
}

/// Samples under a model's labels.
#[derive(Debug, Clone, Default)]
pub struct Mapped {
    /// Those whose class the model has.
    pub known: Vec<Sample>,
    /// The others, whose labels count on from the model's classes: index into [`Mapping::classes`].
    pub unknown: Vec<Sample>,
    /// How many the map leaves out.
    pub left_out: usize,
}

impl ClassMap {
    /// Finds for each of the data's classes the model's: the one that the map names, else the one of the same name, else
    /// the one that is the same [`expression`]. A class that finds none is always answered wrongly.
    ///
    /// # Errors
    /// [`Error::Usage`] where the map names a class that the data or the model lacks; [`Error::Data`] where no class of
    /// the data is one of the model's. `source` names the data set.
    pub fn resolve(&self, source: &str, data: &[String], model: &[String]) -> Result<Mapping> {
        let lacks = |whose: &str, classes: &[String], name: &str| Error::Usage {
            setting: "the class map".into(),
            expected: format!("one of {whose} classes, {}", classes.join(", ")),
            found: format!("`{name}`"),
            hint: "write the data's class, `=` and the model's".into(),
        };
        if let Some((from, _)) = self.pairs.iter().find(|(from, _)| !data.contains(from)) {
            return Err(lacks("the data's", data, from));
        }
        let mut targets = Vec::with_capacity(data.len());
        for class in data {
            let same = |name: &String| expression(class).is_some() && expression(name) == expression(class);
            targets.push(match self.pairs.iter().find(|(from, _)| from == class) {
                Some((_, None)) => Target::Out,
                Some((_, Some(to))) => match model.iter().position(|name| name == to) {
                    Some(at) => Target::Class(at),
                    None => return Err(lacks("the model's", model, to)),
                },
                None => {
                    let named = model.iter().position(|name| name == class);
                    named.or_else(|| model.iter().position(same)).map_or(Target::Wrong, Target::Class)
                }
            });
        }
        if !targets.iter().any(|target| matches!(target, Target::Class(_))) {
            return Err(Error::Data {
                what: format!("the classes of {source}"),
                expected: format!("some of the model's, {}", model.join(", ")),
                found: data.join(", "),
                hint: "use data with classes of the model, or say whose they are with --class-map FROM=TO".into(),
            });
        }
        Ok(Mapping { data: data.to_vec(), model: model.to_vec(), targets })
    }
}

impl Dataset {
    /// Gives classes other names, joins those that get one name, and leaves out the images of others. The order is that of
    /// [`EXPRESSIONS`] where all names are expressions, else that of the data. Votes are added up and divided by their sum.
    /// The hashes stay: they are of what was loaded.
    ///
    /// # Errors
    /// [`Error::Usage`] where the map names a class that the data lack, or leaves fewer than two.
    pub fn map_classes(&mut self, map: &ClassMap) -> Result<()> {
        let wrong = |expected: String, found: String| Error::Usage {
            setting: "the class map".into(),
            expected,
            found,
            hint: "write FROM=TO with FROM a class of the data; `FROM=` leaves its images out".into(),
        };
        if let Some((from, _)) = map.pairs.iter().find(|(from, _)| !self.classes.contains(from)) {
            return Err(wrong(format!("one of the data's classes, {}", self.classes.join(", ")), format!("`{from}`")));
        }
        let renamed = |class: &String| match map.pairs.iter().find(|(from, _)| from == class) {
            Some((_, to)) => to.clone(),
            None => Some(class.clone()),
        };
        let names: Vec<Option<String>> = self.classes.iter().map(renamed).collect();
        let mut classes: Vec<String> = Vec::new();
        for name in names.iter().flatten() {
            if !classes.contains(name) {
                classes.push(name.clone());
            }
        }
        let place = |class: &String| EXPRESSIONS.iter().position(|name| name == class);
        if classes.iter().all(|class| place(class).is_some()) {
            classes.sort_by_key(place);
        }
        if classes.len() < 2 {
            return Err(wrong("at least two classes to be left".into(), format!("`{map}`")));
        }
        let labels: Vec<Option<usize>> = names
            .iter()
            .map(|name| name.as_ref().and_then(|name| classes.iter().position(|class| class == name)))
            .collect();
        for split in self.splits.values_mut() {
            let (kept, out): (Vec<_>, Vec<_>) =
                std::mem::take(&mut split.samples).into_iter().partition(|sample| labels[sample.label].is_some());
            let reason = "the class map leaves its class out";
            split.dropped.extend(out.into_iter().map(|sample| Dropped {
                id: sample.id,
                reason: reason.into(),
                unreadable: false,
            }));
            split.samples = kept;
            for sample in &mut split.samples {
                sample.label = labels[sample.label].expect("invariant: the others are dropped");
                sample.votes = sample.votes.take().map(|votes| {
                    let mut sums = vec![0.0; classes.len()];
                    for (vote, label) in votes.iter().zip(&labels) {
                        label.iter().for_each(|&label| sums[label] += vote);
                    }
                    let total: f32 = sums.iter().sum();
                    // The label's own class is kept, so that it has votes; a whole sum stays as it is, to the bit.
                    if (total - 1.0).abs() > 1e-6 && total > 0.0 {
                        sums.iter_mut().for_each(|sum| *sum /= total);
                    }
                    sums
                });
            }
        }
        self.classes = classes;
        Ok(())
    }
}

impl Mapping {
    /// The model's classes, then those of the data that it lacks.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        self.model.iter().chain(self.with(Target::Wrong)).cloned().collect()
    }

    /// The data's classes with a target.
    fn with(&self, target: Target) -> impl Iterator<Item = &String> {
        self.data.iter().zip(&self.targets).filter(move |(_, own)| **own == target).map(|(class, _)| class)
    }

    /// The model's classes that no class of the data stands for: an answer with one of them is never right.
    fn never_right(&self) -> Vec<&String> {
        let used = |at: usize| self.targets.contains(&Target::Class(at));
        self.model.iter().enumerate().filter(|(at, _)| !used(*at)).map(|(_, class)| class).collect()
    }

    /// Puts samples of the data under the model's labels.
    #[must_use]
    pub fn apply(&self, samples: &[Sample]) -> Mapped {
        let mut mapped = Mapped::default();
        let unknown: Vec<&String> = self.with(Target::Wrong).collect();
        for sample in samples {
            // Votes are over the data's classes, and an evaluation does not read them.
            let labelled = |label: usize| Sample { label, votes: None, ..sample.clone() };
            match self.targets[sample.label] {
                Target::Class(label) => mapped.known.push(labelled(label)),
                Target::Wrong => {
                    let at = unknown.iter().position(|class| **class == self.data[sample.label]);
                    mapped.unknown.push(labelled(self.model.len() + at.expect("invariant: a class of the data")));
                }
                Target::Out => mapped.left_out += 1,
            }
        }
        mapped
    }

    /// What the mapping does, a sentence each; none where data and model have the same classes.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut said = Vec::new();
        let list =
            |classes: &[&String]| classes.iter().map(|class| format!("`{class}`")).collect::<Vec<_>>().join(", ");
        let pairs = self.data.iter().zip(&self.targets).filter_map(|(from, target)| match target {
            Target::Class(at) if self.model[*at] != *from => Some(format!("`{from}` as `{}`", self.model[*at])),
            _ => None,
        });
        let pairs: Vec<_> = pairs.collect();
        if !pairs.is_empty() {
            said.push(format!("images of {} are counted under the model's names", pairs.join(", ")));
        }
        let never = self.never_right();
        if !never.is_empty() {
            said.push(format!("the data have no images of {}: such an answer is never right", list(&never)));
        }
        let wrong: Vec<_> = self.with(Target::Wrong).collect();
        if let Some(first) = wrong.first() {
            said.push(format!(
                "the model has no class for {}: every answer to these images counts as wrong; `--class-map {first}=` \
                 leaves them out",
                list(&wrong)
            ));
        }
        let out: Vec<_> = self.with(Target::Out).collect();
        if !out.is_empty() {
            said.push(format!("images of {} are left out, as the class map says", list(&out)));
        }
        said
    }

    /// The mapping for a report: the model's class of each of the data's, null where there is none.
    #[must_use]
    pub fn report(&self) -> MappingReport {
        let of = |target: &Target| if let Target::Class(at) = target { Some(self.model[*at].clone()) } else { None };
        let owned = |classes: Vec<&String>| classes.into_iter().cloned().collect();
        MappingReport {
            map: self.data.iter().cloned().zip(self.targets.iter().map(of)).collect(),
            never_right: owned(self.never_right()),
            always_wrong: owned(self.with(Target::Wrong).collect()),
            left_out: owned(self.with(Target::Out).collect()),
        }
    }
}

/// A [`Mapping`] as a report has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MappingReport {
    /// The model's class of each of the data's classes; null where there is none.
    pub map: BTreeMap<String, Option<String>>,
    /// Classes of the model without images in the data.
    pub never_right: Vec<String>,
    /// Classes of the data that the model lacks.
    pub always_wrong: Vec<String>,
    /// Classes of the data whose images are left out.
    pub left_out: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(classes: &str) -> Vec<String> {
        classes.split(' ').map(String::from).collect()
    }

    fn resolve(map: &str, data: &str, model: &[String]) -> Result<Mapping> {
        map.parse::<ClassMap>().expect("a map").resolve("folder:x", &names(data), model)
    }

    #[test]
    fn names_of_one_expression_are_one_class_and_the_rest_is_said() {
        let eight = EXPRESSIONS.map(String::from).to_vec();
        let mapping = resolve("", "angry disgust fear Happy neutral sad surprise", &eight).expect("a mapping");
        assert_eq!(mapping.targets, [6, 5, 4, 1, 0, 2, 3].map(Target::Class));
        assert_eq!(mapping.report().never_right, ["contempt"]);
        assert_eq!(mapping.classes(), eight);
        let said = mapping.sentences().join("\n");
        assert!(said.contains("`angry` as `anger`, `Happy` as `happiness`"), "{said}");
        assert!(said.contains("no images of `contempt`"), "{said}");

        let mapping = resolve("", "anger contempt", &eight[..7]).expect("a mapping");
        assert_eq!(mapping.targets, [Target::Class(6), Target::Wrong]);
        assert_eq!(mapping.classes()[7], "contempt");
        assert!(mapping.sentences().join("\n").contains("`--class-map contempt=`"));
        let mapping = resolve("contempt=,anger=disgust", "anger contempt", &eight[..7]).expect("a mapping");
        assert_eq!(mapping.targets, [Target::Class(5), Target::Out]);
        assert_eq!(
            resolve("", "neutral happiness", &names("neutral happiness")).expect("a mapping").sentences().len(),
            0
        );
    }

    #[test]
    fn the_map_wins_over_the_name_and_the_name_over_the_expression() {
        let model = names("joy happy calm");
        assert_eq!(resolve("", "happy", &model).expect("a mapping").targets, [Target::Class(1)]);
        assert_eq!(resolve("happy=calm", "happy", &model).expect("a mapping").targets, [Target::Class(2)]);
        // The first of the model's names of that expression.
        assert_eq!(resolve("", "happiness", &model).expect("a mapping").targets, [Target::Class(0)]);
    }

    #[test]
    fn a_map_must_name_classes_that_are_there() {
        let model = names("neutral happiness");
        for (map, found) in [("sad=neutral", "`sad`"), ("joy=gladness", "`gladness`")] {
            let error = resolve(map, "joy neutral", &model).expect_err("an unknown class");
            assert!(error.exit_code() == 2 && error.to_string().contains(found), "{error}");
        }
        for map in ["joy", "=neutral", "joy=neutral,joy=happiness"] {
            assert_eq!(map.parse::<ClassMap>().expect_err(map).exit_code(), 2);
        }
        let error = resolve("", "cat dog", &model).expect_err("other classes");
        assert!(error.exit_code() == 3 && error.to_string().contains("cat, dog"), "{error}");
    }
}
