//! Tensors that several ops use, in every order that the accumulation of gradients distinguishes.

use moue::{
    Result,
    ops::{BatchNorm, Conv2d, Emit, Function, Objective, Pooling, Similarity, SpatialGate},
};

use super::differences::Net;
use crate::support::data::Array;

#[test]
fn a_tensor_times_itself() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[3, 5]);
    let y = net.graph.multiply(x, x)?;
    let loss = net.weigh(y)?;
    net.check(loss, &[x])
}

#[test]
fn a_tensor_joined_to_itself() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[2, 3]);
    let y = net.graph.concat(&[x, x, x], 1)?;
    let loss = net.weigh(y)?;
    net.check(loss, &[x])
}

#[test]
fn three_consumers_add_up() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[2, 3, 4, 4]);
    let consumers = [net.graph.relu(x)?, net.graph.sigmoid(x)?, net.graph.slice(x, 1, 1, 2)?];
    let loss = net.weigh_all(&consumers)?;
    net.check(loss, &[x])
}

#[test]
fn two_views_of_one_tensor() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[2, 12]);
    let h = net.graph.sigmoid(x)?;
    let first = net.graph.reshape(h, [2, 3, 2, 2].into())?;
    let second = net.graph.reshape(first, [4, 6].into())?;
    let pooled = net.graph.global_pool(first, Pooling::AvgMax)?;
    let activated = net.graph.relu(second)?;
    let loss = net.weigh_all(&[pooled, activated, h])?;
    net.check(loss, &[x])
}

#[test]
fn global_pool_after_other_consumers() -> Result<()> {
    for pooling in [Pooling::Avg, Pooling::Max, Pooling::AvgMax] {
        let mut net = Net::new();
        let x = net.random(&[2, 3, 4, 5]);
        let h = net.graph.sigmoid(x)?;
        // The pool's rule runs last, on top of what the others left; then with nothing there; then in between.
        let pooled = net.graph.global_pool(h, pooling)?;
        let other = net.graph.multiply(h, h)?;
        let loss = net.weigh_all(&[pooled, other])?;
        net.check(loss, &[x])?;

        let mut net = Net::new();
        let x = net.random(&[2, 3, 4, 5]);
        let h = net.graph.sigmoid(x)?;
        let other = net.graph.multiply(h, h)?;
        let pooled = net.graph.global_pool(h, pooling)?;
        let loss = net.weigh_all(&[pooled, other])?;
        net.check(loss, &[x])?;

        let mut net = Net::new();
        let x = net.random(&[2, 3, 4, 5]);
        let first = net.graph.relu(x)?;
        let view = net.graph.reshape(x, [2, 3, 20, 1].into())?;
        let pooled = net.graph.global_pool(view, pooling)?;
        let again = net.graph.global_pool(x, pooling)?;
        let last = net.graph.sigmoid(x)?;
        let loss = net.weigh_all(&[last, again, pooled, first])?;
        net.check(loss, &[x])?;
    }
    Ok(())
}

#[test]
fn a_residual_block_uses_a_parameter_twice() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[2, 3, 5, 5]);
    let weight = net.parameter(&[3, 3, 3, 3]);
    let op = Conv2d { padding: 1, ..Conv2d::default() };
    let h = net.graph.conv2d(x, weight, None, op)?;
    let h = net.graph.sigmoid(h)?;
    let h = net.graph.conv2d(h, weight, None, op)?;
    let y = net.graph.add_tensors(h, x)?;
    let loss = net.weigh(y)?;
    net.check(loss, &[x, weight])
}

#[test]
fn branches_share_a_base() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[2, 2, 6, 6]);
    let base = net.parameter(&[4, 2, 3, 3]);
    let h = net.graph.conv2d(x, base, None, Conv2d::default())?;
    let (gamma, beta) = (net.parameter(&[4]), net.parameter(&[4]));
    let running = [net.state(Array::zeros(&[4])), net.state(Array::filled(&[4], 1.0))];
    let activation = Some(Function::Relu);
    let op = BatchNorm { eps: 1e-5, momentum: 0.1, activation, pool: false, descriptors: false };
    let h = net.graph.batch_norm(h, [gamma, beta], running, op)?;
    let mut wrt = vec![x, base, gamma, beta];
    let mut branches = Vec::new();
    for _ in 0..3 {
        let weight = net.parameter(&[2, 4, 1, 1]);
        wrt.push(weight);
        let y = net.graph.conv2d(h, weight, None, Conv2d::default())?;
        branches.push(net.graph.sigmoid(y)?);
    }
    let stacked = net.graph.concat(&branches, 1)?;
    let scale = net.input(Array::filled(&[1], 0.125));
    let s = net.graph.similarity(stacked, scale, Similarity { learners: 3, zero_diagonal: false })?;
    let diversity = net.graph.determinant(s, Objective::Det)?;
    let pooled = net.graph.global_pool(branches[1], Pooling::Avg)?;
    let other = net.weigh(pooled)?;
    let loss = net.graph.weighted_sum(&[(diversity, -0.5), (other, 1.0)])?;
    net.check(loss, &wrt)
}

/// CBAM: the map is pooled, gated by channels, pooled again, gated in space; all gates share the map.
#[test]
fn attention_block() -> Result<()> {
    let groups = 2;
    let mut net = Net::new();
    let x = net.random(&[2, 8, 4, 5]);
    let mlp = [net.parameter(&[4, 4]), net.parameter(&[4]), net.parameter(&[8, 2]), net.parameter(&[8])];
    let descriptors = net.graph.global_pool(x, Pooling::AvgMax)?;
    let channels = net.graph.channel_attention(descriptors, mlp, groups)?;
    let [gated, pooled] = net.graph.channel_gate(x, channels, groups)?;
    let parameters = [net.parameter(&[2, 2, 3, 3]), net.parameter(&[2]), net.parameter(&[2])];
    let running = [net.state(Array::zeros(&[2])), net.state(Array::filled(&[2], 1.0))];
    let op = SpatialGate { groups, eps: 1e-5, momentum: 0.01 };
    let [y, map] = net.graph.spatial_gate([gated, pooled], parameters, running, op)?;
    let y = net.graph.add_tensors(y, x)?;
    let loss = net.weigh_all(&[y, map, channels])?;
    net.check(loss, &[&[x], &mlp[..], &parameters[..]].concat())
}

#[test]
fn the_gradient_of_an_inner_tensor_is_that_of_an_input_in_its_place() -> Result<()> {
    let build = |net: &mut Net, h| {
        let view = net.graph.reshape(h, [3, 4, 1, 1].into())?;
        let pooled = net.graph.global_pool(view, Pooling::AvgMax)?;
        let y = net.graph.multiply(h, h)?;
        net.weigh_all(&[y, pooled])
    };
    let mut net = Net::new();
    let x = net.random(&[3, 4]);
    let h = net.graph.sigmoid(x)?;
    let loss = build(&mut net, h)?;
    let gradient = net.graph.gradients(loss, &[h])?[0];
    let inner = net.values_of(&[h, gradient])?;

    let mut net = Net::new();
    let h = net.input(Array::new(&[3, 4], inner[0].clone()));
    let loss = build(&mut net, h)?;
    let gradient = net.graph.gradients(loss, &[h])?[0];
    assert_eq!(net.values_of(&[gradient])?[0], inner[1]);
    Ok(())
}

#[test]
fn a_loss_that_does_not_depend_on_a_tensor_is_refused() -> Result<()> {
    let mut net = Net::new();
    let (x, other) = (net.random(&[3]), net.random(&[3]));
    let loss = net.weigh(x)?;
    let error = net.graph.gradients(loss, &[x, other]).expect_err("no path").to_string();
    assert!(error.starts_with("gradients: expected a loss that depends on it, found input1"), "{error}");
    Ok(())
}

#[test]
fn a_loss_of_several_numbers_is_refused() -> Result<()> {
    let mut net = Net::new();
    let x = net.random(&[3]);
    let error = net.graph.gradients(x, &[x]).expect_err("three numbers").to_string();
    assert!(error.starts_with("gradients: expected a loss of one number, found [3]"), "{error}");
    Ok(())
}
