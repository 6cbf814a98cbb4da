//! Data sets of faces with expressions: files or a renderer → splits of labelled u8 images → batches of f32.
//!
//! [`Spec`] says where the images come from, [`Spec::load`] reads them all into memory, [`Loader`] turns them
//! into augmented batches on all cores, ahead of the device. Without the feature `cli` there are only images in
//! memory and the way from one to a network's input.

mod augment;
mod options;
mod picture;
mod transform;
mod wear;

#[cfg(feature = "cli")]
mod affectnet;
#[cfg(feature = "cli")]
mod change;
#[cfg(feature = "cli")]
mod check;
#[cfg(feature = "cli")]
mod class_map;
#[cfg(feature = "cli")]
mod copies;
#[cfg(feature = "cli")]
mod dataset;
#[cfg(feature = "cli")]
mod decode;
#[cfg(feature = "cli")]
mod fer2013;
#[cfg(feature = "cli")]
mod ferplus;
#[cfg(feature = "cli")]
mod files;
#[cfg(feature = "cli")]
mod folder;
#[cfg(feature = "cli")]
mod groups;
#[cfg(feature = "cli")]
mod loader;
#[cfg(feature = "cli")]
mod npy;
#[cfg(feature = "cli")]
mod pool;
#[cfg(feature = "cli")]
mod prepared;
#[cfg(feature = "cli")]
mod prior;
#[cfg(feature = "cli")]
mod rafdb;
#[cfg(feature = "cli")]
mod spec;
#[cfg(feature = "cli")]
pub mod synthetic;
#[cfg(feature = "cli")]
mod unused;

pub use crate::checkpoint::{ColourOrder, Normalisation};
pub use augment::Augment;
pub use picture::Image;
pub use transform::Transform;

#[cfg(feature = "cli")]
pub use self::{
    affectnet::prepare_affectnet,
    change::Change,
    check::{Report, SplitReport},
    class_map::{ClassMap, Mapped, Mapping, MappingReport, expression},
    copies::{Contradiction, CopyIndex, LEAST_CORRELATION, Labelled, Match, NearCopy},
    dataset::{Dataset, Dropped, Sample, Split},
    decode::{MAX_PIXELS, limit_pixels},
    ferplus::FerPlusVotes,
    loader::{Batch, Loader, LoaderOptions, Targets},
    pool::Pool,
    prepared::{PER_SHARD, Prepared},
    prior::prior,
    rafdb::Faces,
    spec::{SPLITS, Spec},
    synthetic::SyntheticSpec,
    unused::Unused,
};
#[cfg(feature = "cli")]
pub(crate) use dataset::by_class;

/// The eight expressions in the order that moue uses everywhere (AffectNet's).
pub const EXPRESSIONS: [&str; 8] =
    ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"];
