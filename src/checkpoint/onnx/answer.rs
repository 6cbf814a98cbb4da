//! The end of a graph: from the heads' logits to the answer's probabilities.

use super::{proto::Attribute, writer::Writer};
use crate::{
    Result,
    models::{Calibration, Decision},
    ops::TensorId,
};

/// The name of the result.
const NAME: &str = "probabilities";

/// Adds the result `probabilities` `[N, K]` from the logits `[N, heads, K]`: softmax, the mean over the heads (or the last
/// one's), and what [`Calibration::answer`] makes of it. Its powers are products of logarithms, which do not underflow:
/// the softmax of `ln m / T − τ · ln p`.
pub(super) fn write(
    w: &mut Writer<'_>,
    logits: TensorId,
    decision: Decision,
    calibration: Option<&Calibration>,
) -> Result<()> {
    let dims = w.dims(logits);
    let [images, heads, classes] = dims[..] else {
        return Err(crate::ops::shape_error("onnx", "logits [N, heads, K]", format!("{dims:?}"), "reshape them"));
    };
    let logits = w.value(logits)?;
    let calibration = calibration.filter(|found| found.factor() != 1.0 || found.offsets().iter().any(|of| *of != 0.0));
    // The name of the mean, which is the answer without a calibration.
    let mean = if calibration.is_none() { NAME } else { "answer/mean" };
    let heads_say = w.push("Softmax", vec![logits], "answer/heads", vec![]);
    match decision {
        Decision::Vote => {
            let attributes = vec![Attribute::ints("axes", &[1]), Attribute::int("keepdims", 0)];
            w.push("ReduceMean", vec![heads_say], mean, attributes);
        }
        Decision::Last => {
            let last = w.index(heads - 1);
            w.push("Gather", vec![heads_say, last], mean, vec![Attribute::int("axis", 1)]);
        }
    }
    if let Some(calibration) = calibration {
        let floats = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<_>>();
        let smallest = w.floats("answer/smallest".into(), vec![], &[f32::MIN_POSITIVE]);
        let factor = w.floats("answer/1_over_T".into(), vec![], &floats(vec![calibration.factor()]));
        let offsets = w.floats("answer/minus_tau_ln_prior".into(), vec![classes], &floats(calibration.offsets()));
        let above = w.push("Max", vec![mean.into(), smallest], "answer/above_0", vec![]);
        let logarithm = w.push("Log", vec![above], "answer/ln", vec![]);
        let scaled = w.push("Mul", vec![logarithm, factor], "answer/scaled", vec![]);
        let scores = w.push("Add", vec![scaled, offsets], "answer/scores", vec![]);
        w.push("Softmax", vec![scores], NAME, vec![]);
    }
    w.output(NAME, &[images, classes]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::{checkpoint::onnx::proto, graph::Graph, ops::Emit};

    fn softmax(logits: &[f32]) -> Vec<f32> {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials: Vec<f32> = logits.iter().map(|z| (z - most).exp()).collect();
        exponentials.iter().map(|e| e / exponentials.iter().sum::<f32>()).collect()
    }

    /// An operator on rows of K numbers, which is all that is needed of ONNX here.
    fn run(graph: &proto::Graph, logits: &[f32], [heads, classes]: [usize; 2]) -> Vec<f32> {
        let mut values = BTreeMap::from([("logits", logits.to_vec())]);
        let number = |name: &str| {
            let found = graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(name));
            found.map(|tensor| tensor.raw_data.clone().expect("raw data"))
        };
        for node in &graph.node {
            let floats = |at: usize| {
                let name = node.input[at].as_str();
                values.get(name).cloned().unwrap_or_else(|| {
                    let raw = number(name).unwrap_or_else(|| panic!("nothing is called {name}"));
                    raw.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
                })
            };
            let pairs = |of: fn(f32, f32) -> f32| {
                let (a, b) = (floats(0), floats(1));
                a.iter().enumerate().map(|(at, a)| of(*a, b[at % b.len()])).collect::<Vec<_>>()
            };
            let row = heads * classes;
            let result = match node.op_type.as_deref().expect("an operator") {
                "Reshape" => floats(0),
                "Softmax" => floats(0).chunks(classes).flat_map(softmax).collect(),
                "ReduceMean" => {
                    let of =
                        |image: &[f32], k: usize| image.iter().skip(k).step_by(classes).sum::<f32>() / heads as f32;
                    floats(0).chunks(row).flat_map(|image| (0..classes).map(move |k| of(image, k))).collect()
                }
                "Gather" => {
                    let at =
                        i64::from_le_bytes(number(&node.input[1]).expect("an index").try_into().expect("eight bytes"));
                    let at = usize::try_from(at).expect("an index") * classes;
                    floats(0).chunks(row).flat_map(|image| image[at..at + classes].to_vec()).collect()
                }
                "Max" => pairs(f32::max),
                "Mul" => pairs(|a, b| a * b),
                "Add" => pairs(|a, b| a + b),
                "Log" => floats(0).iter().map(|value| value.ln()).collect(),
                other => panic!("{other} is not expected here"),
            };
            values.insert(node.output[0].as_str(), result);
        }
        values.remove(NAME).expect("the result")
    }

    #[test]
    fn the_graph_ends_with_the_answer_that_moue_gives() {
        let (heads, classes) = (3, 4);
        let logits: Vec<f32> = (0..2 * heads * classes)
            .map(|i| ((i * i * 7) % 23) as f32 / 3.0 - 200.0 * f32::from(u8::from(i == 5)))
            .collect();
        let build = |images: usize| {
            let mut graph = Graph::new();
            let flat = graph.input("logits", [images, heads * classes]);
            let logits = graph.reshape(flat, [images, heads, classes].into()).expect("a shape");
            (graph, vec![("logits", logits)])
        };
        let (one, two) = (build(1), build(2));
        let calibration = Calibration::new(0.4, 0.35, vec![0.7, 0.0, 0.2, 0.1]);
        for decision in [Decision::Vote, Decision::Last] {
            for calibration in
                [None, Some(&calibration), Some(&Calibration { temperature: 1.0, tau: 0.0, ..calibration.clone() })]
            {
                let tensors = BTreeMap::new();
                let mut writer = Writer::new(&one, &two.0, &tensors);
                write(&mut writer, one.1[0].1, decision, calibration).expect("an answer");
                let graph = writer.finish(&[]).expect("a graph");
                let found = run(&graph, &logits, [heads, classes]);
                let expected = logits.chunks(heads * classes).flat_map(|image| {
                    let says: Vec<_> = image.chunks(classes).map(softmax).collect();
                    let mean = |k: usize| says.iter().map(|head| head[k]).sum::<f32>() / heads as f32;
                    let mean = match decision {
                        Decision::Vote => (0..classes).map(mean).collect(),
                        Decision::Last => says[heads - 1].clone(),
                    };
                    calibration.map_or_else(|| mean.clone(), |calibration| calibration.answer(&mean))
                });
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-5, "{decision:?}, {calibration:?}: {found} {expected}");
                }
                assert_eq!(found.len(), 2 * classes);
                let output = graph.output.last().expect("an output");
                let shape =
                    output.kind.as_ref().and_then(|kind| kind.tensor.as_ref()?.shape.as_ref()).expect("a shape");
                assert_eq!(output.name.as_deref(), Some(NAME));
                assert_eq!((shape.dim[0].name.as_deref(), shape.dim[1].value), (Some("images"), Some(4)));
                let operators = graph.node.iter().filter(|node| node.op_type.as_deref() == Some("Log")).count();
                assert_eq!(operators, usize::from(calibration.is_some_and(|of| of.temperature != 1.0)));
            }
        }
    }
}
