//! MA-Net: a local branch over the four quadrants of a map and a global branch over all of it (Zhao et al. 2021), with
//! diverse patches and branches (Heidari & Iosifidis).

use super::{Features, Maps, Network};
use crate::{
    Error, Result,
    graph::Graph,
    nn::{
        Layers, Mode,
        residual::{Block, PARTS},
    },
    ops::{Emit, Patches, Pool2d, PoolKind, TensorId},
    shape::Shape,
};

/// Patches of the local branch.
const QUADRANTS: Patches = Patches { rows: 2, columns: 2 };

/// Their number.
const PATCHES: usize = QUADRANTS.rows * QUADRANTS.columns;

/// Pixels of an image between two of the map that the branches start from.
const STEP: usize = 8;

/// A MA-Net.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManetSpec {
    /// Multiplier of all widths; 1 is the published network (64, 64, 128, 256, 512 channels).
    pub width: f64,
    /// Side of the input images, in pixels: 224 in the paper, a multiple of 16.
    pub size: usize,
    /// Classes, at least 2.
    #[serde(skip)]
    pub classes: usize,
    /// λ of Eq. 5, 0 to 1: the weight of the local branch in the loss and in the answer; the global branch has the rest.
    /// 0.6 in the paper, and in files that do not say it.
    #[serde(default = "ManetSpec::published_local_weight")]
    pub local_weight: f64,
}

impl ManetSpec {
    /// The network's heads: the two branches, and the answer λ·local + (1−λ)·global.
    pub const HEADS: [&str; 3] = ["local", "global", "combined"];

    /// The paper's λ.
    pub const LOCAL_WEIGHT: f64 = 0.6;

    fn published_local_weight() -> f64 {
        Self::LOCAL_WEIGHT
    }

    /// Weight of each head's cross-entropy in the loss.
    #[must_use]
    pub fn head_weights(&self) -> [f64; 3] {
        [self.local_weight, 1.0 - self.local_weight, 0.0]
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Usage`] with the setting, its range and the value.
    pub fn validate(&self) -> Result<()> {
        let wrong = |setting: &str, expected: &str, found: String, hint: &str| {
            let (setting, expected, hint) = (setting.to_owned(), expected.to_owned(), hint.to_owned());
            Err(Error::Usage { setting, expected, found, hint })
        };
        if !(self.width.is_finite() && self.width > 0.0 && self.width <= 16.0) {
            return wrong(
                "width",
                "a multiplier above 0 and up to 16",
                self.width.to_string(),
                "use 1 as in the paper",
            );
        }
        if self.classes < 2 {
            return wrong("classes", "at least 2", self.classes.to_string(), "add classes to the data");
        }
        if self.size == 0 || !self.size.is_multiple_of(2 * STEP) {
            let expected = "a multiple of 16 pixels, so that the map divides into quadrants";
            return wrong("size", expected, self.size.to_string(), "use 224 as in the paper");
        }
        if !(0.0..=1.0).contains(&self.local_weight) {
            return wrong(
                "local_weight",
                "a share from 0 to 1",
                self.local_weight.to_string(),
                "use 0.6 as in the paper",
            );
        }
        Ok(())
    }

    /// A published width times the multiplier, a multiple of the multi-scale blocks' parts.
    fn channels(&self, published: usize) -> usize {
        ((published as f64 * self.width / PARTS as f64).round() as usize).max(1) * PARTS
    }

    /// Adds the network to a graph; `x` is the batch `[N, 3, size, size]`.
    ///
    /// # Errors
    /// [`Error::Usage`] where the specification is out of range, [`Error::Shape`] where `x` does not fit.
    pub fn build(&self, graph: &mut Graph, x: TensorId, mode: Mode) -> Result<Network> {
        self.validate()?;
        let mut layers = Layers { graph, mode, parts: PATCHES };
        let [first, second] = [self.channels(64), self.channels(128)];
        let x = layers.conv_norm_relu(["conv1", "bn1"], x, [first, 7, 2])?;
        layers.graph.set_scope("maxpool");
        let x = layers.graph.pool2d(x, Pool2d { kind: PoolKind::Max, size: 3, stride: 2, padding: 1 })?;
        let x = layers.residual_layer("layer1", Block::Basic, x, first, 1)?;
        let x = layers.residual_layer("layer2", Block::Basic, x, second, 2)?;

        let local_map = self.local(&mut layers, x)?;
        let (local, spatial, channel) = self.pooled_patches(&mut layers, local_map)?;
        let global_map = self.branch(&mut layers, ["layer3_2", "layer4_2"], Block::MultiScale, x, 2)?;
        layers.graph.set_scope("global.pool");
        let global = layers.graph.global_avg_pool(global_map)?;

        let (from_local, from_global) =
            (layers.linear("fc_1", local, self.classes)?, layers.linear("fc_2", global, self.classes)?);
        layers.graph.set_scope("combined");
        let [to_local, to_global, _] = self.head_weights();
        let combined = layers.graph.weighted_sum(&[(from_local, to_local), (from_global, to_global)])?;
        let logits = layers.graph.concat(&[from_local, from_global, combined], 1)?;
        layers.graph.set_scope("branches");
        let branches = layers.graph.concat(&[local, global], 1)?;
        let maps = vec![
            Maps { kind: "branch", learners: 2, map: branches },
            Maps { kind: "spatial", learners: PATCHES, map: spatial },
            Maps { kind: "channel", learners: PATCHES, map: channel },
        ];
        let features = vec![
            Features { heads: 0..1, map: local_map, patches: QUADRANTS, classifier: "fc_1" },
            Features { heads: 1..2, map: global_map, patches: Patches::WHOLE, classifier: "fc_2" },
        ];
        Ok(Network { logits, maps, earlier_maps: Vec::new(), features })
    }

    /// The two last layers of a branch.
    fn branch(
        &self,
        layers: &mut Layers<'_>,
        names: [&str; 2],
        block: Block,
        x: TensorId,
        last_stride: usize,
    ) -> Result<TensorId> {
        let x = layers.residual_layer(names[0], block, x, self.channels(256), 2)?;
        layers.residual_layer(names[1], block, x, self.channels(512), last_stride)
    }

    /// The local branch's last map: of each patch `[N, P·C, H, W]`.
    fn local(&self, layers: &mut Layers<'_>, x: TensorId) -> Result<TensorId> {
        layers.graph.set_scope("quadrants");
        let x = layers.graph.patches(x, QUADRANTS)?;
        self.branch(layers, ["layer3_1_p#", "layer4_1_p#"], Block::Attentive, x, 1)
    }

    /// The local branch's pooled features `[N, C]`, and of each patch the mean over channels `[N, P, H·W]` and the mean
    /// over positions `[N, P·C]`.
    fn pooled_patches(&self, layers: &mut Layers<'_>, x: TensorId) -> Result<(TensorId, TensorId, TensorId)> {
        layers.graph.set_scope("local.pool");
        let [n, _, h, w] = layers.graph.shape(x).nchw().expect("invariant: a block's output has four dimensions");
        let channels = self.channels(512);
        let by_channel = layers.graph.reshape(x, Shape::new(&[n, PATCHES, channels, h * w]))?;
        let spatial = layers.graph.axis_mean(by_channel, 2)?;
        let channel = layers.graph.global_avg_pool(x)?;
        // The patches are of one size: the mean of their means is the mean over the whole map.
        let by_patch = layers.graph.reshape(channel, Shape::new(&[n, PATCHES, channels]))?;
        Ok((layers.graph.axis_mean(by_patch, 1)?, spatial, channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ManetSpec {
        ManetSpec { width: 1.0, size: 224, classes: 8, local_weight: 0.6 }
    }

    fn build(spec: &ManetSpec, images: usize) -> Result<(Graph, Network)> {
        let mut graph = Graph::new();
        let x = graph.input("images", [images, 3, spec.size, spec.size]);
        let network = spec.build(&mut graph, x, Mode::Train)?;
        Ok((graph, network))
    }

    #[test]
    fn it_has_the_published_number_of_parameters() {
        let (graph, _) = build(&spec(), 2).expect("a valid network");
        let count: usize = graph.parameters().into_iter().map(|id| graph.tensor(id).shape.elements()).sum();
        assert_eq!(count, 50_548_240);
    }

    #[test]
    fn patches_and_branches_have_the_papers_sizes() {
        let (graph, network) = build(&spec(), 2).expect("a valid network");
        let shapes: Vec<_> =
            network.maps.iter().map(|maps| (maps.kind, maps.learners, graph.tensor(maps.map).shape.dims())).collect();
        let expected: [(&str, usize, &[usize]); 3] =
            [("branch", 2, &[2, 1024]), ("spatial", 4, &[2, 4, 49]), ("channel", 4, &[2, 2048])];
        assert_eq!(shapes, expected);
        assert_eq!(graph.tensor(network.logits).shape.dims(), [2, 24]);
    }

    #[test]
    fn parts_of_grouped_layers_have_pytorchs_names() {
        let (graph, _) = build(&spec(), 2).expect("a valid network");
        let names = graph.part_names();
        for name in [
            "conv1.weight",
            "layer2.0.downsample.1.bias",
            "layer3_1_p1.0.cbam.SpatialGate.spatial.bn.weight",
            "layer4_1_p4.1.cbam.ChannelGate.mlp.3.bias",
            "layer3_2.0.conv1_2_1.weight",
            "layer4_2.1.bn2_2_4.weight",
            "fc_2.bias",
        ] {
            assert!(names.contains(&name), "{name}");
        }
        assert!(!names.iter().any(|name| name.contains("_p0") || name.contains("conv0")));
    }

    #[test]
    fn the_smallest_image_builds() {
        let (graph, network) = build(&ManetSpec { size: 16, width: 0.0625, ..spec() }, 2).expect("a valid network");
        assert_eq!(graph.tensor(network.maps[1].map).shape.dims(), [2, 4, 1]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (wrong, name) in [
            (ManetSpec { width: f64::NAN, ..spec() }, "width"),
            (ManetSpec { classes: 1, ..spec() }, "classes"),
            (ManetSpec { size: 0, ..spec() }, "size"),
            (ManetSpec { size: 200, ..spec() }, "size"),
            (ManetSpec { local_weight: -0.1, ..spec() }, "local_weight"),
            (ManetSpec { local_weight: 1.01, ..spec() }, "local_weight"),
            (ManetSpec { local_weight: f64::NAN, ..spec() }, "local_weight"),
        ] {
            let error = wrong.validate().expect_err("out of range");
            assert!(error.to_string().starts_with(name), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
