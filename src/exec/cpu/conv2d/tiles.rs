//! How maps fall into tiles of outputs, and how their rows become vectors over channels.

use super::Sizes;
use crate::exec::cpu::{
    Scalar,
    simd::{LANES, Lanes, ROWS, Vector},
};

/// Tasks that a convolution should have at least.
const TASKS: usize = 8;

/// Tasks from which output channels need not be shared out further.
const SHARES: usize = 6;

/// How output channels are shared out, in blocks of 16, where groups and pixels give too few tasks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) count: usize,
    /// Blocks of a part, an even number.
    pub(super) each: usize,
}

impl Parts {
    /// Of so many blocks, an even number, for so many tasks that there are anyway: the fewest parts that two cores share
    /// evenly.
    pub(super) fn new(blocks: usize, tasks: usize) -> Self {
        let even = |each: &usize| {
            let all = tasks * blocks.div_ceil(*each);
            all >= SHARES && all.next_multiple_of(2) * each * 20 <= tasks * blocks * 21
        };
        let each = (1..=blocks / 2).rev().map(|pairs| 2 * pairs).find(even).unwrap_or(2);
        Self { count: blocks.div_ceil(each), each }
    }
}

/// The tiles of a convolution of stride 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    pub(super) groups: usize,
    /// Input channels of a group.
    pub(super) c: usize,
    /// Output channels of a group.
    pub(super) o: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) out_h: usize,
    pub(super) out_w: usize,
    pub(super) padding: usize,
    /// Outputs of a tile, a side.
    pub(super) side: usize,
    /// Tile rows of an image.
    pub(super) high: usize,
    /// Tiles of a tile row.
    pub(super) wide: usize,
    /// Tile rows of all images.
    pub(super) rows: usize,
    /// Tile rows of a block, the last one of which may have fewer.
    pub(super) per_block: usize,
}

/// One tile row of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileRow {
    pub(super) image: usize,
    /// The first output row.
    pub(super) y: usize,
    /// The first tile's place in the block.
    pub(super) tile: usize,
}

impl Tiles {
    /// The tiles of a convolution, or of the convolution over its output gradient that gives its input's.
    pub(super) fn new(s: &Sizes, side: usize, input_gradient: bool) -> Self {
        let (c, o, h, w, out_h, out_w, padding) = if input_gradient {
            (s.o, s.c, s.out_h, s.out_w, s.h, s.w, 2 - s.padding)
        } else {
            (s.c, s.o, s.h, s.w, s.out_h, s.out_w, s.padding)
        };
        let (high, wide) = (out_h.div_ceil(side), out_w.div_ceil(side));
        let rows = s.images * high;
        // So many tiles that transformed inputs stay in the second-level cache.
        let most = (24_576 / c).clamp(48, 192).min((s.groups * rows * wide / TASKS).max(48));
        let waste = |rows: usize| {
            let tiles = rows * wide;
            (tiles.next_multiple_of(ROWS) - tiles) as f64 / tiles as f64
        };
        let per_block = (1..=(most / wide).clamp(1, rows)).rev().min_by(|a, b| waste(*a).total_cmp(&waste(*b)));
        let per_block = per_block.unwrap_or(1);
        Self { groups: s.groups, c, o, h, w, out_h, out_w, padding, side, high, wide, rows, per_block }
    }

    /// Blocks of 16 input channels, an even number: products take two at once.
    pub(super) fn in_blocks(&self) -> usize {
        self.c.div_ceil(LANES).next_multiple_of(2)
    }

    /// Blocks of 16 output channels, an even number.
    pub(super) fn out_blocks(&self) -> usize {
        self.o.div_ceil(LANES).next_multiple_of(2)
    }

    /// Blocks of tiles.
    pub(super) fn blocks(&self) -> usize {
        self.rows.div_ceil(self.per_block)
    }

    /// Tiles of a full block, padded.
    pub(super) fn padded(&self) -> usize {
        (self.per_block * self.wide).next_multiple_of(ROWS)
    }

    /// The tile rows of a block.
    pub(super) fn rows_of(&self, block: usize) -> impl Iterator<Item = TileRow> + use<> {
        let Self { high, wide, side, rows, per_block, .. } = *self;
        let first = block * per_block;
        (first..(first + per_block).min(rows)).map(move |row| TileRow {
            image: row / high,
            y: row % high * side,
            tile: (row - first) * wide,
        })
    }

    /// The tiles of a block.
    pub(super) fn count(&self, block: usize) -> usize {
        ((block + 1) * self.per_block).min(self.rows) * self.wide - block * self.per_block * self.wide
    }

    /// Columns of vectors that cover a tile row's outputs (`extra` = 0) or inputs (`extra` = 2).
    pub(super) fn columns(&self, extra: usize) -> usize {
        self.wide * self.side + extra
    }
}

/// Reads rows of 16 channels' planes as vectors: `stage[row·columns + column][channel]` is element
/// (y + row − padding, column − padding) of the channel's plane, or 0 outside.
#[inline(always)]
pub(super) fn read_rows<T: Scalar, V: Vector<T>>(
    stage: &mut [Lanes<T>],
    columns: usize,
    planes: &[T],
    [h, w]: [usize; 2],
    y: usize,
    padding: usize,
) {
    let channels = (planes.len() / (h * w)).min(LANES);
    let inside = padding.min(columns)..(padding + w).min(columns);
    for (row, stage) in stage.chunks_exact_mut(columns).enumerate() {
        let y = y + row;
        if channels == 0 || y < padding || y >= h + padding {
            stage.fill([T::ZERO; LANES]);
            continue;
        }
        stage[..inside.start].fill([T::ZERO; LANES]);
        stage[inside.end..].fill([T::ZERO; LANES]);
        let from = (y - padding) * w;
        for (block, stage) in stage[inside.clone()].chunks_mut(LANES).enumerate() {
            let at = from + block * LANES;
            if (channels - 1) * h * w + at + LANES <= planes.len() {
                read_block::<T, V>(stage, planes, channels, h * w, at);
            } else {
                for (i, to) in stage.iter_mut().enumerate() {
                    *to = [T::ZERO; LANES];
                    for channel in 0..channels {
                        to[channel] = planes[channel * h * w + at + i];
                    }
                }
            }
        }
    }
}

/// Reads up to 16 columns from `at` on. What lies behind a row's end is read too, and left out.
#[inline(always)]
fn read_block<T: Scalar, V: Vector<T>>(stage: &mut [Lanes<T>], planes: &[T], channels: usize, plane: usize, at: usize) {
    let mut rows = [V::zero(); LANES];
    for channel in 0..channels {
        let from = planes[channel * plane + at..].first_chunk().expect("invariant: the caller checked the end");
        rows[channel] = V::load(from);
    }
    for (to, column) in stage.iter_mut().zip(V::transpose(rows)) {
        column.store(to);
    }
}
