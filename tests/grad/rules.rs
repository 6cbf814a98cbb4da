//! One test for each rule and each of its inputs.

use moue::{
    Result,
    diversity::{Diversity, diversified, term},
    ops::{
        BatchNorm, BatchNormEval, Conv2d, Emit, Function, Objective, Patches, PatchesJoin, Pool2d, PoolKind, Pooling,
        Similarity, SpatialGate, SpatialGateEval, TensorId, UnitLength,
    },
};

use super::differences::Net;
use crate::support::data::Array;

#[test]
fn conv2d_of_input_weight_and_bias() -> Result<()> {
    // Channels, outputs, kernel, stride, padding, groups.
    let all = [
        ([3, 4], [3, 3], [1, 1, 1]),
        ([6, 9], [3, 3], [2, 1, 3]),
        ([4, 4], [1, 1], [1, 0, 2]),
        ([2, 3], [3, 1], [3, 2, 1]),
        ([5, 5], [5, 5], [2, 3, 5]),
    ];
    for ([c, o], [kh, kw], [stride, padding, groups]) in all {
        for bias in [true, false] {
            let mut net = Net::new();
            let mut wrt = vec![net.random(&[2, c, 7, 6]), net.random(&[o, c / groups, kh, kw])];
            let bias = bias.then(|| net.random(&[o]));
            wrt.extend(bias);
            let y = net.graph.conv2d(wrt[0], wrt[1], bias, Conv2d { stride, padding, groups })?;
            let loss = net.weigh(y)?;
            net.check(loss, &wrt)?;
        }
    }
    Ok(())
}

#[test]
fn conv2d_of_the_bias_alone() -> Result<()> {
    let mut net = Net::new();
    let (x, weight, bias) = (net.random(&[2, 3, 5, 5]), net.random(&[4, 3, 3, 3]), net.random(&[4]));
    let y = net.graph.conv2d(x, weight, Some(bias), Conv2d::default())?;
    let loss = net.weigh(y)?;
    net.check(loss, &[bias])
}

#[test]
fn linear_of_nine_groups() -> Result<()> {
    let mut net = Net::new();
    let (x, weight, bias) = (net.random(&[3, 18]), net.random(&[27, 2]), net.random(&[27]));
    let y = net.graph.linear(x, weight, Some(bias), 9)?;
    let loss = net.weigh(y)?;
    net.check(loss, &[x, weight, bias])
}

#[test]
fn activations() -> Result<()> {
    for sigmoid in [false, true] {
        let mut net = Net::new();
        let x = net.random(&[3, 7, 5]);
        let y = if sigmoid { net.graph.sigmoid(x)? } else { net.graph.relu(x)? };
        let loss = net.weigh(y)?;
        net.check(loss, &[x])?;
    }
    Ok(())
}

const PLAIN: BatchNorm = BatchNorm { eps: 1e-5, momentum: 0.1, activation: None, pool: false, descriptors: false };

#[test]
fn batch_norm_with_and_without_activation() -> Result<()> {
    for activation in [None, Some(Function::Relu), Some(Function::Sigmoid)] {
        let mut net = Net::new();
        let wrt = [net.random(&[3, 4, 3, 5]), net.random(&[4]), net.random(&[4])];
        let running = [net.state(Array::zeros(&[4])), net.state(Array::filled(&[4], 1.0))];
        let op = BatchNorm { activation, ..PLAIN };
        let y = net.graph.batch_norm(wrt[0], [wrt[1], wrt[2]], running, op)?;
        let loss = net.weigh(y)?;
        net.check(loss, &wrt)?;
    }
    Ok(())
}

/// Through the map, through the descriptors and through both; elements outside of all windows count in the mean alone.
#[test]
fn batch_norm_pooled_and_described() -> Result<()> {
    for activation in [None, Some(Function::Relu), Some(Function::Sigmoid)] {
        for pool in [false, true] {
            for used in [&[0][..], &[1], &[0, 1]] {
                for side in [[4, 6], [5, 6], [4, 7], [5, 7], [2, 3]] {
                    let mut net = Net::new();
                    let wrt = [net.random(&[3, 4, side[0], side[1]]), net.random(&[4]), net.random(&[4])];
                    let running = [net.state(Array::zeros(&[4])), net.state(Array::filled(&[4], 1.0))];
                    let op = BatchNorm { activation, pool, ..PLAIN };
                    let outputs = net.graph.batch_norm_described(wrt[0], [wrt[1], wrt[2]], running, op)?;
                    let used: Vec<_> = used.iter().map(|&i| outputs[i]).collect();
                    let loss = net.weigh_all(&used)?;
                    net.check(loss, &wrt)?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn batch_norm_in_evaluation_mode_has_no_rule() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[2, 3, 4, 4]);
    let vectors: Vec<TensorId> = (0..4).map(|_| net.random(&[3])).collect();
    let op = BatchNormEval { eps: 1e-5, activation: None, pool: false, descriptors: false };
    let y = net.graph.batch_norm_eval(x, [vectors[0], vectors[1]], [vectors[2], vectors[3]], op)?;
    let loss = net.weigh(y)?;
    let error = net.graph.gradients(loss, &[x]).expect_err("no rule").to_string();
    assert!(error.starts_with("batch_norm: expected an op with a gradient rule"), "{error}");
    Ok(())
}

#[test]
fn channel_attention_of_all_five_inputs() -> Result<()> {
    for (groups, descriptors) in [(1, 2), (3, 2), (3, 1)] {
        let (c, m) = (4 * groups, 2 * groups);
        let mut net = Net::new();
        let p = net.random(&[descriptors, 3, c]);
        let mlp = [net.random(&[m, 4]), net.random(&[m]), net.random(&[c, 2]), net.random(&[c])];
        let a = net.graph.channel_attention(p, mlp, groups)?;
        let loss = net.weigh(a)?;
        net.check(loss, &[p, mlp[0], mlp[1], mlp[2], mlp[3]])?;
    }
    Ok(())
}

#[test]
fn channel_gate_through_either_output_and_both() -> Result<()> {
    for used in [&[0][..], &[1], &[0, 1]] {
        for groups in [1, 3] {
            let mut net = Net::new();
            let (x, a) = (net.random(&[2, 6, 3, 4]), net.random(&[2, 6]));
            let outputs = net.graph.channel_gate(x, a, groups)?;
            let used: Vec<_> = used.iter().map(|&i| outputs[i]).collect();
            let loss = net.weigh_all(&used)?;
            net.check(loss, &[x, a])?;
        }
    }
    Ok(())
}

#[test]
fn spatial_gate_through_either_output_and_both() -> Result<()> {
    for used in [&[0][..], &[1], &[0, 1]] {
        for (groups, kernel) in [(1, 7), (3, 3), (6, 1)] {
            let mut net = Net::new();
            let maps = [net.random(&[2, 6, 3, 4]), net.random(&[2, 2 * groups, 3, 4])];
            let parameters = [net.random(&[groups, 2, kernel, kernel]), net.random(&[groups]), net.random(&[groups])];
            let running = [net.state(Array::zeros(&[groups])), net.state(Array::filled(&[groups], 1.0))];
            let op = SpatialGate { groups, eps: 1e-5, momentum: 0.01 };
            let outputs = net.graph.spatial_gate(maps, parameters, running, op)?;
            let used_outputs: Vec<_> = used.iter().map(|&i| outputs[i]).collect();
            let loss = net.weigh_all(&used_outputs)?;
            let mut wrt = parameters.to_vec();
            wrt.push(maps[1]);
            // Through the attention alone the loss does not depend on x but by zeros.
            wrt.push(maps[0]);
            net.check(loss, &wrt)?;
        }
    }
    Ok(())
}

#[test]
fn spatial_gate_in_evaluation_mode_has_no_rule() -> Result<()> {
    let mut net = Net::new();
    let maps = [net.random(&[2, 6, 3, 4]), net.random(&[2, 4, 3, 4])];
    let parameters = [net.random(&[2, 2, 3, 3]), net.random(&[2]), net.random(&[2])];
    let running = [net.random(&[2]), net.random(&[2])];
    let [y, _] = net.graph.spatial_gate_eval(maps, parameters, running, SpatialGateEval { groups: 2, eps: 1e-5 })?;
    let loss = net.weigh(y)?;
    let error = net.graph.gradients(loss, &[maps[0]]).expect_err("no rule").to_string();
    assert!(error.starts_with("spatial_gate: expected an op with a gradient rule"), "{error}");
    Ok(())
}

#[test]
fn concat_along_each_axis() -> Result<()> {
    for axis in 0..4 {
        let mut net = Net::new();
        let part = |net: &mut Net, size| {
            let mut dims = [2, 3, 2, 3];
            dims[axis] = size;
            net.random(&dims)
        };
        let parts = [part(&mut net, 1), part(&mut net, 3), part(&mut net, 2)];
        let y = net.graph.concat(&parts, axis)?;
        let loss = net.weigh(y)?;
        net.check(loss, &[parts[0], parts[2]])?;
    }
    Ok(())
}

#[test]
fn slice_along_each_axis() -> Result<()> {
    for axis in 0..4 {
        for (start, length) in [(0, 1), (1, 2), (2, 1), (0, 3)] {
            let mut net = Net::new();
            let x = net.random(&[3, 3, 3, 3]);
            let y = net.graph.slice(x, axis, start, length)?;
            let loss = net.weigh(y)?;
            net.check(loss, &[x])?;
        }
    }
    Ok(())
}

#[test]
fn cross_entropy_of_the_logits() -> Result<()> {
    let one_hot = Array::new(&[3, 4], vec![0., 0., 1., 0., 1., 0., 0., 0., 0., 0., 0., 1.]);
    let soft = Array::uniform("soft targets", &[3, 4], 0.0, 0.5);
    let own = Array::uniform("targets of their own", &[3, 5 * 4], 0.0, 0.5);
    for targets in [one_hot, soft, own] {
        let mut net = Net::new();
        let z = net.random(&[3, 5 * 4]);
        let targets = net.input(targets);
        let weights = net.input(Array::new(&[5], vec![1.0, 0.0, 0.5, 2.0, 1.0]));
        let [loss, ..] = net.graph.cross_entropy(z, targets, weights)?;
        let loss = net.graph.weighted_sum(&[(loss, 1.5)])?;
        net.check(loss, &[z])?;
    }
    Ok(())
}

#[test]
fn mixture_cross_entropy_of_the_logits() -> Result<()> {
    let one_hot = Array::new(&[3, 4], vec![0., 0., 1., 0., 1., 0., 0., 0., 0., 0., 0., 1.]);
    let soft = Array::uniform("soft targets", &[3, 4], 0.0, 0.5);
    for targets in [one_hot, soft] {
        for weights in [vec![1.0, 0.0, 0.5, 2.0, 1.0], vec![0.0, 0.0, 0.0, 0.7, 0.0], vec![0.0; 5]] {
            let mut net = Net::new();
            let z = net.random(&[3, 5 * 4]);
            let targets = net.input(targets.clone());
            let weights = net.input(Array::new(&[5], weights));
            let loss = net.graph.mixture_cross_entropy(z, targets, weights)?;
            let loss = net.graph.weighted_sum(&[(loss, 1.5)])?;
            net.check(loss, &[z])?;
        }
    }
    Ok(())
}

fn determinant(s: Array, objective: Objective) -> Result<()> {
    let mut net = Net::new();
    let s = net.input(s);
    let d = net.graph.determinant(s, objective)?;
    let loss = net.graph.weighted_sum(&[(d, -0.7)])?;
    net.check(loss, &[s])
}

#[test]
fn determinant_of_regular_matrices() -> Result<()> {
    for learners in [1, 2, 3, 9, 16] {
        determinant(Array::random(&format!("S {learners}"), &[learners, learners]), Objective::Det)?;
    }
    Ok(())
}

#[test]
fn determinant_of_singular_matrices() -> Result<()> {
    // Two equal rows and columns; rank 1; rank 0.
    let mut twins = Array::random("twins", &[5, 5]);
    for k in 0..5 {
        twins.data[3 * 5 + k] = twins.data[5 + k];
    }
    for k in 0..5 {
        twins.data[k * 5 + 3] = twins.data[k * 5 + 1];
    }
    determinant(twins, Objective::Det)?;
    determinant(Array::filled(&[2, 2], 1.0), Objective::Det)?;
    determinant(Array::filled(&[4, 4], 1.0), Objective::Det)?;
    determinant(Array::zeros(&[3, 3]), Objective::Det)
}

#[test]
fn logdet_above_and_below_eps() -> Result<()> {
    let mut s = Array::uniform("S", &[4, 4], 0.0, 0.3);
    for i in 0..4 {
        s.data[i * 5] = 1.0;
    }
    determinant(s.clone(), Objective::LogDet { eps: 1e-6 })?;
    determinant(s, Objective::LogDet { eps: 2.0 })
}

#[test]
fn logdet_shifted() -> Result<()> {
    for learners in [1, 2, 5] {
        let mut s = Array::uniform(&format!("S {learners}"), &[learners, learners], 0.0, 0.3);
        (0..learners).for_each(|i| s.data[i * (learners + 1)] = 1.0);
        determinant(s, Objective::ShiftedLogDet { eps: 0.01 })?;
    }
    determinant(Array::filled(&[4, 4], 1.0), Objective::ShiftedLogDet { eps: 0.1 })?;
    // Below its least value.
    determinant(Array::new(&[2, 2], vec![0.2, 1.0, 1.0, 0.2]), Objective::ShiftedLogDet { eps: 0.25 })
}

#[test]
fn sum_of_similarities() -> Result<()> {
    determinant(Array::random("S", &[5, 5]), Objective::Sum)?;
    determinant(Array::random("S", &[1, 1]), Objective::Sum)
}

#[test]
fn similarity_of_the_maps() -> Result<()> {
    for learners in [1, 2, 5] {
        for zero_diagonal in [false, true] {
            let mut net = Net::new();
            let maps = net.random(&[3, learners * 4]);
            let gamma = net.input(Array::filled(&[1], 0.25));
            let s = net.graph.similarity(maps, gamma, Similarity { learners, zero_diagonal })?;
            let loss = net.weigh(s)?;
            net.check(loss, &[maps])?;
        }
    }
    Ok(())
}

#[test]
fn unit_length_of_the_maps() -> Result<()> {
    for (learners, eps) in [(1, 0.5), (4, 1e-4)] {
        let mut net = Net::new();
        let maps = net.random(&[3, 4 * 3, 2, 1]);
        let y = net.graph.unit_length(maps, UnitLength { learners, eps })?;
        let loss = net.weigh(y)?;
        net.check(loss, &[maps])?;
    }
    Ok(())
}

#[test]
fn diversity_is_similarity_then_determinant() -> Result<()> {
    let all = [Objective::Det, Objective::LogDet { eps: 1e-9 }, Objective::ShiftedLogDet { eps: 0.05 }, Objective::Sum];
    for objective in all {
        let mut net = Net::new();
        let maps = net.random(&[2, 4 * 3, 2, 1]);
        let gamma = net.input(Array::filled(&[1], 0.5));
        let s = net.graph.similarity(maps, gamma, Similarity { learners: 4, zero_diagonal: false })?;
        let loss = net.graph.determinant(s, objective)?;
        net.check(loss, &[maps])?;
    }
    Ok(())
}

#[test]
fn a_weight_of_diversity_scales_its_gradient() -> Result<()> {
    for (objective, weight) in [(Objective::Det, 0.3), (Objective::Sum, 2.5), (Objective::Det, 0.0)] {
        let mut net = Net::new();
        let maps = net.random(&[3, 2 * 5]);
        let loss = net.weigh(maps)?;
        let spec = Diversity { objective, weighted: true, ..Diversity::PAPER };
        let terms = ["one", "other"].map(|kind| term(&mut net.graph, kind, maps, 2, &spec));
        let terms = terms.into_iter().collect::<Result<Vec<_>>>()?;
        for (term, weight) in terms.iter().zip([weight, 1.0]) {
            net.give(term.gamma, Array::filled(&[1], 0.25));
            net.give(term.weight.expect("a weighted term"), Array::filled(&[1], weight));
        }
        let loss = diversified(&mut net.graph, loss, &terms, &spec)?;
        net.check(loss, &[maps])?;
    }
    Ok(())
}

#[test]
fn global_pool_of_each_kind() -> Result<()> {
    for pooling in [Pooling::Avg, Pooling::Max, Pooling::AvgMax] {
        let mut net = Net::new();
        let x = net.random(&[2, 3, 5, 4]);
        let y = net.graph.global_pool(x, pooling)?;
        let loss = net.weigh(y)?;
        net.check(loss, &[x])?;
    }
    Ok(())
}

#[test]
fn pool2d_of_each_kind() -> Result<()> {
    for kind in [PoolKind::Max, PoolKind::Avg] {
        for [size, stride, padding] in [[2, 2, 0], [3, 2, 1], [3, 1, 1], [2, 3, 0]] {
            let mut net = Net::new();
            let x = net.random(&[2, 3, 7, 6]);
            let y = net.graph.pool2d(x, Pool2d { kind, size, stride, padding })?;
            let loss = net.weigh(y)?;
            net.check(loss, &[x])?;
        }
    }
    Ok(())
}

#[test]
fn multiply_of_both_factors() -> Result<()> {
    let mut net = Net::new();
    let (a, b) = (net.random(&[3, 5]), net.random(&[3, 5]));
    let y = net.graph.multiply(a, b)?;
    let loss = net.weigh(y)?;
    net.check(loss, &[a, b])
}

#[test]
fn multiply_by_a_number() -> Result<()> {
    let mut net = Net::new();
    let (a, b) = (net.random(&[3, 5]), net.random(&[1]));
    let y = net.graph.multiply(a, b)?;
    let loss = net.weigh(y)?;
    let error = net.graph.gradients(loss, &[a, b]).expect_err("no rule for a number").to_string();
    assert!(error.starts_with("multiply: expected a factor of the full shape"), "{error}");
    net.check(loss, &[a])
}

#[test]
fn weighted_sum_of_one_to_four() -> Result<()> {
    for count in 1..=4 {
        let mut net = Net::new();
        let weights = [1.0, -0.5, 2.25, 0.0];
        let inputs: Vec<_> = (0..count).map(|_| net.random(&[2, 7])).collect();
        let terms: Vec<_> = inputs.iter().copied().zip(weights).collect();
        let y = net.graph.weighted_sum(&terms)?;
        let loss = net.weigh(y)?;
        net.check(loss, &inputs)?;
    }
    Ok(())
}

#[test]
fn the_end_of_a_residual_block() -> Result<()> {
    let mut net = Net::new();
    let inputs = [net.random(&[2, 3, 4, 5]), net.random(&[2, 3, 4, 5])];
    let y = net.graph.add_relu(inputs[0], inputs[1])?;
    let loss = net.weigh(y)?;
    net.check(loss, &inputs)?;
    // Of one tensor twice.
    let mut net = Net::new();
    let x = net.random(&[2, 3, 4, 5]);
    let y = net.graph.add_relu(x, x)?;
    let loss = net.weigh(y)?;
    net.check(loss, &[x])
}

#[test]
fn sums_and_copies_along_each_axis() -> Result<()> {
    for axis in 0..3 {
        let mut net = Net::new();
        let x = net.random(&[2, 3, 5]);
        let (sum, mean) = (net.graph.axis_sum(x, axis, -1.5)?, net.graph.axis_mean(x, axis)?);
        let copies = net.graph.axis_repeat(x, axis, 3)?;
        let loss = net.weigh_all(&[sum, mean, copies])?;
        net.check(loss, &[x])?;
    }
    Ok(())
}

#[test]
fn patches_cut_and_joined() -> Result<()> {
    let patches = Patches { rows: 2, columns: 3 };
    let mut net = Net::new();
    let (x, stacked) = (net.random(&[2, 2, 4, 9]), net.random(&[2, 12, 3, 2]));
    let cut = net.graph.patches(x, patches)?;
    let joined = net.graph.emit(PatchesJoin { patches }.into(), &[stacked])?[0];
    let loss = net.weigh_all(&[cut, joined])?;
    net.check(loss, &[x, stacked])
}

#[test]
fn a_view_of_the_input() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[2, 12]);
    let view = net.graph.reshape(x, [2, 3, 2, 2].into())?;
    let y = net.graph.pool2d(view, Pool2d::MAX2)?;
    let loss = net.weigh(y)?;
    net.check(loss, &[x, view])
}
