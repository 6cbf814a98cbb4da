//! Training images that stay on the device: whether they do, and how a graph takes a batch of them.

use std::sync::Arc;

use super::choices::Resident;
use crate::{
    Error, Result,
    data::{ColourOrder, Pool, Sample, Transform},
    exec::Executor,
    graph::Graph,
    ops::{Augment, TensorId, augment::RECORD},
};

/// Bytes that `auto` takes of a device's memory at most: how much there is, WebGPU does not say.
const AUTO_MOST: u64 = 2 << 30;

/// Where a training's images are.
#[derive(Debug, Clone, PartialEq)]
pub struct Residency {
    /// The images where they stay on the device.
    pub pool: Option<Arc<Pool>>,
    /// One sentence for logs and reports.
    pub reason: String,
}

impl Residency {
    /// Follows the user, or decides: a GPU takes the images where they fit.
    ///
    /// # Errors
    /// [`Error::Memory`] where they are asked for and do not fit.
    pub fn choose(asked: Resident, executor: &dyn Executor, samples: &[Sample]) -> Result<Self> {
        let host =
            |reason: &str| Ok(Self { pool: None, reason: format!("each batch comes from the host, because {reason}") });
        let device = executor.device();
        match asked {
            Resident::Off => return host("asked for with --resident off"),
            Resident::Auto if device.kind == "cpu" => return host("the device is the processor itself"),
            Resident::Auto if device.software => {
                return host(&format!("{} computes on the processor, where the loader is faster", device.name));
            }
            Resident::Auto | Resident::On => {}
        }
        let why = match asked {
            Resident::On => "asked for with --resident on",
            _ => "they fit",
        };
        match Pool::new(samples, executor.largest_tensor()) {
            Ok(pool) if asked == Resident::Auto && pool.bytes() > AUTO_MOST => {
                host(&format!("{} would take {} MiB there; --resident on insists", device.name, pool.bytes() >> 20))
            }
            Ok(pool) => {
                let (images, bytes) = (pool.images(), pool.bytes() as f64 / f64::from(1 << 20));
                let reason = format!("the {images} images stay on the device ({bytes:.1} MiB), because {why}");
                Ok(Self { pool: Some(Arc::new(pool)), reason })
            }
            Err(reason) if asked == Resident::Auto => host(&reason),
            Err(reason) => Err(Error::Usage {
                setting: "--resident".into(),
                expected: format!("on only where the images fit {}", device.name),
                found: reason,
                hint: "use --resident off, or --size and smaller images".into(),
            }),
        }
    }
}

/// Adds the images of a pool to a graph: N of them, their records, and the tensors of the pool.
///
/// # Errors
/// [`Error::Shape`] where the transform has no pixels.
pub fn augmented(
    graph: &mut Graph,
    n: usize,
    pool: &Pool,
    transform: &Transform,
) -> Result<(TensorId, TensorId, Vec<TensorId>)> {
    let records = graph.input("records", [n, RECORD]);
    let tensors = pool.lengths().iter().enumerate();
    let tensors: Vec<_> = tensors.map(|(range, &length)| graph.input(format!("pool{range}"), [length])).collect();
    let (mean, std) = transform.normalise.map_or(([0.0; 3], [1.0; 3]), |normalise| (normalise.mean, normalise.std));
    let op = Augment { size: transform.size, mean, std, bgr: transform.order == ColourOrder::Bgr };
    graph.set_scope("images");
    let images = graph.augment(records, &tensors, op)?;
    Ok((images, records, tensors))
}
