//! What ops cost by their shapes, counted by hand.

use moue::{
    graph::{Graph, Work},
    ops::{Conv2d, Emit, Op, Slice},
    shape::Shape,
};

fn last(graph: &Graph) -> Work {
    graph.work(graph.nodes().last().expect("an op"))
}

#[test]
fn a_convolution_moves_its_map_its_weight_and_its_result_once() {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 4, 5, 6]);
    let weight = graph.input("weight", [8, 2, 3, 3]);
    let conv = Conv2d { stride: 1, padding: 0, groups: 2 };
    graph.emit(Op::from(conv), &[x, weight]).expect("shapes that fit");
    let result = 2 * 8 * 3 * 4;
    let bytes = 4 * (2 * 4 * 5 * 6 + 8 * 2 * 3 * 3 + result);
    assert_eq!(last(&graph), Work { flops: 2 * result * 2 * 9, bytes });
}

#[test]
fn a_slice_moves_its_part_alone() {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 100, 3]);
    graph.emit(Op::from(Slice { axis: 1, start: 7, length: 5 }), &[x]).expect("a part");
    assert_eq!(last(&graph), Work { flops: 0, bytes: 4 * 2 * (2 * 5 * 3) });
}

#[test]
fn sgd_reads_gradients_and_reads_and_writes_parameters_and_momenta() {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3]);
    let p = graph.parameter("p", 1, [2, 3], moue::graph::Init::Fill(1.0));
    let y = graph.multiply(x, p).expect("equal shapes");
    let y = graph.reshape(y, Shape::new(&[1, 6])).expect("six elements");
    let loss = graph.emit(Op::from(Slice { axis: 1, start: 0, length: 1 }), &[y]).expect("one element")[0];
    let loss = graph.reshape(loss, Shape::new(&[1])).expect("one element");
    graph.sgd(loss, 0.9, false).expect("a loss");
    // lr, decay, loss and the gradient; then healthy, the parameter and its momentum, each twice.
    assert_eq!(last(&graph), Work { flops: 0, bytes: 4 * (3 + 6 + 2 * (1 + 6 + 6)) });
}
