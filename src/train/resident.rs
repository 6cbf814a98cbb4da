//! Training images that stay on the device: whether they do, and how a graph takes a batch of them.

use std::sync::Arc;

use super::settings::words::Resident;
use crate::{
    Error, Result,
    data::{ColourOrder, Pool, Sample, Transform},
    exec::{DeviceInfo, Executor},
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
    /// [`Error::Usage`] where they are asked for and do not fit.
    pub fn choose(asked: Resident, executor: &dyn Executor, samples: &[Sample]) -> Result<Self> {
        Self::decide(asked, executor.device(), executor.largest_tensor(), samples)
    }

    /// They are not, for a reason.
    #[must_use]
    pub fn host(reason: &str) -> Self {
        Self { pool: None, reason: format!("each batch comes from the host, because {reason}") }
    }

    fn decide(asked: Resident, device: &DeviceInfo, most: usize, samples: &[Sample]) -> Result<Self> {
        let host = |reason: &str| Ok(Self::host(reason));
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
        match Pool::new(samples, most) {
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
                hint: "use --resident off, or --image-size and smaller images".into(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Image;

    fn device(kind: &'static str, software: bool) -> DeviceInfo {
        DeviceInfo { kind, name: "a device".into(), detail: String::new(), software, notes: Vec::new() }
    }

    /// 96 elements each.
    fn samples(count: usize) -> Vec<Sample> {
        let image = Arc::new(Image { width: 48, height: 2, channels: 3, pixels: vec![7; 288] });
        (0..count).map(|i| Sample::new(i.to_string(), Arc::clone(&image), 0)).collect()
    }

    #[test]
    fn a_gpu_of_its_own_takes_the_images_where_they_fit_and_all_else_is_explained() {
        let gpu = device("gpu", false);
        let chosen = |asked, device: &DeviceInfo, most| Residency::decide(asked, device, most, &samples(7));
        let says = |residency: Result<Residency>, on: bool, why: &str| {
            let residency = residency.expect("a decision");
            assert_eq!(residency.pool.is_some(), on, "{}", residency.reason);
            assert!(residency.reason.contains(why), "{}", residency.reason);
        };
        says(chosen(Resident::Auto, &gpu, 960), true, "the 7 images stay on the device (0.0 MiB), because they fit");
        says(chosen(Resident::Auto, &gpu, 96), false, "6 tensors at most");
        says(chosen(Resident::Auto, &gpu, 95), false, "image 0 takes");
        says(chosen(Resident::Off, &gpu, 960), false, "--resident off");
        says(chosen(Resident::On, &gpu, 960), true, "--resident on");
        says(chosen(Resident::Auto, &device("cpu", false), 960), false, "processor itself");
        says(chosen(Resident::Auto, &device("gpu", true), 960), false, "computes on the processor");
        says(chosen(Resident::On, &device("cpu", false), 960), true, "--resident on");
        let error = chosen(Resident::On, &gpu, 96).expect_err("too little room");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("6 tensors at most"), "{error}");
    }
}
