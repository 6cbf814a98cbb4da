//! Sums over an axis, and repetition along one.

use moue::ops::{AxisRepeat, AxisSum};

use crate::support::{case::Cases, data::Array};

pub(super) fn cases(cases: &mut Cases) {
    let all: [(&str, &[usize]); 4] =
        [("ones", &[1, 1]), ("a_matrix", &[67, 9]), ("maps", &[3, 5, 4, 7]), ("groups", &[2, 4, 131, 49])];
    for (name, dims) in all {
        for axis in 0..dims.len() {
            let length = dims[axis];
            for (word, scale) in [("sum", 1.0), ("mean", 1.0 / length as f64), ("negative_sum", -0.5)] {
                let x = Array::random(&format!("{name} {axis}"), dims);
                cases.op(&format!("{word}_over_axis_{axis}_of_{name}"), AxisSum { axis, scale }, vec![x]);
            }
        }
        for axis in 0..=dims.len() {
            for (length, scale) in [(1, 1.0), (2, 1.0), (3, 0.25)] {
                let x = Array::random(&format!("{name} {axis}"), dims);
                let op = AxisRepeat { axis, length, scale };
                cases.op(&format!("{length}_times_along_axis_{axis}_of_{name}"), op, vec![x]);
            }
        }
    }
    let long = Array::random("long", &[2, 4099]);
    cases.op("sum_of_4099_beside_each_other", AxisSum { axis: 1, scale: 1.0 }, vec![long.clone()]);
    cases.op(
        "4099_copies_beside_each_other",
        AxisRepeat { axis: 1, length: 4099, scale: 1.0 },
        vec![Array::random("few", &[2])],
    );
    cases.op("sum_of_two_rows_of_4099", AxisSum { axis: 0, scale: 1.0 }, vec![long]);
}
