//! Global pooling.

use moue::ops::{GlobalPool, GlobalPoolGrad, Pooling};

use crate::support::{case::Cases, data::Array, reference::reference};

pub(super) fn cases(cases: &mut Cases) {
    let sizes = [
        ("one_element", [1, 1, 1, 1]),
        ("a_small_map", [2, 3, 5, 7]),
        ("one_pixel", [3, 67, 1, 1]),
        ("one_less_than_a_workgroup", [2, 3, 5, 51]),
        ("one_more_than_a_workgroup", [1, 2, 1, 257]),
        ("a_large_map", [1, 5, 31, 37]),
        ("many_channels", [2, 131, 3, 3]),
    ];
    for (pooling, word) in [(Pooling::Avg, "avg"), (Pooling::Max, "max"), (Pooling::AvgMax, "avg_max")] {
        let op = GlobalPool { pooling };
        for (size, shape) in sizes {
            // Every other value occurs several times, the largest too.
            let x = Array::grid(&format!("{word} {size}"), &shape, 1.0, 8.0);
            let positions = reference(&op.into(), std::slice::from_ref(&x), &mut [])[1].clone();
            cases.op(&format!("{word}_of_{size}"), op, vec![x]);
            let dy = Array::random(&format!("{size} dy"), &[pooling.count(), shape[0], shape[1]]);
            let so_far = Array::random(&format!("{size} so far"), &shape);
            let op = GlobalPoolGrad { pooling, shape };
            cases.op(&format!("{word}_gradient_of_{size}"), op, vec![dy.clone(), positions.clone()]);
            cases.op(&format!("{word}_gradient_of_{size}_on_another"), op, vec![dy, positions, so_far]);
        }
        cases.op(&format!("{word}_of_zeros_is_at_the_first_pixel"), op, vec![Array::zeros(&[2, 3, 5, 7])]);
        let negative = Array::uniform("negative", &[2, 3, 17, 19], -2.0, -1.0);
        cases.op(&format!("{word}_of_negative_values"), op, vec![negative]);
        // The largest value stands at the end and just before: the first of the two counts.
        let mut late = Array::random("late", &[1, 2, 23, 13]);
        for channel in 0..2 {
            for back in [1, 2] {
                late.data[(channel + 1) * 23 * 13 - back] = 2.0;
            }
        }
        cases.op(&format!("{word}_of_a_late_tie"), op, vec![late]);
    }
}
