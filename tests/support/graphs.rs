//! Random graphs, and what a graph computes by the reference loops.

use std::collections::BTreeMap;

use moue::{
    graph::{Graph, Init, Role},
    ops::{Emit, Pool2d, PoolKind, Pooling, TensorId},
    rng::Rng,
};

use super::{data::Array, reference::reference};

/// A random graph: inputs and parameters of one shape, ops of many output sizes, views, outputs, sometimes SGD.
///
/// No op has a kink, and no value exceeds 1 where the inputs don't, so that f32 and f64 agree.
pub(crate) fn random_graph(seed: u64) -> Graph {
    let mut rng = Rng::named("graph", &[seed]);
    let mut graph = Graph::new();
    let dims = [2, 3, 4, 4];
    let mut maps = vec![graph.input("x", dims), graph.parameter("w", 1, dims, Init::Fill(0.5))];
    let mut others = Vec::new();
    for _ in 0..3 + rng.below(30) {
        let a = maps[rng.below(maps.len())];
        let b = maps[rng.below(maps.len())];
        let average = Pool2d { kind: PoolKind::Avg, size: 2, stride: 2, padding: 0 };
        let made = match rng.below(8) {
            0 => graph.sigmoid(a),
            1 => graph.multiply(a, b),
            2 => graph.weighted_sum(&[(a, 0.5), (b, -0.5)]),
            3 => graph.weighted_sum(&[(a, 0.25), (b, 0.5), (a, 0.25)]),
            4 => graph.slice(a, 1, 0, 2),
            5 => graph.concat(&[a, b], 1),
            6 => graph.pool2d(a, average),
            _ => graph.global_pool(a, Pooling::Avg),
        };
        let made = made.expect("shapes that fit");
        if graph.tensor(made).shape.dims() == dims {
            let view = rng.chance(0.3).then(|| graph.reshape(made, [96].into()).expect("as many elements"));
            let back = view.map(|view| graph.reshape(view, dims.into()).expect("as many elements"));
            maps.push(back.unwrap_or(made));
        } else {
            others.push(made);
        }
    }
    for &id in maps.iter().chain(&others) {
        if rng.chance(0.15) {
            graph.output(id);
        }
    }
    if rng.chance(0.5) {
        let last = *maps.last().expect("an input at least");
        let w = graph.find("w").expect("a parameter");
        let y = graph.multiply(last, w).expect("one shape");
        let row = graph.reshape(y, [1, 96].into()).expect("as many elements");
        let ones = graph.input("ones", [1, 96]);
        let loss = graph.linear(row, ones, None, 1).expect("a row");
        let loss = graph.reshape(loss, [1].into()).expect("one number");
        graph.sgd(loss, 0.9, false).expect("a loss of the parameter");
        graph.output(loss);
    }
    graph
}

/// The value of every tensor after a run. `values` holds those of the inputs and variables; what ops update in place
/// changes there.
pub(crate) fn evaluate(graph: &Graph, values: &mut BTreeMap<TensorId, Array>) {
    for id in graph.select(|role| matches!(role, Role::Constant(_))) {
        if let Role::Constant(value) = graph.tensor(id).role {
            values.insert(id, Array::filled(graph.tensor(id).shape.dims(), value));
        }
    }
    for node in graph.nodes() {
        let inputs: Vec<_> = node.inputs.iter().map(|&id| value(graph, values, id)).collect();
        let mut updates: Vec<_> = node.updates.iter().map(|&id| value(graph, values, id)).collect();
        let outputs = reference(&node.op, &inputs, &mut updates);
        for (&id, array) in node.outputs.iter().chain(&node.updates).zip(outputs.into_iter().chain(updates)) {
            values.insert(id, array);
        }
    }
}

/// The value of a tensor or a view.
pub(crate) fn value(graph: &Graph, values: &BTreeMap<TensorId, Array>, id: TensorId) -> Array {
    let root = values.get(&graph.root(id)).unwrap_or_else(|| panic!("no value for {}", graph.tensor(id).name));
    root.clone().reshaped(graph.tensor(id).shape.dims())
}
