//! moue on a web page: the engine behind the page, and its JavaScript interface.
//!
//! The engine also compiles natively, where its tests run; only [`js`] needs a browser or Node.

mod detector;
mod engine;
mod fault;
#[cfg(target_arch = "wasm32")]
pub mod js;

pub use detector::{Detector, Face};
pub use engine::{Crop, Engine};
pub use fault::Fault;
