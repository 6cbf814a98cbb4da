//! The cases, one file an op.

mod activation;
mod augment;
mod axis_sum;
mod batch_norm;
mod channel_attention;
mod channel_gate;
#[cfg(not(target_family = "wasm"))]
mod comparator;
mod concat;
mod conv2d;
mod cross_entropy;
mod determinant;
mod global_pool;
#[cfg(not(target_family = "wasm"))]
mod mixed;
mod mixture_cross_entropy;
mod multiply;
mod patches;
mod pool2d;
mod programs;
mod running_sums;
mod sgd;
mod similarity;
mod spatial_gate;
mod unit_length;
mod weighted_sum;

use super::support::case::{Case, Cases};

#[cfg(not(target_family = "wasm"))]
pub(crate) use comparator::trials as comparator;
#[cfg(not(target_family = "wasm"))]
pub(crate) use mixed::all as mixed;

/// Adds the cases of an op.
type Add = fn(&mut Cases);

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let ops: [(&'static str, Add); 22] = [
        ("activation", activation::cases),
        ("augment", augment::cases),
        ("axis_sum", axis_sum::cases),
        ("batch_norm", batch_norm::cases),
        ("channel_attention", channel_attention::cases),
        ("channel_gate", channel_gate::cases),
        ("concat", concat::cases),
        ("conv2d", conv2d::cases),
        ("cross_entropy", cross_entropy::cases),
        ("determinant", determinant::cases),
        ("global_pool", global_pool::cases),
        ("mixture_cross_entropy", mixture_cross_entropy::cases),
        ("multiply", multiply::cases),
        ("patches", patches::cases),
        ("pool2d", pool2d::cases),
        ("programs", programs::cases),
        ("running_sums", running_sums::cases),
        ("sgd", sgd::cases),
        ("similarity", similarity::cases),
        ("spatial_gate", spatial_gate::cases),
        ("unit_length", unit_length::cases),
        ("weighted_sum", weighted_sum::cases),
    ];
    let all = ops.into_iter().flat_map(|(stem, add)| {
        let mut cases = Cases::new(stem);
        add(&mut cases);
        cases.list
    });
    all.collect()
}
