//! Model files: safetensors that explain themselves, and the checkpoints of a training.
//!
//! A model file holds tensors under PyTorch's names and shapes (`branches.0.conv1.weight`, OIHW, f32) and, in its metadata,
//! everything needed to use them: the key `moue` is a [`ModelMeta`] as JSON, `architecture` and `classes` repeat those
//! two for other tools. A checkpoint (`last.safetensors`) is a model file with the optimiser's momenta (`<name>.momentum`)
//! and, under `moue_state`, the state of the training loop. The same content gives the same bytes.
//!
//! [`Weights`] are the tensors of any such file, and of PyTorch's checkpoints, under their own names; [`gather`] brings
//! them to the published names, [`Family`] says whose they are, [`fit()`] puts them into a network.

#[cfg(feature = "cli")]
mod atomic;
mod element;
#[cfg(feature = "cli")]
mod fit;
mod meta;
mod model;
#[cfg(feature = "cli")]
mod names;
#[cfg(feature = "cli")]
mod onnx;
#[cfg(feature = "cli")]
mod recognise;
mod stream;
#[cfg(feature = "cli")]
mod torch;
mod web;
#[cfg(feature = "cli")]
mod weights;

#[cfg(feature = "cli")]
pub use atomic::{bytes_hash, discard_partial_files, file_hash, write_atomic};
#[cfg(feature = "cli")]
pub use fit::{Fit, Want, fit};
pub use meta::{ColourOrder, DiversityMeta, FORMAT, ModelMeta, ModelResult, Normalisation, TrainingData};
pub use model::{Model, TrainingState, half_bytes, model_bytes, state_bytes, torch_bytes};
#[cfg(feature = "cli")]
pub use model::{load_model, load_state, save_model, save_state, with_meta};
#[cfg(feature = "cli")]
pub use names::{StateDict, gather};
#[cfg(feature = "cli")]
pub use onnx::{Named, onnx_bytes};
#[cfg(feature = "cli")]
pub use recognise::{Family, MSCELEB_CLASSES, is_base, is_head};
pub use stream::{ModelStream, Progress, StreamError};
pub use web::write_streamed;
#[cfg(feature = "cli")]
pub use weights::Weights;
