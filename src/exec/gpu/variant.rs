//! The ways to compute a convolution's product of matrices, and which of them an adapter is given.

use std::fmt;

use super::tile::{LANES, Tile, by_workgroup};

/// Shaders of their own for the same product. Each sums in an order of its own, which its tiles do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// By workgroups, through their memory, in f32: what every adapter can do.
    Workgroup,
    /// By subgroups of 8 invocations, through registers, in f32.
    Subgroup,
}

impl Variant {
    /// What an adapter offers besides [`Variant::Workgroup`], by preference. Only measured gains: see benches/README.md.
    pub(crate) fn offered(device: &wgpu::Device) -> Vec<Self> {
        let info = device.adapter_info();
        let has_subgroups = device.features().contains(wgpu::Features::SUBGROUP)
            && (info.subgroup_min_size, info.subgroup_max_size) == (LANES, LANES);
        if info.name.to_lowercase().contains("llvmpipe") && has_subgroups { vec![Self::Subgroup] } else { Vec::new() }
    }

    /// The tiles for a device, by preference.
    pub(crate) fn tiles(self, device: &wgpu::Device) -> &'static [Tile] {
        match self {
            Self::Workgroup => by_workgroup(&device.adapter_info().name),
            Self::Subgroup => &[Tile::Subgroup],
        }
    }

    /// The shader of the convolution and of its input gradient.
    pub(crate) fn convolution(self) -> &'static str {
        match self {
            Self::Workgroup => "conv2d",
            Self::Subgroup => "conv2d_subgroup",
        }
    }

    /// The shader of the weight gradient.
    pub(crate) fn weight_gradient(self) -> &'static str {
        match self {
            Self::Workgroup => "conv2d_grad_weight",
            Self::Subgroup => "conv2d_grad_weight_subgroup",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workgroup => "workgroups",
            Self::Subgroup => "subgroups of 8",
        })
    }
}
