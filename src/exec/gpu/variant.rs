//! The ways to compute a convolution's product of matrices, and which of them an adapter is given.

use std::fmt;

use super::{
    kept::GRADIENT_SCALE,
    shader::Kernel,
    tile::{Tile, by_workgroup},
};

/// Shaders of their own for the same product. Each sums in an order of its own, which its tiles do not change.
///
/// Mixed precision rounds the operands to f16, with 11 significant bits, on their way into workgroup memory, and sums
/// their products, which f32 holds exactly, in f32. So does what is not tiled, without rounding: convolutions to at most
/// 8 channels a group. Gradients are multiplied by 2¹³ before they are rounded and the sums divided by it, so that
/// those from 2⁻²⁷ to 8 keep all 11 bits; what is beyond f16's range becomes its largest number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// By workgroups, through their memory, in f32: what every adapter can do.
    Workgroup,
    /// By workgroups, through their memory, in mixed precision.
    Half,
    /// By cooperative matrices (tensor cores) of 16×16, in mixed precision.
    Cooperative,
}

/// Invocations of the subgroups that share the cooperative matrices.
const COOPERATIVE_LANES: u32 = 32;

impl Variant {
    /// Those in mixed precision that a device offers, by preference.
    pub(crate) fn mixed(device: &wgpu::Device) -> Vec<Self> {
        let (info, features) = (device.adapter_info(), device.features());
        let lanes = (info.subgroup_min_size, info.subgroup_max_size) == (COOPERATIVE_LANES, COOPERATIVE_LANES);
        let mut offered = Vec::new();
        if lanes && features.contains(wgpu::Features::SUBGROUP | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            offered.push(Self::Cooperative);
        }
        if features.contains(wgpu::Features::SHADER_F16) {
            offered.push(Self::Half);
        }
        offered
    }

    /// The features of an adapter that mixed precision can use.
    pub(crate) fn mixed_features(adapter: &wgpu::Adapter) -> wgpu::Features {
        let fits = |matrix: &wgpu::CooperativeMatrixProperties| {
            let types = (matrix.ab_type, matrix.cr_type);
            (matrix.m_size, matrix.n_size, matrix.k_size) == (16, 16, 16)
                && types == (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32)
        };
        let mut wanted = wgpu::Features::SHADER_F16;
        if adapter.cooperative_matrix_properties().iter().any(fits) {
            wanted |= wgpu::Features::SUBGROUP | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        }
        adapter.features() & wanted
    }

    /// The tiles for an adapter, by preference.
    pub(crate) fn tiles(self, adapter: &str) -> &'static [Tile] {
        match self {
            Self::Workgroup | Self::Half => by_workgroup(adapter),
            Self::Cooperative => &[Tile::Cooperative],
        }
    }

    /// The convolution's kernel, or its input gradient's, where the columns are gradients.
    pub(crate) fn convolution(self, tile: Tile, transposed: bool) -> Kernel {
        let kernel = tile.kernel(match self {
            Self::Workgroup => "conv2d",
            Self::Half => "conv2d_f16",
            Self::Cooperative => "conv2d_coop",
        });
        if self.is_mixed() && transposed { kernel.with("COLUMN_SCALE", GRADIENT_SCALE) } else { kernel }
    }

    /// The weight gradient's kernel, where the rows are gradients.
    pub(crate) fn weight_gradient(self, tile: Tile) -> Kernel {
        let kernel = tile.kernel(match self {
            Self::Workgroup => "conv2d_grad_weight",
            Self::Half => "conv2d_grad_weight_f16",
            Self::Cooperative => "conv2d_grad_weight_coop",
        });
        if self.is_mixed() { kernel.with("ROW_SCALE", GRADIENT_SCALE) } else { kernel }
    }

    /// Whether operands are rounded to f16.
    #[must_use]
    pub fn is_mixed(self) -> bool {
        matches!(self, Self::Half | Self::Cooperative)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workgroup => "workgroups",
            Self::Half => "workgroups in mixed precision",
            Self::Cooperative => "cooperative matrices in mixed precision",
        })
    }
}
