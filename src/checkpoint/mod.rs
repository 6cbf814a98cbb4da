//! Model files: safetensors that explain themselves, and the checkpoints of a training.
//!
//! A model file holds tensors under PyTorch's names and shapes (`branches.0.conv1.weight`, OIHW, f32) and, in its metadata,
//! everything needed to use them: the key `moue` is a [`ModelMeta`] as JSON, `architecture` and `classes` repeat those
//! two for other tools. A checkpoint (`last.safetensors`) is a model file with the optimiser's momenta (`<name>.momentum`)
//! and, under `moue-state`, the state of the training loop. The same content gives the same bytes.

#[cfg(feature = "cli")]
mod atomic;
mod meta;
mod model;
mod stream;
mod web;

#[cfg(feature = "cli")]
pub use atomic::{bytes_hash, file_hash, write_atomic};
pub use meta::{ColourOrder, DiversityMeta, FORMAT, ModelMeta, ModelResult, Normalisation, TrainingData};
pub use model::{Model, TrainingState, model_bytes, state_bytes};
#[cfg(feature = "cli")]
pub use model::{load_model, load_state, save_model, save_state};
pub use stream::{ModelStream, Progress, StreamError};
pub use web::write_streamed;
