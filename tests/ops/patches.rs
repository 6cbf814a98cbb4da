//! Cutting maps into patches and joining them.

use moue::ops::{Patches, PatchesJoin};

use crate::support::{case::Cases, data::Array};

pub(super) fn cases(cases: &mut Cases) {
    // Images, channels and sides of a patch; then patches above and beside each other.
    let all = [
        ([1, 1, 1, 1], [1, 1]),
        ([1, 1, 1, 1], [2, 2]),
        ([2, 3, 5, 7], [2, 2]),
        ([3, 2, 4, 1], [1, 5]),
        ([2, 67, 3, 2], [3, 1]),
        ([2, 16, 14, 14], [2, 2]),
        ([1, 2, 11, 13], [3, 2]),
    ];
    for ([n, c, h, w], [rows, columns]) in all {
        let patches = Patches { rows, columns };
        let name = format!("{rows}x{columns}_of_{n}x{c}x{h}x{w}");
        cases.op(&format!("cut_{name}"), patches, vec![Array::random(&name, &[n, c, rows * h, columns * w])]);
        let stacked = Array::random(&name, &[n, rows * columns * c, h, w]);
        cases.op(&format!("join_{name}"), PatchesJoin { patches }, vec![stacked]);
    }
}
