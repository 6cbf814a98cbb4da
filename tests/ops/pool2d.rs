//! Pooling over windows.

use moue::ops::{Pool2d, Pool2dGrad, PoolKind};

use crate::support::{case::Cases, data::Array};

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
}
