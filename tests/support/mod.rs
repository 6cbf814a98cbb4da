//! What the tests share: plain tensors, reference loops, comparators, devices.

#![allow(dead_code, reason = "each test binary uses a part")]

#[cfg(target_family = "wasm")]
pub(crate) mod again;
pub(crate) mod case;
pub(crate) mod compare;
pub(crate) mod data;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod device;
pub(crate) mod graphs;
pub(crate) mod reference;
