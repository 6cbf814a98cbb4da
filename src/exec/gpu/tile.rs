//! The shapes of a convolution's tile, and which of them an adapter is given.

use super::shader::Kernel;

/// A shape of shaders/common/tile.wgsl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Invocations down and across.
    high: usize,
    wide: usize,
    /// Whether an invocation has 16×8 outputs, not 8×16.
    tall: bool,
    /// Products between two barriers.
    step: usize,
}

impl Tile {
    /// Checks what the shader relies on: as many rows and as many columns as invocations, or twice as many, and the
    /// workgroup memory of a browser.
    const fn new(high: usize, wide: usize, tall: bool, step: usize) -> Self {
        let tile = Self { high, wide, tall, step };
        let invocations = high * wide;
        assert!(tile.rows() == invocations || tile.rows() == 2 * invocations);
        assert!(tile.columns() == invocations || tile.columns() == 2 * invocations);
        assert!((tile.rows() + tile.columns()) * step * 4 <= 16_384 && invocations <= 256);
        tile
    }

    const fn rows(self) -> usize {
        self.high * if self.tall { 16 } else { 8 }
    }

    const fn columns(self) -> usize {
        self.wide * if self.tall { 8 } else { 16 }
    }

    /// Sets the shader's constants.
    pub(crate) fn of(self, kernel: Kernel) -> Kernel {
        kernel
            .with("HIGH", self.high as u32)
            .with("WIDE", self.wide as u32)
            .with("TALL", self.tall)
            .with("STEP", self.step as u32)
    }
}

const WIDE: Tile = Tile::new(8, 8, false, 16);
const TALL: Tile = Tile::new(8, 8, true, 16);
const LARGE: Tile = Tile::new(8, 16, true, 16);
const SMALL: Tile = Tile::new(4, 8, true, 32);

/// The tiles for an adapter, by preference: measured where one computes on the processor (see benches/README.md).
/// An adapter always has the same, so that it gives the same bits in every run.
pub(crate) fn tiles_for(adapter: &str) -> &'static [Tile] {
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
