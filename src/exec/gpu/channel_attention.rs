//! The attention vector of CBAM's channel gate.

use super::{
    lower::Lower,
    partial_sums,
    shader::{Kernel, params},
};
use crate::{Result, graph::Node};

params!(ChannelAttentionParams for "channel_attention" {
    descriptors: u32, images: u32, groups: u32, channels: u32, units: u32, lanes: u32,
});
params!(ChannelAttentionGradParams for "channel_attention_grad" {
    descriptors: u32, images: u32, groups: u32, channels: u32, units: u32, lanes: u32, share: u32,
    block: u32, stride: u32,
});

/// How many invocations share a hidden unit of `together` that a workgroup computes.
fn lanes(together: usize) -> usize {
    256 / together.next_power_of_two().min(256)
}

/// Workgroups that the gradient is spread over, where there are images enough.
const ENOUGH: usize = 128;

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, groups: usize) -> Result<()> {
    let &[d, n, c] = cx.shape(node.inputs[0]).dims() else { unreachable!("invariant: the contract's shapes") };
    let units = cx.elements(node.inputs[2]) / groups;
    let params = ChannelAttentionParams {
        descriptors: d as u32,
        images: n as u32,
        groups: groups as u32,
        channels: (c / groups) as u32,
        units: units as u32,
        lanes: lanes(d * units) as u32,
    };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.extend(node.outputs.iter().map(|&id| cx.write(id)));
    cx.dispatch(Kernel::new("channel_attention", "main"), params, operands, [groups as u32, n as u32, 1])
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, groups: usize) -> Result<()> {
    let &[d, n, c] = cx.shape(node.inputs[3]).dims() else { unreachable!("invariant: the contract's shapes") };
    let weights = cx.elements(node.inputs[4]);
    let units = cx.shape(node.inputs[4]).dims()[0];
    let most = (partial_sums::MOST_OF_AN_OP / (2 * weights)).max(1);
    let shares = ENOUGH.div_ceil(groups).min(n).min(most);
    let share = n.div_ceil(shares);
    let shares = n.div_ceil(share);
    let block = (d * n * units).next_multiple_of(64);
    let sizes = [weights, units, weights, c];
    let stride: usize = sizes.iter().sum();
    let sums = cx.partial(block + shares * stride)?;
    let params = ChannelAttentionGradParams {
        descriptors: d as u32,
        images: n as u32,
        groups: groups as u32,
        channels: (c / groups) as u32,
        units: (units / groups) as u32,
        lanes: lanes(units / groups) as u32,
        share: share as u32,
        block: block as u32,
        stride: stride as u32,
    };
    let mut operands: Vec<_> = node.inputs.iter().map(|&id| cx.read(id)).collect();
    operands.extend([cx.write(node.outputs[0]), partial_sums::write(sums.clone())]);
    let kernel = Kernel::new("channel_attention_grad", "main");
    cx.dispatch(kernel, params, operands, [groups as u32, shares as u32, 1])?;
    let mut at = sums.start + block;
    for (&gradient, size) in node.outputs[1..5].iter().zip(sizes) {
        if cx.is_used(gradient) {
            cx.sum_later(gradient, at, shares, stride);
        }
        at += size;
    }
    if cx.is_used(node.outputs[5]) {
        cx.sum_later(node.outputs[5], sums.start, 1, 0);
    }
    Ok(())
}
