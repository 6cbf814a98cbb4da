//! Which network some tensors belong to, by their names and shapes.

use super::names::StateDict;
use crate::models::{Architecture, EsrSpec, ManetSpec, NetworkSpec, Padding};
use crate::{Error, Result};

/// The classes of MS-Celeb-1M, on which MA-Net's published weights were trained: people, not expressions.
pub const MSCELEB_CLASSES: usize = 12_666;

/// An architecture, as far as tensors show it.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    /// ESR.
    Esr {
        /// Branches; none in a base alone.
        branches: usize,
        /// The multiplier of all widths.
        width: f64,
        /// Whether there is CBAM.
        attention: bool,
        /// The rows of the heads; none in a base alone.
        classes: Option<usize>,
    },
    /// MA-Net.
    Manet {
        /// The multiplier of all widths.
        width: f64,
        /// The rows of the heads.
        classes: Option<usize>,
        /// λ, which no tensor shows: as moue's own file says, else the paper's.
        local_weight: f64,
    },
}

impl Family {
    /// Looks at names and shapes.
    ///
    /// # Errors
    /// [`Error::Data`] for tensors of no network that moue knows.
    pub fn of(network: &StateDict) -> Result<Self> {
        let tensors = &network.tensors;
        let rows = |name: &str| tensors.get(name).and_then(|(shape, _)| shape.first().copied());
        let any = |part: &str| tensors.keys().any(|name| name.contains(part));
        if any("layer3_1_p1.") || any("layer3_2.") {
            let width = rows("conv1.weight").unwrap_or(64) as f64 / 64.0;
            let local_weight = match network.meta.as_ref().map(|meta| meta.architecture.network(0)) {
                Some(NetworkSpec::Manet(spec)) => spec.local_weight,
                _ => ManetSpec::LOCAL_WEIGHT,
            };
            return Ok(Self::Manet { width, classes: rows("fc_1.weight").or(rows("fc_2.weight")), local_weight });
        }
        if let Some(channels) = rows("base.conv1.weight") {
            let number = |name: &String| name.strip_prefix("branches.")?.split('.').next()?.parse::<usize>().ok();
            let branches = tensors.keys().filter_map(number).max().map_or(0, |last| last.saturating_add(1));
            let classes = tensors.iter().find(|(name, _)| name.ends_with(".fc.weight"));
            return Ok(Self::Esr {
                branches,
                width: channels as f64 / 64.0,
                attention: any(".cbam"),
                classes: classes.and_then(|(_, (shape, _))| shape.first().copied()),
            });
        }
        let names: Vec<_> =
            tensors.keys().chain(network.others.keys()).take(6).map(|name| format!("`{name}`")).collect();
        Err(Error::Data {
            what: network.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
            expected: "an ESR (`base.conv1.weight`, or the authors' file of the base) or a MA-Net (`layer3_1_p1…`)"
                .into(),
            found: if names.is_empty() { "no tensor".into() } else { format!("{}, …", names.join(", ")) },
            hint: "give the files of one network, the base among them".into(),
        })
    }

    /// The rows of the heads.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Esr { classes, .. } | Self::Manet { classes, .. } => *classes,
        }
    }

    /// The edge of the images that the network was published for, in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Esr { .. } => 96,
            Self::Manet { .. } => 224,
        }
    }

    /// Whether there is an ESR's base alone.
    #[must_use]
    pub fn is_base(&self) -> bool {
        matches!(self, Self::Esr { branches: 0, .. })
    }

    /// The network of this family for images of `size` pixels and `classes`; one with one branch for a base alone.
    #[must_use]
    pub fn network(&self, size: usize, classes: usize) -> NetworkSpec {
        match *self {
            Self::Esr { branches, width, attention, .. } => NetworkSpec::Esr(EsrSpec {
                branches: branches.max(1),
                width,
                size,
                classes,
                attention,
                padding: Padding::Published,
            }),
            Self::Manet { width, local_weight, .. } => {
                NetworkSpec::Manet(ManetSpec { width, size, classes, local_weight })
            }
        }
    }
}

impl StateDict {
    /// The architecture that moue's own file says, else the one that names and shapes show, for images of the published
    /// size; an ESR of no branches for a base alone.
    ///
    /// # Errors
    /// As [`Family::of`].
    pub fn architecture(&self) -> Result<Architecture> {
        if let Some(meta) = &self.meta {
            return Ok(meta.architecture.clone());
        }
        let family = Family::of(self)?;
        let network = family.network(family.size(), 0);
        Ok(if family.is_base() { network.with_branches(0) } else { network }.architecture())
    }
}

/// Whether a tensor belongs to what all members share: ESR's base, MA-Net's stem and first two layers.
#[must_use]
pub fn is_base(name: &str) -> bool {
    ["base.", "conv1.", "bn1.", "layer1.", "layer2."].iter().any(|start| name.starts_with(start))
}

/// Whether a tensor belongs to a classifier.
#[must_use]
pub fn is_head(name: &str) -> bool {
    name.split('.').any(|part| matches!(part, "fc" | "fc_1" | "fc_2"))
}
