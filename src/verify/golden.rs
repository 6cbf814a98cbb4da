//! A golden file, and the run of a network that reproduces it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};

use super::{
    bars::{Judge, Verdict, norm},
    values::{fill, labels, one_hot, uniform},
};
use crate::{
    Error, Result,
    diversity::{Diversity, Loss, diversified_loss},
    exec::{Executor, Precision, Program},
    graph::Graph,
    models::{EsrSpec, ManetSpec, Network, NetworkSpec, Padding},
    nn::{Mode, variables},
    ops::TensorId,
};

/// The settings every golden file is made with.
const LR: f64 = 0.01;
const MOMENTUM: f64 = 0.9;
/// The sides of an ESR's images and of a MA-Net's.
const ESR_SIZE: usize = 96;
const MANET_SIZE: usize = 224;
/// How many elements of a tensor `.head` holds.
const HEAD: usize = 16;

/// The metadata this version understands; any other key is an error, so that no setting is silently ignored.
const KNOWN: [&str; 9] =
    ["model", "branches", "no_attention", "classes", "batch", "gamma", "lam", "salt", "weight_decay"];

/// A golden file.
#[derive(Debug, Clone)]
pub struct Golden {
    path: PathBuf,
    keys: BTreeMap<String, Vec<f64>>,
    spec: NetworkSpec,
    batch: usize,
    gamma: f64,
    salt: String,
    weight_decay: f64,
}

impl Golden {
    /// Reads a golden file.
    ///
    /// # Errors
    /// See [`Golden::read`]; and [`Error::Io`] where it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|e| Error::io(path, "reading the golden file", e, "give the path of a golden file"))?;
        Self::read(path, &bytes)
    }

    /// Reads the bytes of a golden file; errors name `path`.
    ///
    /// # Errors
    /// [`Error::File`] where it is cut, holds other types, lacks a setting or has one that this version does not know.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let wrong = |expected: &str, found: String| Error::File {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
            hint: "make the file again with the yardstick's `golden` command".into(),
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| wrong("a safetensors file", e.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| wrong("a safetensors file", e.to_string()))?;
        let meta: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
        if let Some(unknown) = meta.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(wrong("known settings in the metadata", format!("`{unknown}`")));
        }
        let text = |key: &str| meta.get(key).ok_or_else(|| wrong(&format!("the setting `{key}`"), "none".into()));
        let parse = |key: &str| -> Result<f64> {
            let value = text(key)?;
            value.parse().map_err(|_| wrong(&format!("a number for `{key}`"), value.clone()))
        };
        let attention = match text("no_attention")?.as_str() {
            "False" => true,
            "True" => false,
            other => return Err(wrong("True or False for `no_attention`", other.into())),
        };
        let classes = parse("classes")? as usize;
        let spec = match text("model")?.as_str() {
            "esr" => {
                let branches = parse("branches")? as usize;
                NetworkSpec::Esr(EsrSpec {
                    branches,
                    width: 1.0,
                    size: ESR_SIZE,
                    classes,
                    attention,
                    padding: Padding::Published,
                })
            }
            "manet" => {
                let local_weight = parse("lam")?;
                NetworkSpec::Manet(ManetSpec { width: 1.0, size: MANET_SIZE, classes, local_weight })
            }
            other => return Err(wrong("the model `esr` or `manet`", other.to_owned())),
        };
        if let Err(Error::Usage { setting, expected, found, .. }) = spec.validate() {
            return Err(wrong(&format!("a network with {setting} of {expected}"), found));
        }
        let mut keys = BTreeMap::new();
        for (name, view) in tensors.iter() {
            let values = match view.dtype() {
                Dtype::F64 => view.data().chunks_exact(8).map(|b| f64::from_le_bytes(eight(b))).collect(),
                Dtype::I64 => view.data().chunks_exact(8).map(|b| i64::from_le_bytes(eight(b)) as f64).collect(),
                other => return Err(wrong("float64 or int64 tensors", format!("{name} of {other:?}"))),
            };
            keys.insert(name.to_owned(), values);
        }
        Ok(Self {
            path: path.to_owned(),
            keys,
            spec,
            batch: parse("batch")? as usize,
            gamma: parse("gamma")?,
            salt: text("salt")?.clone(),
            weight_decay: parse("weight_decay")?,
        })
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes.try_into().expect("invariant: chunks of eight bytes")
}

/// Runs the golden network on a device and compares every key of the file.
///
/// # Errors
/// [`Error::Device`] and [`Error::Memory`] where the device fails or is too small.
pub fn verify(golden: &Golden, executor: &mut dyn Executor, precision: Precision) -> Result<Verdict> {
    let mut found = BTreeMap::new();
    let (n, classes, size) = (golden.batch, golden.spec.classes(), golden.spec.size());
    let labels = labels(&golden.salt, n, classes);
    found.insert("labels".to_owned(), labels.iter().map(|&l| l as f64).collect());
    let batch = Batch {
        images: uniform(&format!("{}input", golden.salt), n * 3 * size * size).map(|u| u as f32).collect(),
        targets: one_hot(&labels, classes),
    };
    executor.clear();
    evaluate(golden, executor, &batch, &mut found)?;
    executor.clear();
    let train = train(golden, executor, &batch, &mut found)?;
    Ok(judge(golden, precision, &found, &train))
}

struct Batch {
    images: Vec<f32>,
    targets: Vec<f32>,
}

type Found = BTreeMap<String, Vec<f64>>;

fn evaluate(golden: &Golden, executor: &mut dyn Executor, batch: &Batch, found: &mut Found) -> Result<()> {
    let mut graph = Graph::new();
    let size = golden.spec.size();
    let x = graph.input("images", [golden.batch, 3, size, size]);
    let network = golden.spec.build(&mut graph, x, Mode::Eval)?;
    for id in visible(&network) {
        graph.output(id);
    }
    let program = executor.compile(&graph)?;
    variables::write(executor, &graph, &fill(&graph, &golden.salt))?;
    executor.write(program, x, &batch.images)?;
    executor.run(program)?;
    outputs(golden, executor, program, "eval", &network, found)
}

/// The logits and maps.
fn visible(network: &Network) -> impl Iterator<Item = TensorId> {
    std::iter::once(network.logits).chain(network.maps.iter().map(|maps| maps.map))
}

/// The names of biases before a batch norm, with their convolutions' weights.
type NoiseBiases = BTreeMap<String, String>;

fn train(golden: &Golden, executor: &mut dyn Executor, batch: &Batch, found: &mut Found) -> Result<NoiseBiases> {
    let (size, heads) = (golden.spec.size(), golden.spec.heads());
    let mut graph = Graph::new();
    let x = graph.input("images", [golden.batch, 3, size, size]);
    let targets = graph.input("targets", [golden.batch, golden.spec.classes()]);
    let weights = graph.input("head_weights", [heads]);
    let network = golden.spec.build(&mut graph, x, Mode::Train)?;
    let loss = diversified_loss(&mut graph, &network, targets, weights, &Diversity::PAPER)?;
    let gradients = graph.sgd(loss.total, MOMENTUM, false)?;
    let terms = loss.terms.iter().flat_map(|term| [term.similarity, term.value]);
    let losses_too = [loss.total, loss.cross_entropy, loss.head_losses];
    for id in terms.chain(visible(&network)).chain(losses_too).chain(gradients.iter().copied()) {
        graph.output(id);
    }

    let program = executor.compile(&graph)?;
    variables::write(executor, &graph, &fill(&graph, &golden.salt))?;
    variables::write_momenta(executor, &graph, &variables::Tensors::new())?;
    let parts = graph.part_names().len();
    let input = |name: &str| graph.find(name).expect("invariant: sgd adds its inputs");
    executor.write(program, x, &batch.images)?;
    executor.write(program, targets, &batch.targets)?;
    executor.write_f64(program, weights, &golden.spec.head_weights())?;
    executor.write_f64(program, input("lr"), &vec![LR; parts])?;
    executor.write_f64(program, input("decay"), &vec![golden.weight_decay; parts])?;
    for term in &loss.terms {
        executor.write_f64(program, term.gamma, &[golden.gamma])?;
    }
    executor.run(program)?;
    outputs(golden, executor, program, "train", &network, found)?;
    losses(golden, executor, program, &loss, found)?;
    let noise = gradient_keys(executor, program, &graph, &gradients, found)?;
    for entry in variables::stacked(&graph).into_iter().filter(|entry| !entry.trained) {
        let values = executor.read_variable_f64(entry.name)?;
        for (part, values) in entry.variable.parts.iter().zip(values.chunks(entry.part_elements())) {
            found.insert(format!("stats.{part}"), values.to_vec());
        }
    }
    executor.run(program)?;
    found.insert("train2.total".into(), executor.read_f64(program, loss.total)?);
    for entry in variables::stacked(&graph).into_iter().filter(|entry| entry.trained) {
        let values = executor.read_variable_f64(entry.name)?;
        for (part, values) in entry.variable.parts.iter().zip(values.chunks(entry.part_elements())) {
            found.insert(format!("step2.{part}.head"), values[..HEAD.min(values.len())].to_vec());
        }
    }
    Ok(noise)
}

/// Logits and maps, in the order of the file: head or learner outermost.
fn outputs(
    golden: &Golden,
    executor: &mut dyn Executor,
    program: Program,
    tag: &str,
    network: &Network,
    found: &mut Found,
) -> Result<()> {
    let logits = outermost(executor.read_f64(program, network.logits)?, golden.batch, golden.spec.heads());
    match golden.spec {
        NetworkSpec::Esr(_) => drop(found.insert(format!("{tag}.logits"), logits)),
        NetworkSpec::Manet(_) => {
            let heads = ManetSpec::HEADS.iter().zip(logits.chunks(logits.len() / ManetSpec::HEADS.len()));
            found.extend(heads.map(|(head, logits)| (format!("{tag}.logits.{head}"), logits.to_vec())));
        }
    }
    for maps in &network.maps {
        let name = match (&golden.spec, maps.kind) {
            (_, "branch") => "branches".to_owned(),
            (NetworkSpec::Esr(_), kind) => format!("attention.{kind}"),
            (NetworkSpec::Manet(_), kind) => format!("patches.{kind}"),
        };
        let values = outermost(executor.read_f64(program, maps.map)?, golden.batch, maps.learners);
        found.insert(format!("{tag}.{name}"), values);
    }
    Ok(())
}

/// `[L, N, …]` from `[N, L, …]`.
fn outermost(values: Vec<f64>, images: usize, learners: usize) -> Vec<f64> {
    let inner = values.len() / (images * learners);
    let places = (0..learners).flat_map(|learner| (0..images).map(move |image| (image * learners + learner) * inner));
    places.flat_map(|start| values[start..start + inner].iter().copied()).collect()
}

fn losses(
    golden: &Golden,
    executor: &mut dyn Executor,
    program: Program,
    loss: &Loss,
    found: &mut Found,
) -> Result<()> {
    let mut named: Vec<(String, TensorId)> =
        vec![("total".into(), loss.total), ("cross_entropy".into(), loss.cross_entropy)];
    for term in &loss.terms {
        named.push((format!("similarity.{}", term.kind), term.similarity));
        named.push((format!("diversity.{}", term.kind), term.value));
    }
    for (name, id) in named {
        found.insert(format!("train.{name}"), executor.read_f64(program, id)?);
    }
    if let NetworkSpec::Manet(_) = golden.spec {
        let values = executor.read_f64(program, loss.head_losses)?;
        found.extend(ManetSpec::HEADS.iter().zip(values).map(|(head, loss)| (format!("train.{head}"), vec![loss])));
    }
    Ok(())
}

fn gradient_keys(
    executor: &mut dyn Executor,
    program: Program,
    graph: &Graph,
    gradients: &[TensorId],
    found: &mut Found,
) -> Result<NoiseBiases> {
    let mut noise = NoiseBiases::new();
    for (&parameter, &gradient) in graph.parameters().iter().zip(gradients) {
        let values = executor.read_f64(program, gradient)?;
        let variable = graph.variable(parameter).expect("invariant: a parameter is a variable");
        for (part, values) in variable.parts.iter().zip(values.chunks(values.len() / variable.parts.len())) {
            found.insert(format!("grad.{part}.norm"), vec![norm(values)]);
            found.insert(format!("grad.{part}.head"), values[..HEAD.min(values.len())].to_vec());
            // `conv1.bias` … `conv4.bias`: every convolution with a bias is followed by a batch norm.
            if let Some(layer) = part.strip_suffix(".bias")
                && layer.rsplit('.').next().is_some_and(|leaf| leaf.starts_with("conv"))
            {
                noise.insert(part.clone(), format!("{layer}.weight"));
            }
        }
    }
    Ok(noise)
}

fn judge(golden: &Golden, precision: Precision, found: &Found, noise: &NoiseBiases) -> Verdict {
    let mut judge = Judge::new(precision, golden.keys.len());
    let mut missing = BTreeSet::new();
    for (key, expected) in &golden.keys {
        let Some(actual) = found.get(key) else {
            missing.insert(key.as_str());
            continue;
        };
        let weight_norm = key
            .strip_prefix("grad.")
            .and_then(|rest| rest.rsplit_once('.'))
            .and_then(|(name, _)| noise.get(name))
            .and_then(|weight| golden.keys.get(&format!("grad.{weight}.norm")))
            .map(|norm| norm[0]);
        judge.compare(key, actual, expected, weight_norm);
    }
    for key in missing {
        judge.fail(format!("{key}: left uncompared, this version does not compute it"));
    }
    judge.finish()
}
