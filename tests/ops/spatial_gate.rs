//! The spatial gate.

use moue::ops::{SpatialGate, SpatialGateGrad};

use crate::support::{case::Cases, data::Array};

pub(super) fn cases(cases: &mut Cases) {
    let sizes: [(&str, usize, [usize; 4]); 7] = [
        ("of_one_element", 1, [1, 1, 1, 1]),
        ("of_one_group", 1, [2, 8, 5, 3]),
        ("of_nine_groups", 9, [2, 9 * 3, 3, 3]),
        ("of_groups_of_one_channel", 7, [2, 7, 3, 5]),
        ("of_sixteen_groups", 16, [1, 32, 2, 7]),
        ("of_67_channels", 1, [3, 67, 3, 1]),
        ("of_more_pixels_than_a_workgroup", 3, [2, 6, 17, 19]),
    ];
    for (size, groups, dims) in sizes {
        let [n, _, h, w] = dims;
        let x = Array::random(&format!("{size} x"), &dims);
        let a = Array::uniform(&format!("{size} a"), &[n, groups, h, w], 0.0, 1.0);
        let dy = Array::random(&format!("{size} dy"), &dims);
        cases.op(&format!("gate_{size}"), SpatialGate { groups }, vec![x.clone(), a.clone()]);
        cases.op(&format!("gradient_{size}"), SpatialGateGrad { groups }, vec![dy, x, a]);
    }
    let (x, a) = (Array::random("closed x", &[2, 6, 3, 3]), Array::zeros(&[2, 2, 3, 3]));
    cases.op("a_closed_gate_gives_zeros", SpatialGate { groups: 2 }, vec![x, a]);
}
