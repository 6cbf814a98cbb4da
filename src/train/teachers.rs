//! Networks that teach: their answers to a batch become a part of its targets.

use std::path::Path;

use super::{evaluator::EvalProgram, settings::Settings};
use crate::{
    Error, Result,
    checkpoint::{Model, file_hash, load_model},
    exec::Executor,
    graph::Graph,
    models::{BRANCH_LAYERS, Calibration, Decision},
    nn::{Mode, variables},
    predict::{mean_of, softmax, transform_of},
};

/// One network, on an executor of its own: its variables have the names of the pupil's.
struct Teacher {
    executor: Box<dyn Executor>,
    program: EvalProgram,
    decision: Decision,
}

/// The teachers of a training (Hinton, Vinyals & Dean 2015; one for each branch as in Tran et al. 2020): branch b, from 0,
/// learns from the teacher b mod their number.
pub struct Teachers {
    all: Vec<Teacher>,
    hashes: Vec<String>,
    classes: usize,
    share: f32,
    calibration: Calibration,
}

impl Teachers {
    /// Those that the settings name, for batches of their size, each on a device as they name it.
    ///
    /// # Errors
    /// [`Error::File`] for a teacher of other classes or inputs than the training's; those of reading a model and of
    /// opening the device.
    pub fn load(settings: &Settings, classes: &[String]) -> Result<Self> {
        let (mut all, mut hashes) = (Vec::new(), Vec::new());
        for path in &settings.teacher {
            let model = load_model(path)?;
            check(&model, path, settings, classes)?;
            let network = model.network()?;
            let mut executor = settings.open_device()?.executor;
            let program = EvalProgram::compile(executor.as_mut(), &network, settings.batch_size, BRANCH_LAYERS)?;
            let mut graph = Graph::new();
            let images = graph.input("images", [1, 3, network.size(), network.size()]);
            network.build(&mut graph, images, Mode::Eval)?;
            variables::write(executor.as_mut(), &graph, &model.tensors)?;
            all.push(Teacher { executor, program, decision: network.decision() });
            hashes.push(file_hash(path)?);
        }
        // The temperature alone: a teacher's own calibration is for its answers, not for what is learnt from them.
        let prior = vec![1.0 / classes.len() as f64; classes.len()];
        let calibration = Calibration::new(settings.teacher_temperature, 0.0, prior);
        Ok(Self { all, hashes, classes: classes.len(), share: settings.teacher_share as f32, calibration })
    }

    /// The SHA-256 of each one's file.
    #[must_use]
    pub fn hashes(&self) -> &[String] {
        &self.hashes
    }

    /// Whether they are those that a run began with, by their hashes.
    ///
    /// # Errors
    /// [`Error::File`] for the first that is another.
    pub fn check(&self, settings: &Settings, began_with: &[String]) -> Result<()> {
        let mut all = settings.teacher.iter().zip(&self.hashes).zip(began_with);
        match all.find(|((_, found), expected)| found != expected) {
            None => Ok(()),
            Some(((path, found), expected)) => Err(Error::File {
                path: path.clone(),
                expected: format!("the teacher that the run began with, sha256 {expected}"),
                found: found.clone(),
                hint: "put its file back, or start a new run".into(),
            }),
        }
    }

    /// The targets `[N, heads·K]` of a batch of images `[N, 3, S, S]`, from those without teachers, `[N, K]` or
    /// `[N, heads·K]`: `(1 − s)·t + s·q`, s [`Settings::teacher_share`], q the teacher's mean probabilities to the power
    /// 1/T, renormalised, T [`Settings::teacher_temperature`].
    ///
    /// # Errors
    /// Those of the executors.
    pub fn targets(&mut self, images: &[f32], targets: &[f32], count: usize, heads: usize) -> Result<Vec<f32>> {
        let k = self.classes;
        let mut taught = Vec::with_capacity(self.all.len());
        for Teacher { executor, program, decision } in &mut self.all {
            let logits = program.logits(executor.as_mut(), images)?;
            let of = |image: &[f32]| {
                let probabilities = image.chunks(k).flat_map(softmax).collect::<Vec<_>>();
                self.calibration.answer(&mean_of(&probabilities, k, *decision))
            };
            taught.push(logits.chunks(logits.len() / count).map(of).collect::<Vec<_>>());
        }
        let width = targets.len() / count;
        let mut mixed = Vec::with_capacity(count * heads * k);
        for image in 0..count {
            for head in 0..heads {
                let own = &targets[image * width + head * k % width..][..k];
                let taught = &taught[head % taught.len()][image];
                mixed
                    .extend(own.iter().zip(taught).map(|(own, taught)| (1.0 - self.share) * own + self.share * taught));
            }
        }
        Ok(mixed)
    }
}

/// Whether a teacher knows the classes and takes the images of the training.
fn check(model: &Model, path: &Path, settings: &Settings, classes: &[String]) -> Result<()> {
    let wrong = |expected: String, found: String, hint: &str| {
        Err(Error::File { path: path.into(), expected, found, hint: hint.into() })
    };
    if model.meta.classes != classes {
        return wrong(
            format!("a teacher of the classes {}", classes.join(", ")),
            model.meta.classes.join(", "),
            "train it on data of the same classes, or bring these by --class-map to its own",
        );
    }
    let [own, theirs] = [settings.transform(), transform_of(&model.meta)];
    if own.size != theirs.size {
        return wrong(
            format!("a teacher of images of {} pixels", own.size),
            format!("{} pixels", theirs.size),
            "teacher and pupil see the same batch: choose --image-size by the teacher",
        );
    }
    if own != theirs {
        return wrong(
            "a teacher whose inputs have this training's order of colours and normalisation".into(),
            "others".into(),
            "choose --colour and --normalise by the teacher",
        );
    }
    Ok(())
}
