//! Every op on every device against its reference loop: one trial for each case and device, or, built for WebAssembly, a
//! list that a page goes through.
//!
//! `MOUE_REQUIRE_ADAPTERS=n` fails where fewer than n GPU adapters are found.

#[cfg(target_family = "wasm")]
#[path = "ops/browser.rs"]
mod browser;
#[path = "ops/mod.rs"]
mod cases;
#[cfg(not(target_family = "wasm"))]
#[path = "ops/native.rs"]
mod native;
mod support;

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    native::main()
}

/// The page calls [`browser::Cases`].
#[cfg(target_family = "wasm")]
fn main() {}
