//! The planner's promises, checked from the definition of a tensor's life over random graphs.

use std::collections::{BTreeMap, BTreeSet};

use moue::{
    graph::{
        Graph, Role,
        plan::{Place, Plan},
    },
    ops::{Emit, Op, TensorId},
};

use crate::support::graphs::random_graph;

/// The steps in which each root activation holds a value that is still needed, from the definition.
fn lives(graph: &Graph, plan: &Plan) -> BTreeMap<TensorId, (usize, usize)> {
    let mut lives = BTreeMap::new();
    for (step, &node) in plan.order.iter().enumerate() {
        let node = &graph.nodes()[node];
        for &id in &node.outputs {
            let until = if graph.outputs().iter().any(|&output| graph.root(output) == id) { usize::MAX } else { step };
            assert!(lives.insert(id, (step, until)).is_none(), "written twice");
        }
        for &input in &node.inputs {
            let root = graph.root(input);
            if matches!(graph.tensor(root).role, Role::Activation) {
                let life = lives.get_mut(&root).expect("written before it is read");
                life.1 = life.1.max(step);
            }
        }
    }
    lives
}

#[test]
fn tensors_that_are_alive_together_never_share_a_slot() {
    let mut shared = 0;
    for seed in 0..300 {
        let graph = random_graph(seed);
        let plan = Plan::new(&graph);
        let lives: Vec<_> = lives(&graph, &plan).into_iter().collect();
        for (i, (a, life_a)) in lives.iter().enumerate() {
            let Place::Slot(slot) = plan.places[a.index()] else { continue };
            assert!(plan.slots[slot] >= graph.tensor(*a).shape.elements(), "seed {seed}: slot {slot} is too small");
            for (b, life_b) in &lives[i + 1..] {
                if plan.places[b.index()] == Place::Slot(slot) {
                    shared += 1;
                    let apart = life_a.1 < life_b.0 || life_b.1 < life_a.0;
                    assert!(apart, "seed {seed}: {a:?} {life_a:?} and {b:?} {life_b:?} share slot {slot}");
                }
            }
        }
    }
    assert!(shared > 300, "the graphs give the planner something to share, {shared} pairs");
}

#[test]
fn everything_that_runs_has_a_place() {
    for seed in 0..300 {
        let graph = random_graph(seed);
        let plan = Plan::new(&graph);
        for &node in &plan.order {
            let node = &graph.nodes()[node];
            for &id in node.inputs.iter().chain(&node.outputs).chain(&node.updates) {
                let place = plan.places[id.index()];
                assert_ne!(place, Place::Unused, "seed {seed}: {id:?}");
                let own = !matches!(graph.tensor(graph.root(id)).role, Role::Activation);
                assert_eq!(place == Place::Own, own, "seed {seed}: {id:?} is in {place:?}");
            }
        }
        for &id in graph.outputs() {
            assert_ne!(plan.places[id.index()], Place::Unused, "seed {seed}: output {id:?}");
        }
    }
}

#[test]
fn a_view_lives_where_its_root_lives() {
    for seed in 0..100 {
        let graph = random_graph(seed);
        let plan = Plan::new(&graph);
        for id in graph.select(|role| matches!(role, Role::View(_))) {
            assert_eq!(plan.places[id.index()], plan.places[graph.root(id).index()]);
            assert_eq!(graph.tensor(id).shape.elements(), graph.tensor(graph.root(id)).shape.elements());
        }
    }
}

/// Ops run where and only where an output or an update depends on them, in the order they were added.
#[test]
fn dead_ops_are_removed_and_live_ones_kept() {
    let mut removed = 0;
    for seed in 0..300 {
        let graph = random_graph(seed);
        let plan = Plan::new(&graph);
        let mut needed: BTreeSet<TensorId> = graph.outputs().iter().map(|&id| graph.root(id)).collect();
        let mut live = BTreeSet::new();
        loop {
            let before = live.len();
            for (index, node) in graph.nodes().iter().enumerate() {
                if !node.updates.is_empty() || node.outputs.iter().any(|id| needed.contains(id)) {
                    live.insert(index);
                    needed.extend(node.inputs.iter().map(|&id| graph.root(id)));
                }
            }
            if live.len() == before {
                break;
            }
        }
        removed += graph.nodes().len() - live.len();
        assert_eq!(plan.order, live.into_iter().collect::<Vec<_>>(), "seed {seed}");
    }
    assert!(removed > 300, "the graphs have dead ops, {removed}");
}

#[test]
fn each_gradient_of_sgd_stays_until_the_end() {
    let mut gradients = 0;
    for seed in 0..100 {
        let graph = random_graph(seed);
        let plan = Plan::new(&graph);
        for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::Sgd(_))) {
            let parameter = graph.find("w").expect("a parameter");
            assert_eq!(plan.places[node.inputs[3].index()], Place::Gradient(parameter), "seed {seed}");
            gradients += 1;
        }
    }
    assert!(gradients > 20);
}

#[test]
fn a_chain_needs_two_slots_however_long() {
    let mut graph = Graph::new();
    let mut x = graph.input("x", [67]);
    for _ in 0..50 {
        x = graph.sigmoid(x).expect("any shape");
    }
    graph.output(x);
    let plan = Plan::new(&graph);
    assert_eq!(plan.slots, [67, 67]);
    assert_eq!(plan.slot_elements(), 134);
}

#[test]
fn outputs_keep_their_slots_to_themselves() {
    let mut graph = Graph::new();
    let mut x = graph.input("x", [5]);
    for _ in 0..10 {
        x = graph.relu(x).expect("any shape");
        let view = graph.reshape(x, [1, 5].into()).expect("as many elements");
        graph.output(view);
    }
    assert_eq!(Plan::new(&graph).slots.len(), 10);
}

#[test]
fn an_input_that_is_an_output_has_its_own_buffer() {
    let mut graph = Graph::new();
    let x = graph.input("x", [5]);
    graph.output(x);
    let plan = Plan::new(&graph);
    assert_eq!((plan.places[x.index()], plan.order.len()), (Place::Own, 0));
}
