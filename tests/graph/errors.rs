//! Every shape error names the op, what it expected, what it found and what to do next.

use moue::{
    Error,
    graph::{Graph, Init},
    ops::{
        ActivationGrad, AxisRepeat, AxisSum, BatchNorm, BatchNormEval, BatchNormGrad, ChannelAttentionGrad,
        ChannelGateGrad, Concat, Conv2d, Conv2dGradInput, Conv2dGradWeight, CrossEntropyGrad, Emit, Function,
        GlobalPoolGrad, MixtureCrossEntropy, MixtureCrossEntropyGrad, Objective, Op, Patches, PatchesJoin, Pool2d,
        Pool2dGrad, PoolKind, Pooling, Sgd, Similarity, SimilarityGrad, Slice, SliceGrad, SpatialGate, SpatialGateEval,
        SpatialGateGrad, TensorId, WeightedSum,
    },
};

/// Pushes an op on inputs of these shapes.
fn push(op: impl Into<Op>, shapes: &[&[usize]]) -> String {
    let mut graph = Graph::new();
    let inputs: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(i, dims)| graph.input(format!("i{i}"), moue::shape::Shape::new(dims)))
        .collect();
    refused(graph.push(op.into(), &inputs, &[]))
}

/// The sentence of a shape error.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(error @ Error::Shape { .. }) => error.to_string(),
        other => panic!("a shape error expected, found {other:?}"),
    }
}

fn assert_says(found: &str, expected: &str) {
    assert_eq!(found, expected);
}

#[test]
fn conv2d() {
    let op = Conv2d::default();
    assert_says(
        &push(op, &[&[1, 3, 4, 4]]),
        "conv2d: expected [2, 3] inputs, found 1; see the op's documentation for their order",
    );
    assert_says(
        &push(op, &[&[1, 3, 4, 4, 1], &[2, 3, 1, 1]]),
        "conv2d: expected input [N, C, H, W], found [1, 3, 4, 4, 1]; reshape it",
    );
    assert_says(
        &push(op, &[&[1, 3, 4, 4], &[2, 4, 3, 3]]),
        "conv2d: expected weight [O, 3, K, K] for 3 channels in 1 groups, found [2, 4, 3, 3]; change the weight or the \
         groups",
    );
    assert_says(
        &push(op, &[&[1, 3, 4, 4], &[2, 3, 3, 3], &[3]]),
        "conv2d: expected bias of shape [2], found [3]; check the sizes of the layers before it",
    );
    assert_says(
        &push(op, &[&[1, 3, 2, 4], &[2, 3, 3, 3]]),
        "conv2d: expected a map of at least 3×3 with padding 0, found 2×4; use larger images or fewer layers",
    );
    let strided = |stride| Conv2d { stride, ..op };
    assert_says(
        &push(strided(0), &[&[1, 3, 4, 4], &[2, 3, 3, 3]]),
        "conv2d: expected a stride of at least 1, found 0; use 1",
    );
    let grouped = |groups| Conv2d { groups, ..op };
    let divide = |groups, channels| {
        format!(
            "conv2d: expected channels that divide into {groups} groups, found {channels}; change the width or the groups"
        )
    };
    assert_says(&push(grouped(2), &[&[1, 3, 4, 4], &[2, 3, 3, 3]]), &divide(2, 3));
    assert_says(&push(grouped(3), &[&[1, 3, 4, 4], &[2, 1, 3, 3]]), &divide(3, 2));
    assert_says(&push(grouped(0), &[&[1, 3, 4, 4], &[2, 3, 3, 3]]), &divide(0, 3));
    let kernel = Conv2dGradWeight { conv: grouped(3), kernel: [3, 3], bias: false };
    assert_says(&push(kernel, &[&[1, 2, 2, 2], &[1, 3, 4, 4]]), &divide(3, 2));
}

#[test]
fn conv2d_gradients() {
    let conv = Conv2d::default();
    let input = Conv2dGradInput { conv, size: [4, 4] };
    assert_says(
        &push(input, &[&[1, 5, 2, 2], &[2, 3, 3, 3]]),
        "conv2d: expected an output gradient of 2 channels, found 5; check the weight",
    );
    assert_says(
        &push(input, &[&[1, 2, 3, 2], &[2, 3, 3, 3]]),
        "conv2d: expected an output gradient [1, 2, 2, 2], found [1, 2, 3, 2]; check the sizes",
    );
    let weight = Conv2dGradWeight { conv, kernel: [3, 3], bias: true };
    assert_says(
        &push(weight, &[&[1, 2, 3, 2], &[1, 3, 4, 4]]),
        "conv2d: expected an output gradient [1, 2, 2, 2], found [1, 2, 3, 2]; check the sizes",
    );
}

#[test]
fn elementwise_ops() {
    let same = "of shape [2, 3], found [3, 2]; check the sizes of the layers before it";
    let grad = ActivationGrad { function: Function::Relu };
    assert_says(&push(grad, &[&[3, 2], &[2, 3]]), &format!("activation: expected output gradient {same}"));
    assert_says(&push(moue::ops::Multiply, &[&[2, 3], &[3, 2]]), &format!("multiply: expected second factor {same}"));
    let sum = |weights: &[f64]| WeightedSum { weights: weights.to_vec(), activation: None };
    assert_says(&push(sum(&[1.0; 2]), &[&[2, 3], &[3, 2]]), &format!("weighted_sum: expected inputs {same}"));
    let order = "see the op's documentation for their order";
    assert_says(
        &push(sum(&[1.0; 5]), &[&[1][..]; 5]),
        &format!("weighted_sum: expected [1, 2, 3, 4] inputs, found 5; {order}"),
    );
    assert_says(&push(sum(&[1.0; 3]), &[&[1][..]; 2]), &format!("weighted_sum: expected [3] inputs, found 2; {order}"));
}

#[test]
fn batch_norm() {
    let op = BatchNorm { eps: 1e-5, momentum: 0.1, activation: None, pool: false, descriptors: false };
    let sizes = "check the sizes of the layers before it";
    let vector = |what: &str| format!("batch_norm: expected {what} of shape [3], found [4]; {sizes}");
    let x: &[usize] = &[2, 3, 4, 4];
    assert_says(&push(op, &[x, &[4], &[3]]), &vector("weight"));
    assert_says(&push(op, &[x, &[3], &[4]]), &vector("bias"));
    let evaluation = BatchNormEval { eps: 1e-5, activation: None, pool: true, descriptors: true };
    assert_says(&push(evaluation, &[x, &[3], &[3], &[4], &[3]]), &vector("mean"));
    let pooled = BatchNorm { pool: true, ..op };
    assert_says(
        &push(pooled, &[&[2, 3, 1, 4], &[3], &[3]]),
        "batch_norm: expected a map of at least 2×2 to pool, found 1×4; use larger images",
    );
    let grad = BatchNormGrad { activation: None, pool: false, descriptors: false };
    assert_says(
        &push(grad, &[x, x, &[3], &[3], &[3]]),
        &format!("batch_norm: expected moments of shape [2, 3], found [3]; {sizes}"),
    );
    assert_says(
        &push(grad, &[&[2, 3, 4, 5], x, &[3], &[3], &[2, 3]]),
        &format!("batch_norm: expected output gradient of shape [2, 3, 4, 4], found [2, 3, 4, 5]; {sizes}"),
    );
    let grad = BatchNormGrad { activation: None, pool: true, descriptors: true };
    let shapes = |dy: &'static [usize], dd: &'static [usize], positions: &'static [usize]| {
        push(grad, &[dy, &[2, 3, 5, 4], &[3], &[3], &[2, 3], dd, positions])
    };
    assert_says(
        &shapes(&[2, 3, 3, 2], &[2, 2, 3], &[2, 3]),
        &format!("batch_norm: expected output gradient of shape [2, 3, 2, 2], found [2, 3, 3, 2]; {sizes}"),
    );
    assert_says(
        &shapes(&[2, 3, 2, 2], &[2, 3], &[2, 3]),
        &format!("batch_norm: expected gradient of the descriptors of shape [2, 2, 3], found [2, 3]; {sizes}"),
    );
    assert_says(
        &shapes(&[2, 3, 2, 2], &[2, 2, 3], &[3, 2]),
        &format!("batch_norm: expected positions of shape [2, 3], found [3, 2]; {sizes}"),
    );
    assert_says(
        &push(grad, &[x, x, &[3], &[3], &[2, 3]]),
        "batch_norm: expected [7] inputs, found 5; see the op's documentation for their order",
    );
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3, 4, 4]);
    let vectors = [graph.input("weight", [3]), graph.input("bias", [3])];
    let running = [graph.state("mean", 1, [3], Init::Fill(0.0)), graph.state("variance", 1, [4], Init::Fill(1.0))];
    assert_says(
        &refused(graph.batch_norm(x, vectors, running, op)),
        "batch_norm: expected running estimates [3], found [4]; check the channels",
    );
}

#[test]
fn pooling() {
    let pool = |size, stride, padding| Pool2d { kind: PoolKind::Max, size, stride, padding };
    assert_says(
        &push(pool(5, 1, 0), &[&[1, 1, 4, 6]]),
        "pool2d: expected a map of at least 5×5, found 4×6; use larger images",
    );
    for (size, stride, padding) in [(2, 0, 0), (0, 1, 0), (3, 1, 2)] {
        assert_says(
            &push(pool(size, stride, padding), &[&[1, 1, 4, 6]]),
            &format!(
                "pool2d: expected a window with padding of at most half its size, found Pool2d {{ kind: Max, size: \
                 {size}, stride: {stride}, padding: {padding} }}; change it"
            ),
        );
    }
    assert_says(
        &push(Pool2dGrad { pool: pool(2, 2, 0) }, &[&[1, 1, 2, 2], &[1, 1, 4, 6]]),
        "pool2d: expected an output gradient [1, 1, 2, 3], found [1, 1, 2, 2]; check the sizes",
    );
    let grad = GlobalPoolGrad { pooling: Pooling::AvgMax, shape: [2, 3, 4, 4] };
    let sizes = "check the sizes of the layers before it";
    assert_says(
        &push(grad, &[&[1, 2, 3], &[2, 3]]),
        &format!("global_pool: expected output gradient of shape [2, 2, 3], found [1, 2, 3]; {sizes}"),
    );
    assert_says(
        &push(grad, &[&[2, 2, 3], &[3, 2]]),
        &format!("global_pool: expected positions of shape [2, 3], found [3, 2]; {sizes}"),
    );
    assert_says(
        &push(grad, &[&[2, 2, 3], &[2, 3], &[2, 3, 4, 5]]),
        &format!("global_pool: expected gradient so far of shape [2, 3, 4, 4], found [2, 3, 4, 5]; {sizes}"),
    );
}

#[test]
fn gates_and_attention() {
    let sizes = "check the sizes of the layers before it";
    let grad = ChannelGateGrad { groups: 2 };
    let x: &[usize] = &[2, 6, 3, 3];
    assert_says(
        &push(grad, &[x, &[2, 2, 3, 3], &[2, 2, 3, 3], x, &[2, 6]]),
        &format!("channel_gate: expected pooled gradient of shape [2, 4, 3, 3], found [2, 2, 3, 3]; {sizes}"),
    );
    assert_says(
        &push(grad, &[x, &[2, 4, 3, 3], &[2, 4, 3, 3], x, &[2, 6]]),
        &format!("channel_gate: expected maximal channels of shape [2, 2, 3, 3], found [2, 4, 3, 3]; {sizes}"),
    );
    let grad = ChannelAttentionGrad { groups: 2 };
    let shapes = |p: &'static [usize], hidden: &'static [usize], w1: &'static [usize], w2: &'static [usize]| {
        push(grad, &[&[3, 8], &[3, 8], hidden, p, w1, w2])
    };
    assert_says(
        &shapes(&[3, 8], &[2, 3, 4], &[4, 4], &[8, 2]),
        "channel_attention: expected descriptors [D, N, C] and weights [M, C/G], found [3, 8], [4, 4]; reshape",
    );
    assert_says(
        &shapes(&[2, 3, 8], &[2, 3, 4], &[4, 8], &[8, 2]),
        &format!("channel_attention: expected first weight of shape [4, 4], found [4, 8]; {sizes}"),
    );
    assert_says(
        &shapes(&[2, 3, 8], &[2, 3, 4], &[4, 4], &[8, 4]),
        &format!("channel_attention: expected second weight of shape [8, 2], found [8, 4]; {sizes}"),
    );
    assert_says(
        &shapes(&[2, 3, 8], &[2, 3, 5], &[4, 4], &[8, 2]),
        &format!("channel_attention: expected hidden units of shape [2, 3, 4], found [2, 3, 5]; {sizes}"),
    );
}

#[test]
fn spatial_gate() {
    let sizes = "check the sizes of the layers before it";
    let (x, pooled, filters, vector): (&[usize], &[usize], &[usize], &[usize]) =
        (&[2, 6, 3, 3], &[2, 6, 3, 3], &[3, 2, 7, 7], &[3]);
    let op = SpatialGate { groups: 3, eps: 1e-5, momentum: 0.01 };
    assert_says(
        &push(op, &[x, &[2, 4, 3, 3], filters, vector, vector]),
        &format!("spatial_gate: expected pooled maps of shape [2, 6, 3, 3], found [2, 4, 3, 3]; {sizes}"),
    );
    for wrong in [&[3, 2, 6, 6][..], &[3, 2, 7, 5], &[3, 1, 7, 7], &[2, 2, 7, 7], &[3, 2, 7]] {
        assert_says(
            &push(op, &[x, pooled, wrong, vector, vector]),
            &format!(
                "spatial_gate: expected filters [3, 2, K, K] of odd K, found {wrong:?}; change the filters or the groups"
            ),
        );
    }
    assert_says(
        &push(op, &[x, pooled, filters, vector, &[4]]),
        &format!("spatial_gate: expected bias of shape [3], found [4]; {sizes}"),
    );
    let eval = SpatialGateEval { groups: 3, eps: 1e-5 };
    assert_says(
        &push(eval, &[x, pooled, filters, vector, vector, vector, &[1]]),
        &format!("spatial_gate: expected running variance of shape [3], found [1]; {sizes}"),
    );
    let grad = SpatialGateGrad { groups: 3 };
    let shapes = |hat: &'static [usize], rstd: &'static [usize], direct: &'static [usize]| {
        push(grad, &[x, x, pooled, filters, vector, vector, hat, rstd, direct])
    };
    assert_says(
        &shapes(&[2, 2, 3, 3], &[3], &[2, 3, 3, 3]),
        &format!("spatial_gate: expected normalised values of shape [2, 3, 3, 3], found [2, 2, 3, 3]; {sizes}"),
    );
    assert_says(
        &shapes(&[2, 3, 3, 3], &[6], &[2, 3, 3, 3]),
        &format!("spatial_gate: expected reciprocal deviation of shape [3], found [6]; {sizes}"),
    );
    assert_says(
        &shapes(&[2, 3, 3, 3], &[3], &[2, 6, 3, 3]),
        &format!("spatial_gate: expected attention gradient of shape [2, 3, 3, 3], found [2, 6, 3, 3]; {sizes}"),
    );
    let mut graph = Graph::new();
    let maps = [graph.input("x", [2, 6, 3, 3]), graph.input("pooled", [2, 6, 3, 3])];
    let parameters = [graph.input("filters", [3, 2, 7, 7]), graph.input("weight", [3]), graph.input("bias", [3])];
    let running = [graph.state("mean", 1, [3], Init::Fill(0.0)), graph.state("variance", 1, [4], Init::Fill(1.0))];
    assert_says(
        &refused(graph.spatial_gate(maps, parameters, running, op)),
        "spatial_gate: expected running estimates [3], found [4]; check the channels",
    );
}

#[test]
fn losses() {
    let sizes = "check the sizes of the layers before it";
    assert_says(
        &push(CrossEntropyGrad, &[&[1], &[5, 16], &[5, 8], &[3]]),
        &format!("cross_entropy: expected logits [N, B·K] of shape [5, 24], found [5, 16]; {sizes}"),
    );
    assert_says(
        &push(CrossEntropyGrad, &[&[1], &[5, 16], &[5, 8, 1], &[2]]),
        "cross_entropy: expected targets [N, K] and branch weights [B], found [5, 8, 1], [2]; reshape",
    );
    assert_says(
        &push(MixtureCrossEntropy, &[&[5, 16], &[5, 8], &[3]]),
        &format!("mixture_cross_entropy: expected logits [N, B·K] of shape [5, 24], found [5, 16]; {sizes}"),
    );
    assert_says(
        &push(MixtureCrossEntropy, &[&[5, 16], &[5, 16], &[2]]),
        "mixture_cross_entropy: expected targets [N, K] for all branches together, found [5, 16]; give each image one target",
    );
    assert_says(
        &push(MixtureCrossEntropyGrad, &[&[1], &[5, 34], &[5, 2], &[17]]),
        "mixture_cross_entropy: expected at most 16 branches, found 17; use fewer branches",
    );
    let mut graph = Graph::new();
    let mut input = |dims: &[usize]| -> TensorId { graph.input("s", moue::shape::Shape::new(dims)) };
    let (flat, large, maps) = (input(&[4, 5]), input(&[17, 17]), input(&[3, 10]));
    let gammas = input(&[2]);
    let gamma = input(&[1]);
    let square = |found: &str| {
        format!("determinant: expected a square matrix of at most 16×16, found {found}; use at most 16 learners")
    };
    assert_says(&refused(graph.determinant(flat, Objective::Det)), &square("[4, 5]"));
    assert_says(&refused(graph.determinant(large, Objective::Det)), &square("[17, 17]"));
    let similarity = |learners| Similarity { learners, zero_diagonal: false };
    let learners = |found: usize| {
        format!(
            "similarity: expected 1 to 16 learners that divide the 10 values of an image, found {found}; stack the \
             learners' maps along the channels"
        )
    };
    for count in [0, 3, 20] {
        assert_says(&refused(graph.similarity(maps, gamma, similarity(count))), &learners(count));
    }
    assert_says(
        &refused(graph.similarity(maps, gammas, similarity(5))),
        &format!("similarity: expected γ of shape [1], found [2]; {sizes}"),
    );
    assert_says(
        &push(SimilarityGrad { similarity: similarity(5), scale: 1.0 }, &[&[4, 5], &[3, 10], &[1], &[3, 5, 5]]),
        &format!("similarity: expected gradient of S of shape [5, 5], found [4, 5]; {sizes}"),
    );
}

#[test]
fn concat_and_slice() {
    assert_says(
        &push(Concat { axis: 1 }, &[&[2, 3, 4], &[2, 1, 5]]),
        "concat: expected [2, 3, 4] but for axis 1, found [2, 1, 5]; reshape or slice",
    );
    assert_says(
        &push(Concat { axis: 3 }, &[&[2, 3]]),
        "concat: expected inputs with an axis 3, found 1; check the axis",
    );
    let slice = |start, length| Slice { axis: 1, start, length };
    for (start, length) in [(2, 2), (0, 0)] {
        assert_says(
            &push(slice(start, length), &[&[2, 3]]),
            &format!(
                "concat: expected a tensor that has Slice {{ axis: 1, start: {start}, length: {length} }}, found [2, 3]; \
                 check the range"
            ),
        );
    }
    assert_says(
        &push(SliceGrad { slice: slice(1, 2), size: 3 }, &[&[2, 1]]),
        "concat: expected an output gradient [2, 2], found [2, 1]; check the range",
    );
}

#[test]
fn axes_and_patches() {
    assert_says(
        &push(AxisSum { axis: 2, scale: 1.0 }, &[&[2, 3]]),
        "axis_sum: expected a tensor with an axis 2 and others, found [2, 3]; check the axis",
    );
    assert_says(
        &push(AxisSum { axis: 0, scale: 1.0 }, &[&[2]]),
        "axis_sum: expected a tensor with an axis 0 and others, found [2]; check the axis",
    );
    assert_says(
        &push(AxisRepeat { axis: 3, length: 2, scale: 1.0 }, &[&[2, 3]]),
        "axis_sum: expected a tensor of at least 3 dimensions, found [2, 3]; check the axis",
    );
    let patches = Patches { rows: 2, columns: 3 };
    assert_says(
        &push(patches, &[&[1, 2, 4, 7]]),
        "patches: expected a map whose sides divide into 2×3 patches, found 4×7; use images of another size",
    );
    assert_says(
        &push(PatchesJoin { patches }, &[&[1, 4, 2, 2]]),
        "patches: expected channels that divide into 6 groups, found 4; change the width or the groups",
    );
}

#[test]
fn optimiser() {
    let op = |parts: &[usize]| Sgd { momentum: 0.9, nesterov: false, parts: parts.to_vec() };
    assert_says(
        &push(op(&[1, 1]), &[&[2], &[2], &[1], &[5]]),
        "sgd: expected lr, decay, loss and 2 gradients, found 4; give a gradient for each parameter",
    );
    assert_says(
        &push(op(&[3]), &[&[3], &[3], &[1], &[5]]),
        "sgd: expected a gradient of 3 parts, found [5]; check the names",
    );
    assert_says(
        &push(op(&[3]), &[&[1], &[3], &[1], &[6]]),
        "sgd: expected lr of shape [3], found [1]; check the sizes of the layers before it",
    );
}

#[test]
fn graphs() {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3]);
    assert_says(
        &refused(graph.reshape(x, [7].into())),
        "reshape: expected 7 elements for [7], found [2, 3]; keep the number of elements",
    );
    let empty = graph.input("nothing", [0, 3]);
    assert_says(
        &refused(graph.relu(empty)),
        "activation: expected outputs with elements, found [0, 3]; use larger inputs",
    );
}
