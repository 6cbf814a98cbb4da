//! Network architectures, and what training and evaluation need to know of any of them.

mod answer;
mod architecture;
pub mod esr;
pub mod manet;

pub use answer::{Calibration, Risk};
pub use architecture::{Architecture, Unknown};
pub use esr::{EsrSpec, Padding};
pub use manet::ManetSpec;

use std::ops::Range;

use crate::{
    Result,
    graph::Graph,
    nn::Mode,
    ops::{Patches, TensorId},
};

/// A network. Its JSON is that of an [`Architecture`], hence without the classes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "model", rename_all = "lowercase")]
pub enum NetworkSpec {
    /// A shared base and branches that vote.
    Esr(EsrSpec),
    /// A local and a global branch whose logits are combined.
    Manet(ManetSpec),
}

/// A network's outputs in a graph.
#[derive(Debug, Clone)]
pub struct Network {
    /// Logits `[N, B·K]`, head-major: of an ESR's branches, or of MA-Net's [`ManetSpec::HEADS`].
    pub logits: TensorId,
    /// What diversity compares, in the order of the loss's terms: those of the last layer.
    pub maps: Vec<Maps>,
    /// The same of earlier layers, the first first: of an ESR's branches, whose last layer is the fourth.
    pub earlier_maps: Vec<Vec<Maps>>,
    /// What the heads read; not those that combine other heads.
    pub features: Vec<Features>,
}

/// The last feature map of some heads. Each head reads its mean over all positions, by a linear classifier.
#[derive(Debug, Clone)]
pub struct Features {
    /// The heads, by their numbers.
    pub heads: Range<usize>,
    /// `[N, heads·C, H, W]`; of a head that reads patches `[N, P·C, H, W]`.
    pub map: TensorId,
    /// How the patches lie in the image; 1×1 where the map is of the whole image.
    pub patches: Patches,
    /// The classifier's layer, whose weight is [heads·K, C].
    pub classifier: &'static str,
}

/// Maps of several learners.
#[derive(Debug, Clone, Copy)]
pub struct Maps {
    /// `branch`, `spatial` or `channel`.
    pub kind: &'static str,
    /// The number of learners L.
    pub learners: usize,
    /// `[N, L·F…]`, learner-major within an image.
    pub map: TensorId,
}

/// The layers of an ESR's branches, of which each has attention.
pub const BRANCH_LAYERS: usize = 4;

impl Network {
    /// What diversity compares in a layer of an ESR's branches, 1 to [`BRANCH_LAYERS`]; of a MA-Net there is but the last.
    #[must_use]
    pub fn maps_of(&self, layer: usize) -> &[Maps] {
        self.earlier_maps.get(layer.wrapping_sub(1)).unwrap_or(&self.maps)
    }
}

/// How heads become one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// All heads together: their mean probability, from which the answer is made ([`Calibration`]). They also vote; ties go
    /// to the lowest class.
    #[default]
    Vote,
    /// The last head combines the others.
    Last,
}

impl NetworkSpec {
    /// Adds the network to a graph; `x` is the batch `[N, 3, size, size]`.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where the specification is out of range, [`crate::Error::Shape`] where `x` does not fit.
    pub fn build(&self, graph: &mut Graph, x: TensorId, mode: Mode) -> Result<Network> {
        match self {
            Self::Esr(spec) => spec.build(graph, x, mode),
            Self::Manet(spec) => spec.build(graph, x, mode),
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] with the setting, its range and the value.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Esr(spec) => spec.validate(),
            Self::Manet(spec) => spec.validate(),
        }
    }

    /// Side of the input images, in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Esr(spec) => spec.size,
            Self::Manet(spec) => spec.size,
        }
    }

    /// Multiplier of all widths.
    #[must_use]
    pub fn width(&self) -> f64 {
        match self {
            Self::Esr(spec) => spec.width,
            Self::Manet(spec) => spec.width,
        }
    }

    /// Classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        match self {
            Self::Esr(spec) => spec.classes,
            Self::Manet(spec) => spec.classes,
        }
    }

    /// Heads B, each with logits of its own.
    #[must_use]
    pub fn heads(&self) -> usize {
        match self {
            Self::Esr(spec) => spec.branches,
            Self::Manet(_) => ManetSpec::HEADS.len(),
        }
    }

    /// The name of a head in tables.
    #[must_use]
    pub fn head_name(&self, head: usize) -> String {
        match self {
            Self::Esr(_) => format!("branch{head}"),
            Self::Manet(_) => ManetSpec::HEADS[head].to_owned(),
        }
    }

    /// Weight of each head's cross-entropy in the loss (paper Eqs. 4 and 5).
    #[must_use]
    pub fn head_weights(&self) -> Vec<f64> {
        match self {
            Self::Esr(spec) => vec![1.0; spec.branches],
            Self::Manet(spec) => spec.head_weights().to_vec(),
        }
    }

    /// How its heads become one answer.
    #[must_use]
    pub fn decision(&self) -> Decision {
        match self {
            Self::Esr(_) => Decision::Vote,
            Self::Manet(_) => Decision::Last,
        }
    }

    /// The kinds of maps that it can be diversified by; an ESR with attention from two branches on.
    #[must_use]
    pub fn kinds(&self) -> &'static [&'static str] {
        match self {
            Self::Esr(spec) if spec.attention && spec.branches > 1 => &["spatial", "channel"],
            Self::Esr(_) => &[],
            Self::Manet(_) => &["branch", "spatial", "channel"],
        }
    }

    /// The same network with another number of branches; of a MA-Net the same.
    #[must_use]
    pub fn with_branches(&self, branches: usize) -> Self {
        match self {
            Self::Esr(spec) => Self::Esr(EsrSpec { branches, ..spec.clone() }),
            Self::Manet(_) => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_of_the_heads_are_as_many_as_the_heads() {
        let esr =
            EsrSpec { branches: 3, width: 0.5, size: 64, classes: 7, attention: true, padding: Padding::Published };
        for spec in [
            NetworkSpec::Esr(esr),
            NetworkSpec::Manet(ManetSpec { width: 0.25, size: 32, classes: 7, local_weight: 0.25 }),
        ] {
            assert_eq!(spec.head_weights().len(), spec.heads());
            assert_eq!(
                spec.head_weights()[..2],
                if spec.heads() == 3 && spec.decision() == Decision::Last { [0.25, 0.75] } else { [1.0, 1.0] }
            );
        }
    }
}
