//! Answers to single images: what every branch says, looks at, and how much the branches resemble each other.

mod evidence;
mod vote;

use std::{ops::Range, path::Path};

use web_time::Instant;

use crate::{
    Error, Result,
    checkpoint::{ModelMeta, Normalisation},
    data::{Image, Transform},
    diversity::{Diversity, Term, term},
    exec::{Executor, Program},
    graph::Graph,
    models::{BRANCH_LAYERS, Calibration, Decision, NetworkSpec},
    nn::{Mode, variables},
    ops::{Patches, TensorId},
};

pub use evidence::{Evidence, evidence};
pub use vote::{Decided, arg_max, decide, majority_vote, mean_of, softmax};

/// γ where the model file names none, as in the paper.
const GAMMA: f64 = 10.0;

/// The kinds of attention whose similarities are given, in the order of [`Prediction::kinships`].
pub const KINDS: [&str; 2] = ["spatial", "channel"];

/// How a model's images become its inputs.
#[must_use]
pub fn transform_of(meta: &ModelMeta) -> Transform {
    let normalise = (meta.normalisation != Normalisation::default()).then_some(meta.normalisation);
    Transform { size: meta.size, normalise, order: meta.colour }
}

/// What a network says about an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The answer's probabilities `[K]`: what [`Calibration::answer`] makes of the mean, with the model's calibration; the
    /// mean where it has none, and from a [`Predictor::raw`] one.
    pub probabilities: Vec<f32>,
    /// The mean of the branches' probabilities `[K]`; of a network whose last head answers, that head's.
    pub mean: Vec<f32>,
    /// How many branches chose each class `[K]`.
    pub votes: Vec<u32>,
    /// The class that the network answers with: that of the largest of `probabilities`, of equal ones the lowest.
    pub class: usize,
    /// The class with most votes, of equal ones the lowest; of a network whose last head answers, that head's.
    pub vote: usize,
    /// One answer for each branch that was asked.
    pub branches: Vec<BranchAnswer>,
    /// How alike the branches' attention is, for each of [`KINDS`]; none without attention or with one branch.
    pub kinships: [Option<Kinship>; 2],
    /// γ of Eq. 1 for each of [`KINDS`].
    pub gammas: [f64; 2],
    /// Where the time went.
    pub times: Times,
}

/// What one branch says.
#[derive(Debug, Clone, PartialEq)]
pub struct BranchAnswer {
    /// Softmax of its logits `[K]`.
    pub probabilities: Vec<f32>,
    /// The class with the largest.
    pub class: usize,
    /// The spatial attention of its last layer, in (0, 1), where it has one and it was asked for. Of a MA-Net's local
    /// branch, for a predictor that explains, what diversity compares instead: the mean over channels of each patch.
    pub attention: Option<SpatialMap>,
    /// What in the image speaks for each class; from a predictor that explains, of a branch with a classifier of its
    /// own.
    pub evidence: Option<Evidence>,
}

/// A map over the image, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct SpatialMap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// width · height values.
    pub values: Vec<f32>,
}

/// The similarity of the branches for one image (paper Eq. 1), and its determinant.
#[derive(Debug, Clone, PartialEq)]
pub struct Kinship {
    /// S, row-major `[B, B]`.
    pub similarity: Vec<f32>,
    /// det S: 1 where no two branches look alike, 0 where two are the same.
    pub determinant: f32,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Times {
    /// From pixels to the network's input.
    pub prepare: f64,
    /// Running the network; on a GPU, handing it over.
    pub run: f64,
    /// Waiting for the outputs.
    pub read: f64,
}

/// A network for one image at a time, of as many of a model's branches as are asked for: [`Predictor::load`] puts it on a
/// device with its weights, [`Predictor::predict`] asks it there.
#[derive(Debug)]
pub struct Predictor {
    spec: NetworkSpec,
    transform: Transform,
    gammas: [f64; 2],
    calibration: Option<Calibration>,
    /// The layer of an ESR's branches whose attention is compared.
    layer: usize,
    input: Vec<f32>,
    explains: bool,
    loaded: Option<Loaded>,
}

/// The network of the first branches, on a device.
#[derive(Debug)]
struct Loaded {
    branches: usize,
    program: Program,
    image: TensorId,
    logits: TensorId,
    seen: Vec<Seen>,
    terms: [Option<Term>; 2],
}

/// What some of the branches look at.
#[derive(Debug, Clone)]
struct Seen {
    branches: Range<usize>,
    /// Rows and columns of the maps.
    sides: [usize; 2],
    attention: Option<TensorId>,
    evidence: Option<TensorId>,
}

impl Predictor {
    /// For the model that `meta` describes.
    ///
    /// # Errors
    /// As [`ModelMeta::network`].
    pub fn new(meta: &ModelMeta) -> Result<Self> {
        let spec = meta.network(Path::new("the model"))?;
        // The maps of one image are compared as they are, for which the γ of centred ones says nothing.
        let trained = meta.diversity.as_ref().filter(|diversity| !diversity.centred);
        let gamma = |kind| trained.and_then(|d| d.gamma.get(kind).copied()).unwrap_or(GAMMA);
        let layer = meta.diversity.as_ref().map_or(BRANCH_LAYERS, |diversity| diversity.layer);
        let size = spec.size();
        let transform = Transform { size, ..transform_of(meta) };
        let input = vec![0.0; 3 * size * size];
        let (gammas, calibration) = (KINDS.map(gamma), meta.answer.clone());
        Ok(Self { spec, transform, gammas, calibration, layer, input, explains: false, loaded: None })
    }

    /// The same, with the branches' evidence in every answer.
    #[must_use]
    pub fn explaining(self) -> Self {
        Self { explains: true, loaded: None, ..self }
    }

    /// The same, with the mean probabilities as the answer's, whatever calibration the model has.
    #[must_use]
    pub fn raw(self) -> Self {
        Self { calibration: None, ..self }
    }

    /// The whole network.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// How many branches are loaded; none before the first load and after one that failed.
    #[must_use]
    pub fn branches(&self) -> Option<usize> {
        self.loaded.as_ref().map(|loaded| loaded.branches)
    }

    /// The answer of the branches that were loaded, with the weights that were loaded. The attention maps are left out
    /// unless asked for.
    ///
    /// # Errors
    /// [`Error::Usage`] where nothing is loaded on this executor, or it was cleared since, as by another predictor's
    /// load; [`Error::Data`] for an image whose bytes do not fit its size; [`Error::Device`] or [`Error::DeviceLost`]
    /// where the device fails.
    pub async fn predict(&mut self, executor: &mut dyn Executor, image: &Image, attention: bool) -> Result<Prediction> {
        let begin = Instant::now();
        let Some(compiled) = self.loaded.as_ref().filter(|loaded| executor.has(loaded.program)) else {
            let found = if self.loaded.is_some() { "one of another executor, or cleared since" } else { "none" };
            return Err(Error::Usage {
                setting: "predictor".into(),
                expected: "a network that was loaded on this executor".into(),
                found: found.into(),
                hint: "call Predictor::load with the executor and the weights first".into(),
            });
        };
        self.transform.evaluate(image, &mut self.input)?;
        let prepared = begin.elapsed();
        executor.write(compiled.program, compiled.image, &self.input)?;
        executor.run(compiled.program)?;
        let ran = begin.elapsed();
        let mut ids = vec![compiled.logits];
        ids.extend(compiled.seen.iter().filter_map(|seen| seen.attention.filter(|_| attention)));
        ids.extend(compiled.seen.iter().filter_map(|seen| seen.evidence));
        ids.extend(compiled.terms.iter().flatten().flat_map(|term| [term.similarity, term.value]));
        let mut values = executor.read_later(compiled.program, &ids)?.await?.into_iter();
        let read = begin.elapsed();
        let mut next = || values.next().expect("invariant: one list for each tensor");
        let mut prediction = self.prediction(&next());
        for Seen { branches, sides: [height, width], .. } in
            compiled.seen.iter().filter(|seen| attention && seen.attention.is_some())
        {
            for (branch, values) in prediction.branches[branches.clone()].iter_mut().zip(next().chunks(height * width))
            {
                branch.attention = Some(SpatialMap { width: *width, height: *height, values: values.to_vec() });
            }
        }
        for Seen { branches, sides: [height, width], .. } in compiled.seen.iter().filter(|seen| seen.evidence.is_some())
        {
            let maps = next();
            let maps = maps.chunks(self.spec.classes() * height * width);
            for (branch, values) in prediction.branches[branches.clone()].iter_mut().zip(maps) {
                branch.evidence = Some(Evidence { width: *width, height: *height, values: values.to_vec() });
            }
        }
        for (kinship, _) in prediction.kinships.iter_mut().zip(&compiled.terms).filter(|(_, term)| term.is_some()) {
            let (similarity, determinant) = (next(), next());
            *kinship = Some(Kinship { similarity, determinant: determinant[0] });
        }
        let [prepare, run, read] = [prepared, ran - prepared, read - ran].map(|time| time.as_secs_f64() * 1e3);
        prediction.times = Times { prepare, run, read };
        Ok(prediction)
    }

    fn prediction(&self, logits: &[f32]) -> Prediction {
        let classes = self.spec.classes();
        let Decided { heads, mean, probabilities, class, vote } =
            decide(logits, classes, self.spec.decision(), self.calibration.as_ref());
        let branches: Vec<_> = heads
            .into_iter()
            .map(|probabilities| BranchAnswer {
                class: arg_max(&probabilities),
                probabilities,
                attention: None,
                evidence: None,
            })
            .collect();
        let votes = |class| branches.iter().filter(|branch| branch.class == class).count() as u32;
        Prediction {
            probabilities,
            mean,
            votes: (0..classes).map(votes).collect(),
            class,
            vote,
            branches,
            kinships: [None, None],
            gammas: self.gammas,
            times: Times::default(),
        }
    }

    /// Puts the network of the first `branches` branches on a device, with the variables from `weights`, in place of all
    /// that is there.
    ///
    /// # Errors
    /// [`Error::Data`] for weights that are missing or have another shape, [`Error::Usage`] for a number of branches that
    /// the model does not have, [`Error::Memory`], [`Error::Device`] or [`Error::DeviceLost`] where the device does not
    /// carry it.
    pub fn load(
        &mut self,
        executor: &mut dyn Executor,
        weights: &dyn variables::Source,
        branches: usize,
    ) -> Result<()> {
        self.loaded = None;
        let heads = self.spec.heads();
        let spec = self.spec.with_branches(branches.clamp(1, heads));
        if spec.heads() != branches {
            let expected = match self.spec.decision() {
                Decision::Vote => format!("1 to {heads}, as the model has"),
                Decision::Last => format!("{heads}, since the last head answers for all"),
            };
            return Err(Error::Usage {
                setting: "branches".into(),
                expected,
                found: branches.to_string(),
                hint: "ask for as many as the model has".into(),
            });
        }
        executor.clear();
        let mut graph = Graph::new();
        let image = graph.input("images", [1, 3, spec.size(), spec.size()]);
        let network = spec.build(&mut graph, image, Mode::Eval)?;
        let of = |kind: &str| network.maps_of(self.layer).iter().copied().find(|maps| maps.kind == kind);
        let mut terms = [None, None];
        for (to, kind) in terms.iter_mut().zip(KINDS) {
            if let Some(maps) = of(kind).filter(|maps| maps.learners > 1) {
                *to = Some(term(&mut graph, kind, maps.map, maps.learners, &Diversity::PAPER)?);
            }
        }
        let mut seen = Vec::new();
        for features in &network.features {
            // A MA-Net's maps belong to its patches, not to the heads that answer.
            let attention = if self.explains || features.patches == Patches::WHOLE {
                evidence::attention(&mut graph, &network, features)?
            } else {
                None
            };
            let evidence = self.explains.then(|| evidence(&mut graph, features)).transpose()?;
            let sides = evidence::sides(&graph, features);
            seen.push(Seen { branches: features.heads.clone(), sides, attention, evidence });
        }
        let similarities = terms.iter().flatten().flat_map(|term| [term.similarity, term.value]);
        let maps = seen.iter().flat_map(|seen| [seen.attention, seen.evidence]).flatten();
        for id in similarities.chain([network.logits]).chain(maps) {
            graph.output(id);
        }
        let program = executor.compile(&graph)?;
        variables::write(executor, &graph, weights)?;
        for (term, gamma) in terms.iter().zip(self.gammas) {
            if let Some(term) = term {
                executor.write(program, term.gamma, &[gamma as f32])?;
            }
        }
        self.loaded = Some(Loaded { branches, program, image, logits: network.logits, seen, terms });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checkpoint::ColourOrder, models::ManetSpec};

    #[test]
    fn a_models_colours_and_normalisation_reach_its_input() {
        let network = NetworkSpec::Manet(ManetSpec { width: 1.0, size: 2, classes: 2, local_weight: 0.6 });
        let mut meta = ModelMeta::new(network.architecture(), vec!["a".into(), "b".into()], 2);
        (meta.colour, meta.normalisation) = (ColourOrder::Bgr, Normalisation::IMAGENET);
        let red = Image { width: 1, height: 1, channels: 3, pixels: vec![255, 0, 0] };
        let mut planes = [0.0; 3 * 2 * 2];
        transform_of(&meta).evaluate(&red, &mut planes).expect("an image");
        let expected = [-0.406 / 0.225, -0.456 / 0.224, (1.0 - 0.485) / 0.229];
        for (plane, expected) in planes.chunks(4).zip(expected) {
            assert!(plane.iter().all(|value: &f32| (value - expected).abs() < 1e-5), "{planes:?}");
        }
    }
}
