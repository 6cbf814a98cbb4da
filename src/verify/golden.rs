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
    diversity::{Diversity, Loss, esr_loss},
    exec::{Executor, Precision, Program},
    graph::Graph,
    models::{Esr, EsrSpec},
    nn::{Mode, variables},
    ops::TensorId,
};

/// The settings every golden file of an ESR is made with.
const LR: f64 = 0.01;
const MOMENTUM: f64 = 0.9;
const SIZE: usize = 96;
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
    spec: EsrSpec,
    batch: usize,
    gamma: f64,
    salt: String,
    weight_decay: f64,
}

impl Golden {
    /// Reads a golden file.
    ///
    /// # Errors
    /// [`Error::File`] where it is cut, holds other types, lacks a setting or has one that this version does not know.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|e| Error::io(path, "reading the golden file", e, "give the path of a golden file"))?;
        let wrong = |expected: &str, found: String| Error::File {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
            hint: "make the file again with the yardstick's `golden` command".into(),
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong("a safetensors file", e.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong("a safetensors file", e.to_string()))?;
        let meta: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
        if let Some(unknown) = meta.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(wrong("known settings in the metadata", format!("`{unknown}`")));
        }
        let text = |key: &str| meta.get(key).ok_or_else(|| wrong(&format!("the setting `{key}`"), "none".into()));
        if text("model")? != "esr" {
            return Err(wrong("the model `esr`", text("model")?.clone()));
        }
        let parse = |key: &str| -> Result<f64> {
            let value = text(key)?;
            value.parse().map_err(|_| wrong(&format!("a number for `{key}`"), value.clone()))
        };
        let attention = match text("no_attention")?.as_str() {
            "False" => true,
            "True" => false,
            other => return Err(wrong("True or False for `no_attention`", other.into())),
        };
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
            spec: EsrSpec {
                branches: parse("branches")? as usize,
                width: 1.0,
                size: SIZE,
                classes: parse("classes")? as usize,
                attention,
            },
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
    let labels = labels(&golden.salt, golden.batch, golden.spec.classes);
    found.insert("labels".to_owned(), labels.iter().map(|&l| l as f64).collect());
    let batch = Batch {
        images: uniform(&format!("{}input", golden.salt), golden.batch * 3 * SIZE * SIZE).map(|u| u as f32).collect(),
        targets: one_hot(&labels, golden.spec.classes),
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
    let x = graph.input("images", [golden.batch, 3, SIZE, SIZE]);
    let esr = golden.spec.build(&mut graph, x, Mode::Eval)?;
    for id in [Some(esr.logits), esr.spatial, esr.channel].into_iter().flatten() {
        graph.output(id);
    }
    let program = executor.compile(&graph)?;
    variables::write(executor, &graph, &fill(&graph, &golden.salt))?;
    executor.write(program, x, &batch.images)?;
    executor.run(program)?;
    outputs(golden, executor, program, "eval", &esr, found)
}

/// The names of biases before a batch norm, with their convolutions' weights.
type NoiseBiases = BTreeMap<String, String>;

fn train(golden: &Golden, executor: &mut dyn Executor, batch: &Batch, found: &mut Found) -> Result<NoiseBiases> {
    let branches = golden.spec.branches;
    let mut graph = Graph::new();
    let x = graph.input("images", [golden.batch, 3, SIZE, SIZE]);
    let targets = graph.input("targets", [golden.batch, golden.spec.classes]);
    let weights = graph.input("branch_weights", [branches]);
    let esr = golden.spec.build(&mut graph, x, Mode::Train)?;
    let diversity = if golden.spec.attention { Diversity::PAPER } else { Diversity::NONE };
    let loss = esr_loss(&mut graph, &esr, targets, weights, &diversity)?;
    let gradients = graph.sgd(loss.total, MOMENTUM, false)?;
    let terms = loss.terms.iter().flat_map(|term| [term.similarity, term.value]);
    let attention = [Some(esr.logits), esr.spatial, esr.channel].into_iter().flatten();
    for id in terms.chain(attention).chain([loss.total, loss.cross_entropy]).chain(gradients.iter().copied()) {
        graph.output(id);
    }

    let program = executor.compile(&graph)?;
    variables::write(executor, &graph, &fill(&graph, &golden.salt))?;
    let parts = graph.part_names().len();
    let input = |name: &str| graph.find(name).expect("invariant: sgd adds its inputs");
    executor.write(program, x, &batch.images)?;
    executor.write(program, targets, &batch.targets)?;
    executor.write(program, weights, &vec![1.0; branches])?;
    executor.write_f64(program, input("lr"), &vec![LR; parts])?;
    executor.write_f64(program, input("decay"), &vec![golden.weight_decay; parts])?;
    for term in &loss.terms {
        executor.write_f64(program, term.gamma, &[golden.gamma])?;
    }
    executor.run(program)?;
    outputs(golden, executor, program, "train", &esr, found)?;
    losses(executor, program, &loss, found)?;
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

/// Logits and attention maps, in the order of the file: branch outermost.
fn outputs(
    golden: &Golden,
    executor: &mut dyn Executor,
    program: Program,
    tag: &str,
    esr: &Esr,
    found: &mut Found,
) -> Result<()> {
    let (n, b) = (golden.batch, golden.spec.branches);
    let named = [("logits", Some(esr.logits)), ("attention.spatial", esr.spatial), ("attention.channel", esr.channel)];
    for (name, id) in named {
        let Some(id) = id else { continue };
        let values = executor.read_f64(program, id)?;
        let inner = values.len() / (n * b);
        let mut branch_first = Vec::with_capacity(values.len());
        for branch in 0..b {
            for image in 0..n {
                let start = (image * b + branch) * inner;
                branch_first.extend_from_slice(&values[start..start + inner]);
            }
        }
        found.insert(format!("{tag}.{name}"), branch_first);
    }
    Ok(())
}

fn losses(executor: &mut dyn Executor, program: Program, loss: &Loss, found: &mut Found) -> Result<()> {
    let mut named: Vec<(String, TensorId)> =
        vec![("total".into(), loss.total), ("cross_entropy".into(), loss.cross_entropy)];
    for term in &loss.terms {
        named.push((format!("similarity.{}", term.kind), term.similarity));
        named.push((format!("diversity.{}", term.kind), term.value));
    }
    for (name, id) in named {
        found.insert(format!("train.{name}"), executor.read_f64(program, id)?);
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
