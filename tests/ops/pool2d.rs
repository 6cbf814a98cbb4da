//! Pooling over windows.

use moue::ops::{Pool2d, Pool2dGrad, PoolKind};

use crate::support::{
    case::{Cases, Element},
    data::Array,
};

/// A window of a map of 7×6 pixels, with NaN at some of its places: it and all others that have one of these pixels are
/// NaN, and the gradient of each goes to the first of its NaN.
fn nan_in_a_window(cases: &mut Cases, window: &str, pool: Pool2d, places: &[usize]) {
    const DIMS: [usize; 4] = [1, 2, 7, 6];
    let Pool2d { size, stride, padding, .. } = pool;
    let name = format!("max_{window}_with_nan_at_{places:?}");
    // The window at 1, 1 of the second plane lies on the map.
    let pixel = |place: usize| [stride + place / size - padding, stride + place % size - padding];
    let pixels: Vec<[usize; 2]> = places.iter().map(|&place| pixel(place)).collect();
    let [out_h, out_w] = [7, 6].map(|side| (side + 2 * padding - size) / stride + 1);
    let mut x = Array::grid(&name, &DIMS, 1.0, 2.0);
    for (i, &[row, column]) in pixels.iter().enumerate() {
        let place = x.offset(0, 1, row, column);
        x.data[place] = if i % 2 == 0 { -f64::NAN } else { f64::NAN };
    }
    let dy = Array::grid(&format!("{name} dy"), &[1, 2, out_h, out_w], 1.0, 8.0);
    let (mut nan, mut dx) = (Vec::new(), vec![0.0; pixels.len()]);
    for h in 0..out_h {
        for w in 0..out_w {
            let has = |at: usize, window: usize| (window * stride..window * stride + size).contains(&(at + padding));
            if let Some(first) = pixels.iter().position(|&[row, column]| has(row, h) && has(column, w)) {
                nan.push(dy.offset(0, 1, h, w));
                dx[first] += dy.at(0, 1, h, w);
            }
        }
    }
    cases.op_on_nan(&name, pool, vec![x.clone()], Element::nan(0, nan));
    let dx = pixels.iter().zip(dx).map(|(&[row, column], dx)| Element::new(0, x.offset(0, 1, row, column), dx));
    cases.op_on_nan(&format!("gradient_of_{name}"), Pool2dGrad { pool }, vec![dy, x.clone()], dx.collect());
}

pub(super) fn cases(cases: &mut Cases) {
    // Size, stride, padding.
    let windows = [
        ("2x2", [2, 2, 0]),
        ("2x2_with_stride_1", [2, 1, 0]),
        ("3x3_with_stride_2_and_padding_1", [3, 2, 1]),
        ("3x3_with_stride_1_and_padding_1", [3, 1, 1]),
        ("5x5_with_stride_3_and_padding_2", [5, 3, 2]),
        ("1x1_with_stride_2", [1, 2, 0]),
        ("2x2_with_stride_3", [2, 3, 0]),
        ("4x4_with_padding_2", [4, 2, 2]),
    ];
    let maps = [("an_odd_map", [2, 3, 11, 7]), ("a_map_of_5x6", [1, 67, 5, 6]), ("a_large_map", [1, 2, 19, 23])];
    for (kind, word) in [(PoolKind::Max, "max"), (PoolKind::Avg, "avg")] {
        for (window, [size, stride, padding]) in windows {
            let pool = Pool2d { kind, size, stride, padding };
            for (map, dims) in maps {
                let name = format!("{word}_{window}_of_{map}");
                // Values tie within a window.
                let x = Array::grid(&name, &dims, 1.0, 2.0);
                let side = |side: usize| (side + 2 * padding - size) / stride + 1;
                let dy = Array::random(&format!("{name} dy"), &[dims[0], dims[1], side(dims[2]), side(dims[3])]);
                cases.op(&name, pool, vec![x.clone()]);
                cases.op(&format!("gradient_of_{name}"), Pool2dGrad { pool }, vec![dy, x]);
            }
        }
        let pool = Pool2d { kind, size: 3, stride: 2, padding: 1 };
        let negative = Array::uniform("negative", &[1, 2, 5, 5], -2.0, -1.0);
        cases.op(&format!("{word}_of_negative_values_beside_padding"), pool, vec![negative]);
        let zeros = vec![Array::filled(&[1, 2, 3, 3], 1.0), Array::zeros(&[1, 2, 5, 5])];
        cases.op(&format!("{word}_gradient_of_equal_values"), Pool2dGrad { pool }, zeros);
        let pool = Pool2d { kind, size: 2, stride: 2, padding: 0 };
        cases.op(&format!("{word}_of_one_window"), pool, vec![Array::random("window", &[1, 1, 2, 2])]);
    }
    for (window, [size, stride, padding]) in windows.into_iter().filter(|(_, [size, ..])| *size > 1) {
        let pool = Pool2d { kind: PoolKind::Max, size, stride, padding };
        let (middle, last) = (size * size / 2, size * size - 1);
        // Of those in one row and in one column too.
        for places in [&[0][..], &[middle], &[last], &[0, last], &[1, size], &[middle, last], &[0, 1, size]] {
            nan_in_a_window(cases, window, pool, places);
        }
    }
}
