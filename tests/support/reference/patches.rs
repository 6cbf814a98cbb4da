//! Patches of maps, element by element.

use moue::ops::{Patches, PatchesJoin};

use super::super::data::Array;

/// Calls `with(place in the map, place in the stacked patches)` for each element of a map [N, C, H, W].
fn each(op: &Patches, [n, c, h, w]: [usize; 4], mut with: impl FnMut(usize, usize)) {
    let (high, wide) = (h / op.rows, w / op.columns);
    for image in 0..n {
        for channel in 0..c {
            for row in 0..h {
                for column in 0..w {
                    let patch = row / high * op.columns + column / wide;
                    let plane = (image * op.rows * op.columns + patch) * c + channel;
                    let stacked = (plane * high + row % high) * wide + column % wide;
                    with(((image * c + channel) * h + row) * w + column, stacked);
                }
            }
        }
    }
}

pub(super) fn cut(op: &Patches, inputs: &[Array]) -> Vec<Array> {
    let dims @ [n, c, h, w] = inputs[0].nchw();
    let mut y = Array::zeros(&[n, op.rows * op.columns * c, h / op.rows, w / op.columns]);
    each(op, dims, |map, stacked| y.data[stacked] = inputs[0].data[map]);
    vec![y]
}

pub(super) fn join(op: &PatchesJoin, inputs: &[Array]) -> Vec<Array> {
    let [n, c, h, w] = inputs[0].nchw();
    let Patches { rows, columns } = op.patches;
    let dims = [n, c / (rows * columns), h * rows, w * columns];
    let mut y = Array::zeros(&dims);
    each(&op.patches, dims, |map, stacked| y.data[map] = inputs[0].data[stacked]);
    vec![y]
}
