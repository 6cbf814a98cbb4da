//! The shapes of a convolution's tile, and which of them suit an adapter.

use std::fmt;

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
    /// Four subgroups of 32 invocations, by cooperative matrices: shaders/common/coop_tile.wgsl.
    Cooperative,
}

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
            Self::Cooperative => 64,
        }
    }

    const fn columns(self) -> usize {
        match self {
            Self::Workgroup { wide, tall, .. } => wide * if tall { 8 } else { 16 },
            Self::Cooperative => 128,
        }
    }

    /// The entry point `tiled` of a shader.
    pub(crate) fn kernel(self, shader: &'static str) -> Kernel {
        let kernel = Kernel::new(shader, "tiled");
        match self {
            Self::Workgroup { high, wide, tall, step } => {
                kernel.with("HIGH", high as u32).with("WIDE", wide as u32).with("TALL", tall).with("STEP", step as u32)
            }
            Self::Cooperative => kernel,
        }
    }
}

/// Outputs and invocations, such as `128x64 by 8x8`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} by ", self.rows(), self.columns())?;
        match self {
            Self::Workgroup { high, wide, .. } => write!(f, "{high}x{wide}"),
            Self::Cooperative => write!(f, "128"),
        }
    }
}

const WIDE: Tile = Tile::workgroup(8, 8, false, 16);
const TALL: Tile = Tile::workgroup(8, 8, true, 16);
const LARGE: Tile = Tile::workgroup(8, 16, true, 16);
const BROAD: Tile = Tile::workgroup(16, 8, false, 16);
const LITTLE: Tile = Tile::workgroup(4, 8, true, 16);
/// The steps of 32 products fit the memory of a browser's workgroup for this tile only.
const SMALL: Tile = Tile::workgroup(4, 8, true, 32);

/// The tiles by steps of 16 products.
const BY_16: [Tile; 5] = [WIDE, TALL, LARGE, BROAD, LITTLE];

/// The tiles that a search may choose from in place of `tiles`: those that sum in the same order. A convolution sums
/// over as many channels as there are products in a step before it goes on to the next place of the filter; a weight
/// gradient sums over pixels one by one, in splits that depend on the first of `tiles` alone.
pub(crate) fn candidates(tiles: &'static [Tile]) -> &'static [Tile] {
    match tiles[0] {
        Tile::Workgroup { step: 16, .. } => &BY_16,
        _ => tiles,
    }
}

/// The sets of constants that [`Tile::kernel`] gives a shader.
pub(crate) fn constants_of(shader: &str) -> Vec<Vec<(&'static str, f64)>> {
    if !matches!(shader, "conv2d" | "conv2d_f16" | "conv2d_grad_weight" | "conv2d_grad_weight_f16") {
        return Vec::new();
    }
    BY_16.into_iter().chain([SMALL]).map(|tile| tile.kernel("conv2d").constants).collect()
}

/// The workgroups' tiles for an adapter, by preference. Those for adapters that compute on the processor were measured
/// (see benches/README.md).
pub(crate) fn by_workgroup(adapter: &str) -> &'static [Tile] {
    let name = adapter.to_lowercase();
    if name.contains("llvmpipe") {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiles_of_an_adapter_sum_in_one_order_and_have_names_of_their_own() {
        for adapter in ["llvmpipe", "SwiftShader Device", "a GPU"] {
            let tiles = by_workgroup(adapter);
            let steps = |tiles: &[Tile]| -> Vec<usize> {
                let step = |tile: &Tile| match tile {
                    Tile::Workgroup { step, .. } => *step,
                    Tile::Cooperative => 1,
                };
                tiles.iter().map(step).collect()
            };
            let all = candidates(tiles);
            assert!(steps(tiles).iter().chain(&steps(all)).all(|step| *step == steps(tiles)[0]), "{adapter}");
            assert!(tiles.iter().all(|tile| all.contains(tile)), "{adapter}");
            let mut names: Vec<_> = all.iter().map(Tile::to_string).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all.len(), "{adapter}");
        }
    }
}
