//! Concat, slice, its gradient, and plain copies: all move rows.

use super::{
    lower::{Lower, Operand},
    memory::{ALIGNMENT, View},
    shader::{Kernel, one_each, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{Concat, Slice, SliceGrad, TensorId},
};

params!(ConcatParams for "concat" {
    elements: u32, from_row: u32, from_at: u32, to_row: u32, to_at: u32, begin: u32, length: u32, clear: u32,
});

/// A copy of part of each row of one tensor into part of each row of another.
struct Rows {
    rows: usize,
    from_row: usize,
    from_at: usize,
    to_row: usize,
    begin: usize,
    length: usize,
    clear: bool,
}

impl Rows {
    fn dispatch(&self, cx: &mut Lower<'_>, from: View, to: View) -> Result<()> {
        // As many rows as fit a binding on both sides, less what alignment may add; one row must.
        let widest = self.from_row.max(self.to_row);
        let most = (cx.gpu.max_binding / 4) as usize;
        let fits = if self.rows * widest <= most { self.rows } else { (most - ALIGNMENT) / widest };
        let step = fits.max(1);
        for first in (0..self.rows).step_by(step) {
            let rows = step.min(self.rows - first);
            let (source, source_at) = aligned(&from, first * self.from_row..(first + rows) * self.from_row);
            let (target, target_at) = aligned(&to, first * self.to_row..(first + rows) * self.to_row);
            let elements = rows * if self.clear { self.to_row } else { self.length };
            let params = ConcatParams {
                elements: elements as u32,
                from_row: self.from_row as u32,
                from_at: (self.from_at + source_at) as u32,
                to_row: self.to_row as u32,
                to_at: target_at as u32,
                begin: self.begin as u32,
                length: self.length as u32,
                clear: self.clear.into(),
            };
            let operands = vec![Operand::read(source), Operand::write(target)];
            cx.dispatch(Kernel::new("concat", "main"), params, operands, one_each(elements))?;
        }
        Ok(())
    }
}

fn aligned(view: &View, range: std::ops::Range<usize>) -> (View, usize) {
    let at = range.start % ALIGNMENT;
    (view.range(range.start - at..range.end), at)
}

/// The elements before and after an axis.
fn around(cx: &Lower<'_>, id: TensorId, axis: usize) -> (usize, usize) {
    let dims = cx.shape(id).dims();
    (dims[..axis].iter().product(), dims[axis + 1..].iter().product())
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: Concat) -> Result<()> {
    let y = node.outputs[0];
    let (rows, inner) = around(cx, y, op.axis);
    let to_row = cx.shape(y).dims()[op.axis] * inner;
    let mut begin = 0;
    for &x in &node.inputs {
        let length = cx.shape(x).dims()[op.axis] * inner;
        let copy = Rows { rows, from_row: length, from_at: 0, to_row, begin, length, clear: false };
        copy.dispatch(cx, cx.view(x), cx.view(y))?;
        begin += length;
    }
    Ok(())
}

pub(crate) fn slice(cx: &mut Lower<'_>, node: &Node, op: Slice) -> Result<()> {
    let (x, y) = (node.inputs[0], node.outputs[0]);
    let (rows, inner) = around(cx, x, op.axis);
    let from_row = cx.shape(x).dims()[op.axis] * inner;
    let length = op.length * inner;
    let copy = Rows { rows, from_row, from_at: op.start * inner, to_row: length, begin: 0, length, clear: false };
    copy.dispatch(cx, cx.view(x), cx.view(y))
}

pub(crate) fn slice_grad(cx: &mut Lower<'_>, node: &Node, op: SliceGrad) -> Result<()> {
    let (dy, dx) = (node.inputs[0], node.outputs[0]);
    let (rows, inner) = around(cx, dx, op.slice.axis);
    let length = op.slice.length * inner;
    let begin = op.slice.start * inner;
    let copy = Rows { rows, from_row: length, from_at: 0, to_row: op.size * inner, begin, length, clear: true };
    copy.dispatch(cx, cx.view(dy), cx.view(dx))
}

/// Copies a view into another of its size.
pub(crate) fn copy(cx: &mut Lower<'_>, from: View, to: View) -> Result<()> {
    let length = from.elements;
    Rows { rows: 1, from_row: length, from_at: 0, to_row: length, begin: 0, length, clear: false }
        .dispatch(cx, from, to)
}
