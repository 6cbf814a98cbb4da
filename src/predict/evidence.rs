//! Where in an image a head finds what speaks for a class.

use super::SpatialMap;
use crate::{
    Result,
    graph::Graph,
    models::{Features, Network},
    ops::{Conv2d, Emit, Op, Patches, PatchesJoin, TensorId},
    shape::Shape,
};

/// What every place of an image adds to a head's logit of each class.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[K, height, width]`, in units of a logit: a class's places sum to its logit less the classifier's bias.
    pub values: Vec<f32>,
}

impl Evidence {
    /// Grad-CAM of a class: what speaks for it, with zeros where something speaks against it.
    #[must_use]
    pub fn grad_cam(&self, class: usize) -> SpatialMap {
        let places = self.width * self.height;
        let values = self.values[class * places..(class + 1) * places].iter().map(|value| value.max(0.0)).collect();
        SpatialMap { width: self.width, height: self.height, values }
    }
}

/// Appends the evidence for every class to the graph of one image: `[1, heads·K, H, W]`.
///
/// A head's logits are a linear function of its map's mean over positions, hence a sum over positions:
/// `z[k] = b[k] + Σ_{i,j} e[k,i,j]` with `e[k,i,j] = Σ_c W[k,c]·F[c,i,j] / (H·W)`, a convolution of the map with the
/// classifier. That is the class activation map of Zhou et al. (2016), and max(e, 0) is Grad-CAM (Selvaraju et al.
/// 2017, §3.1): it weighs channel c by the mean over positions of `∂z[k]/∂F[c,i,j]`, which for such a head is
/// `W[k,c] / (H·W)` at each of them. No gradient has to be computed, and all classes come at once.
///
/// # Errors
/// [`crate::Error::Shape`] where the graph is one of several images.
pub fn evidence(graph: &mut Graph, features: &Features) -> Result<TensorId> {
    let Features { heads, map, patches, classifier } = features;
    let [_, channels, h, w] = dims(graph, *map);
    let weight = graph.find(&format!("{classifier}.weight")).expect("invariant: a classifier has a weight");
    // A head's patches share its classifier: to the convolution they are images.
    let count = patches.rows * patches.columns;
    let map = graph.reshape(*map, Shape::new(&[count, channels / count, h, w]))?;
    let sums = graph.conv2d(map, weight, None, Conv2d { groups: heads.len(), ..Conv2d::default() })?;
    let evidence = graph.weighted_sum(&[(sums, 1.0 / (count * h * w) as f64)])?;
    joined(graph, evidence, *patches)
}

/// Appends the spatial maps that diversity compares, `[1, heads, H, W]`: of each head, or of each patch of one.
pub(super) fn attention(graph: &mut Graph, network: &Network, features: &Features) -> Result<Option<TensorId>> {
    let Features { heads, map, patches, .. } = features;
    let count = patches.rows * patches.columns;
    let of_these = |maps: &&crate::models::Maps| maps.kind == "spatial" && maps.learners == heads.len() * count;
    let Some(maps) = network.maps.iter().find(of_these) else { return Ok(None) };
    let [.., h, w] = dims(graph, *map);
    let maps = graph.reshape(maps.map, Shape::new(&[count, heads.len(), h, w]))?;
    joined(graph, maps, *patches).map(Some)
}

/// Rows and columns of the maps of [`evidence`] and [`attention`].
pub(super) fn sides(graph: &Graph, features: &Features) -> [usize; 2] {
    let [.., h, w] = dims(graph, features.map);
    [features.patches.rows * h, features.patches.columns * w]
}

/// Patches `[P, C, h, w]` as the one map that they were cut from.
fn joined(graph: &mut Graph, map: TensorId, patches: Patches) -> Result<TensorId> {
    if patches == Patches::WHOLE {
        return Ok(map);
    }
    let [count, channels, h, w] = dims(graph, map);
    let map = graph.reshape(map, Shape::new(&[1, count * channels, h, w]))?;
    Ok(graph.emit(Op::from(PatchesJoin { patches }), &[map])?[0])
}

fn dims(graph: &Graph, map: TensorId) -> [usize; 4] {
    graph.shape(map).nchw().expect("invariant: a feature map has four dimensions")
}
