//! ESR: one base, many branches, run as one grouped network (Siqueira et al. 2020; with CBAM: Heidari & Iosifidis).

use super::{BRANCH_LAYERS, Features, Maps, Network};
use crate::{
    Error, Result,
    graph::Graph,
    nn::{ConvSpec, Layers, Mode, NormSpec},
    ops::{Conv2d, Function, Patches, TensorId},
};

/// The largest number of branches: the determinant's limit.
pub const MAX_BRANCHES: usize = crate::ops::similarity::MAX_LEARNERS;

/// An ESR.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EsrSpec {
    /// Branches, 1 to 16.
    pub branches: usize,
    /// Multiplier of all widths; 1 is the published network (64, 128, 128, 128 | 128, 256, 256, 512 channels).
    pub width: f64,
    /// Side of the input images, in pixels; 96 in the paper, at least 54, with [`Padding::Same`] at least 8.
    pub size: usize,
    /// Classes, at least 2.
    #[serde(skip)]
    pub classes: usize,
    /// CBAM after every layer.
    pub attention: bool,
    /// What surrounds the maps that are convolved.
    #[serde(default, skip_serializing_if = "Padding::is_published")]
    pub padding: Padding,
}

/// Zeros around the maps of an ESR's convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// As published: none but in the branches' last layer, so that each layer loses a border. Images of 96×96 pixels end
    /// as maps of 6×6.
    #[default]
    Published,
    /// So many that a convolution's map is as large as its input; only pooling makes maps smaller, to an eighth of the
    /// image's side. Images of 48×48 pixels end as maps of 6×6. The weights are the same.
    Same,
}

impl Padding {
    /// Whether it is the published network's.
    #[must_use]
    pub fn is_published(&self) -> bool {
        *self == Self::Published
    }
}

impl std::fmt::Display for Padding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_published() { "published" } else { "same" })
    }
}

/// One layer: convolution, batch norm, ReLU, pooling, CBAM.
struct Layer {
    out: usize,
    kernel: usize,
    padding: usize,
    pool: bool,
}

const fn layer(out: usize, kernel: usize, padding: usize, pool: bool) -> Layer {
    Layer { out, kernel, padding, pool }
}

const BASE: [Layer; 4] =
    [layer(64, 5, 0, false), layer(128, 3, 0, true), layer(128, 3, 0, false), layer(128, 3, 0, true)];
const BRANCH: [Layer; BRANCH_LAYERS] =
    [layer(128, 3, 0, false), layer(256, 3, 0, true), layer(256, 3, 0, false), layer(512, 3, 1, false)];

impl EsrSpec {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Usage`] with the setting, its range and the value.
    pub fn validate(&self) -> Result<()> {
        let wrong = |setting: &str, expected: &str, found: String, hint: &str| {
            let (setting, expected, hint) = (setting.to_owned(), expected.to_owned(), hint.to_owned());
            Err(Error::Usage { setting, expected, found, hint })
        };
        if !(1..=MAX_BRANCHES).contains(&self.branches) {
            return wrong("branches", "1 to 16", self.branches.to_string(), "use 9 as in the paper");
        }
        if !(self.width.is_finite() && self.channels(64) >= 1 && self.width <= 16.0) {
            return wrong("width", "a multiplier from 1/64 to 16", self.width.to_string(), "use 1 as in the paper");
        }
        if self.classes < 2 {
            return wrong("classes", "at least 2", self.classes.to_string(), "add classes to the data");
        }
        if self.size < self.smallest() {
            let expected = format!("at least {} pixels", self.smallest());
            return wrong("size", &expected, self.size.to_string(), "use larger images");
        }
        Ok(())
    }

    /// A published width times the multiplier, at least 1.
    fn channels(&self, published: usize) -> usize {
        ((published as f64 * self.width).round() as usize).max(usize::from(self.width > 0.0))
    }

    /// The zeros on each side of a layer's input.
    fn padding(&self, layer: &Layer) -> usize {
        match self.padding {
            Padding::Published => layer.padding,
            Padding::Same => layer.kernel / 2,
        }
    }

    /// The smallest image that leaves a pixel for the last layer.
    #[must_use]
    pub fn smallest(&self) -> usize {
        BASE.iter().chain(&BRANCH).rev().fold(1, |size: usize, layer| {
            let size = if layer.pool { 2 * size } else { size };
            (size + layer.kernel - 1).saturating_sub(2 * self.padding(layer)).max(1)
        })
    }

    /// The side of the branches' last map, from which attention and Grad-CAM are read; 0 for an image that is too small.
    #[must_use]
    pub fn last_side(&self) -> usize {
        self.side(BRANCH_LAYERS)
    }

    /// The same of a layer of the branches, from 1.
    #[must_use]
    pub fn side(&self, layer: usize) -> usize {
        BASE.iter().chain(&BRANCH[..layer.min(BRANCH_LAYERS)]).fold(self.size, |size, layer| {
            let size = (size + 2 * self.padding(layer) + 1).saturating_sub(layer.kernel);
            if layer.pool { size / 2 } else { size }
        })
    }

    /// Adds the network to a graph; `x` is the batch `[N, 3, size, size]`. Its maps are the attention of each branch's
    /// last CBAM: spatial `[N, B, H, W]` and channel `[N, B·C]`.
    ///
    /// # Errors
    /// [`Error::Usage`] where the specification is out of range, [`Error::Shape`] where `x` does not fit.
    pub fn build(&self, graph: &mut Graph, x: TensorId, mode: Mode) -> Result<Network> {
        self.validate()?;
        let mut layers = Layers { graph, mode, parts: self.branches };
        let mut x = x;
        for (index, layer) in BASE.iter().enumerate() {
            x = self.layer(&mut layers, "base", index, layer, x)?.0;
        }
        let mut attention = Vec::new();
        for (index, layer) in BRANCH.iter().enumerate() {
            let (map, of_layer) = self.layer(&mut layers, "branches.*", index, layer, x)?;
            x = map;
            attention.extend(of_layer);
        }
        layers.graph.set_scope("branches.*.pool");
        let pooled = layers.graph.global_avg_pool(x)?;
        let classifier = "branches.*.fc";
        let logits = layers.linear(classifier, pooled, self.classes)?;
        let maps = |kind, map| Maps { kind, learners: self.branches, map };
        let both = |(channel, spatial)| vec![maps("spatial", spatial), maps("channel", channel)];
        let mut earlier_maps: Vec<_> = attention.into_iter().map(both).collect();
        let maps = earlier_maps.pop().unwrap_or_default();
        let features = Features { heads: 0..self.branches, map: x, patches: Patches::WHOLE, classifier };
        Ok(Network { logits, maps, earlier_maps, features: vec![features] })
    }

    fn layer(
        &self,
        layers: &mut Layers<'_>,
        stage: &str,
        index: usize,
        layer: &Layer,
        x: TensorId,
    ) -> Result<(TensorId, Option<(TensorId, TensorId)>)> {
        let number = index + 1;
        // The branches' first layer reads the one base: an ordinary convolution to all branches' channels.
        let groups = if index == 0 { 1 } else { layers.parts_of(stage) };
        let conv = Conv2d { stride: 1, padding: self.padding(layer), groups };
        let spec = ConvSpec { out: self.channels(layer.out), kernel: layer.kernel, conv, bias: true };
        let x = layers.conv(&format!("{stage}.conv{number}"), x, spec)?;
        let norm = format!("{stage}.bn{number}");
        let spec = NormSpec { momentum: 0.1, activation: Some(Function::Relu), pool: layer.pool };
        if !self.attention {
            return Ok((layers.batch_norm_with(&norm, x, spec)?, None));
        }
        let x = layers.batch_norm_described(&norm, x, spec)?;
        let cbam = layers.cbam(&format!("{stage}.cbam{number}"), x)?;
        Ok((cbam.map, Some((cbam.channel, cbam.spatial))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> EsrSpec {
        EsrSpec { branches: 9, width: 1.0, size: 96, classes: 8, attention: true, padding: Padding::Published }
    }

    fn build(spec: &EsrSpec, images: usize) -> Result<(Graph, Network)> {
        let mut graph = Graph::new();
        let x = graph.input("images", [images, 3, spec.size, spec.size]);
        let esr = spec.build(&mut graph, x, Mode::Train)?;
        Ok((graph, esr))
    }

    fn parameters(graph: &Graph) -> usize {
        graph.parameters().into_iter().map(|id| graph.tensor(id).shape.elements()).sum()
    }

    #[test]
    fn esr_9_and_15_have_the_published_numbers_of_parameters() {
        for (branches, expected) in [(9, 20_832_332), (15, 34_465_676)] {
            let (graph, _) = build(&EsrSpec { branches, ..spec() }, 2).expect("a valid network");
            assert_eq!(parameters(&graph), expected);
        }
    }

    #[test]
    fn attention_maps_have_the_papers_sizes() {
        let (graph, esr) = build(&spec(), 2).expect("a valid network");
        let shapes: Vec<_> =
            esr.maps.iter().map(|maps| (maps.kind, maps.learners, graph.tensor(maps.map).shape.dims())).collect();
        let expected: [(&str, usize, &[usize]); 2] = [("spatial", 9, &[2, 9, 6, 6]), ("channel", 9, &[2, 9 * 512])];
        assert_eq!(shapes, expected);
        assert_eq!(graph.tensor(esr.logits).shape.dims(), [2, 72]);
    }

    #[test]
    fn each_layer_of_the_branches_has_maps_to_compare() {
        let (graph, esr) = build(&EsrSpec { size: 64, branches: 3, ..spec() }, 2).expect("a valid network");
        let sides = [1, 2, 3, 4].map(|layer| graph.tensor(esr.maps_of(layer)[0].map).shape.dims().to_vec());
        assert_eq!(sides, [[2, 3, 10, 10], [2, 3, 4, 4], [2, 3, 2, 2], [2, 3, 2, 2]]);
        let channels = [1, 2, 3, 4].map(|layer| graph.tensor(esr.maps_of(layer)[1].map).shape.dims().to_vec());
        assert_eq!(channels, [[2, 3 * 128], [2, 3 * 256], [2, 3 * 256], [2, 3 * 512]]);
        assert_eq!(esr.maps_of(4)[0].map, esr.maps[0].map);
        let (_, plain) = build(&EsrSpec { attention: false, ..spec() }, 2).expect("a valid network");
        assert!([1, 4].iter().all(|layer| plain.maps_of(*layer).is_empty()));
    }

    #[test]
    fn the_smallest_image_builds_and_one_pixel_less_does_not() {
        let smallest = spec().smallest();
        let (graph, esr) = build(&EsrSpec { size: smallest, ..spec() }, 2).expect("a valid network");
        assert_eq!(graph.tensor(esr.maps[0].map).shape.dims()[2..], [1, 1]);
        assert!(build(&EsrSpec { size: smallest - 1, ..spec() }, 2).is_err());
    }

    #[test]
    fn with_padding_maps_shrink_by_pooling_alone() {
        let same = |size| EsrSpec { size, padding: Padding::Same, ..spec() };
        assert_eq!((same(48).last_side(), spec().last_side(), same(48).smallest(), spec().smallest()), (6, 6, 8, 54));
        for (spec, side) in [(same(48), 6), (same(8), 1), (same(63), 7), (EsrSpec { size: 70, ..spec() }, 3)] {
            let (graph, esr) = build(&spec, 1).expect("a valid network");
            assert_eq!(graph.tensor(esr.maps[0].map).shape.dims()[2..], [side, side]);
            assert_eq!(spec.last_side(), side);
            for layer in 1..=BRANCH_LAYERS {
                let map = esr.maps_of(layer)[0].map;
                assert_eq!(graph.tensor(map).shape.dims()[2..], [spec.side(layer); 2], "layer {layer}");
            }
            assert_eq!(parameters(&graph), 20_832_332);
        }
    }

    #[test]
    fn the_number_of_ops_does_not_depend_on_the_branches() {
        let count = |branches| build(&EsrSpec { branches, ..spec() }, 2).expect("a valid network").0.nodes().len();
        assert_eq!(count(2), count(16));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (wrong, name) in [
            (EsrSpec { branches: 17, ..spec() }, "branches"),
            (EsrSpec { width: 0.0, ..spec() }, "width"),
            (EsrSpec { classes: 1, ..spec() }, "classes"),
            (EsrSpec { size: 20, ..spec() }, "size"),
        ] {
            let error = wrong.validate().expect_err("out of range");
            assert!(error.to_string().starts_with(name), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
