//! The shapes of a convolution's tile, and which of them an adapter is given.

use super::shader::Kernel;

/// Who computes a tile of outputs, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tile {
    /// A workgroup, through its memory: shaders/common/tile.wgsl.
    Workgroup {
        /// Invocations down and across.
        high: usize,
        wide: usize,
        /// Whether an invocation has 16×8 outputs, not 8×16.
        tall: bool,
        /// Products between two barriers.
        step: usize,
    },
    /// A subgroup of 8 invocations, through registers: shaders/common/subgroup_tile.wgsl.
    Subgroup,
}

/// Invocations of a subgroup that [`Tile::Subgroup`] is written for.
const LANES: u32 = 8;

impl Tile {
    /// Checks what the shader relies on: as many rows and as many columns as invocations, or twice as many, and the
    /// workgroup memory of a browser.
    const fn workgroup(high: usize, wide: usize, tall: bool, step: usize) -> Self {
        let tile = Self::Workgroup { high, wide, tall, step };
        let invocations = high * wide;
        assert!(tile.rows() == invocations || tile.rows() == 2 * invocations);
        assert!(tile.columns() == invocations || tile.columns() == 2 * invocations);
        assert!((tile.rows() + tile.columns()) * step * 4 <= 16_384 && invocations <= 256);
        tile
    }

    const fn rows(self) -> usize {
        match self {
            Self::Workgroup { high, tall, .. } => high * if tall { 16 } else { 8 },
            Self::Subgroup => 64,
        }
    }

    const fn columns(self) -> usize {
        match self {
            Self::Workgroup { wide, tall, .. } => wide * if tall { 8 } else { 16 },
            Self::Subgroup => 64,
        }
    }

    /// The entry point `tiled` of the shader for a workgroup or of that for a subgroup.
    pub(crate) fn kernel(self, by_workgroup: &'static str, by_subgroup: &'static str) -> Kernel {
        match self {
            Self::Workgroup { high, wide, tall, step } => Kernel::new(by_workgroup, "tiled")
                .with("HIGH", high as u32)
                .with("WIDE", wide as u32)
                .with("TALL", tall)
                .with("STEP", step as u32),
            Self::Subgroup => Kernel::new(by_subgroup, "tiled"),
        }
    }
}

const WIDE: Tile = Tile::workgroup(8, 8, false, 16);
const TALL: Tile = Tile::workgroup(8, 8, true, 16);
const LARGE: Tile = Tile::workgroup(8, 16, true, 16);
const SMALL: Tile = Tile::workgroup(4, 8, true, 32);

/// The sets of constants that [`Tile::kernel`] gives a shader.
pub(crate) fn constants_of(shader: &str) -> Vec<Vec<(&'static str, f64)>> {
    if !matches!(shader, "conv2d" | "conv2d_grad_weight") {
        return Vec::new();
    }
    [WIDE, TALL, LARGE, SMALL].into_iter().map(|tile| tile.kernel("conv2d", "conv2d_subgroup").constants).collect()
}

/// The tiles for a device, by preference. Those for devices that compute on the processor were measured (see
/// benches/README.md). A device always has the same, so that it gives the same bits in every run.
pub(crate) fn tiles_for(device: &wgpu::Device, name: &str) -> &'static [Tile] {
    let info = device.adapter_info();
    let name = name.to_lowercase();
    let has_subgroups = device.features().contains(wgpu::Features::SUBGROUP)
        && (info.subgroup_min_size, info.subgroup_max_size) == (LANES, LANES);
    if name.contains("llvmpipe") && has_subgroups {
        &[Tile::Subgroup]
    } else if name.contains("llvmpipe") {
        &[LARGE, TALL, WIDE]
    } else if name.contains("swiftshader") {
        &[SMALL]
    } else {
        &[WIDE, TALL]
    }
}

/// How a product of matrices is cut into tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    pub(crate) tile: Tile,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Tiling {
    /// With the tile whose edges waste the fewest outputs, of equals the first.
    pub(crate) fn new(tiles: &[Tile], rows: usize, columns: usize) -> Self {
        tiles
            .iter()
            .map(|&tile| Self { tile, rows: rows.div_ceil(tile.rows()), columns: columns.div_ceil(tile.columns()) })
            .min_by_key(Self::outputs)
            .expect("invariant: an adapter has a tile")
    }

    fn outputs(&self) -> usize {
        self.rows * self.tile.rows() * self.columns * self.tile.columns()
    }
}
