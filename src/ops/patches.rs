//! Cutting maps into patches, which then are groups of channels, and putting them together again: each is the other's
//! gradient.

use super::{Contract, GradArgs, Op, expect_groups, expect_inputs, expect_nchw, shape_error};
use crate::{Result, shape::Shape};

const STEM: &str = "patches";

/// A map cut into `rows`×`columns` equal patches, stacked along the channels row by row.
///
/// With P = rows·columns, h = H/rows and w = W/columns:
/// `y[n, p·C + c, i, j] = x[n, c, (p / columns)·h + i, (p mod columns)·w + j]`.
///
/// Input: x `[N, C, H, W]`, H and W multiples of rows and columns. Output: y `[N, P·C, h, w]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Patches {
    /// Patches above each other, at least 1.
    pub rows: usize,
    /// Patches beside each other, at least 1.
    pub columns: usize,
}

impl Patches {
    /// One patch: the whole map.
    pub const WHOLE: Self = Self { rows: 1, columns: 1 };
}

impl Contract for Patches {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        let [n, c, h, w] = expect_nchw(STEM, "input", inputs[0])?;
        let Self { rows, columns } = *self;
        if rows == 0 || columns == 0 || !h.is_multiple_of(rows) || !w.is_multiple_of(columns) {
            let expected = format!("a map whose sides divide into {rows}×{columns} patches");
            return Err(shape_error(STEM, expected, format!("{h}×{w}"), "use images of another size"));
        }
        Ok(vec![Shape::new(&[n, rows * columns * c, h / rows, w / columns])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let dx = args.emit.emit(Op::from(PatchesJoin { patches: *self }), &[dy])?[0];
        args.add(0, dx);
        Ok(())
    }
}

/// The map whose [`Patches`] are given.
///
/// Input: y `[N, P·C, h, w]`. Output: x `[N, C, rows·h, columns·w]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatchesJoin {
    /// How the map was cut.
    pub patches: Patches,
}

impl Contract for PatchesJoin {
    fn stem(&self) -> &'static str {
        STEM
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Vec<Shape>> {
        expect_inputs(STEM, inputs, &[1])?;
        let [n, c, h, w] = expect_nchw(STEM, "patches", inputs[0])?;
        let Patches { rows, columns } = self.patches;
        expect_groups(STEM, c, rows * columns)?;
        Ok(vec![Shape::new(&[n, c / (rows * columns), rows * h, columns * w])])
    }

    fn grad(&self, args: &mut GradArgs<'_>) -> Result<()> {
        let dy = args.output_grad(0);
        let dx = args.emit.emit(Op::from(self.patches), &[dy])?[0];
        args.add(0, dx);
        Ok(())
    }
}
