//! Global pooling.

use moue::ops::{GlobalPool, GlobalPoolGrad, Pooling};

use crate::support::{
    case::{Cases, Element},
    data::Array,
    reference::reference,
};

/// A NaN makes its map's descriptors NaN; the maximum's position is that of the first.
fn nan_in_a_map(cases: &mut Cases, pooling: Pooling, word: &str) {
    for (size, [height, width]) in [
        ("a_small_map", [3, 5]),
        ("a_map_of_35_pixels", [5, 7]),
        ("one_more_than_a_workgroup", [1, 257]),
        ("a_large_map", [31, 37]),
    ] {
        let area = height * width;
        for (which, places) in [
            ("the_first", &[0][..]),
            ("the_middle", &[area / 2]),
            ("the_last", &[area - 1]),
            ("the_first_and_the_last", &[0, area - 1]),
            ("the_last_two", &[area - 2, area - 1]),
        ] {
            let name = format!("{word}_of_{size}_with_nan_in_{which}");
            let mut x = Array::grid(&name, &[2, 2, height, width], 1.0, 8.0);
            for (i, place) in places.iter().enumerate() {
                x.data[2 * area + place] = if i % 2 == 0 { -f64::NAN } else { f64::NAN };
            }
            let mut expected = Element::nan(0, (0..pooling.count()).map(|descriptor| 4 * descriptor + 2));
            expected.push(Element::new(1, 2, if pooling == Pooling::Avg { 0.0 } else { places[0] as f64 }));
            cases.op_on_nan(&name, GlobalPool { pooling }, vec![x], expected);
        }
    }
}

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
        nan_in_a_map(cases, pooling, word);
    }
}
