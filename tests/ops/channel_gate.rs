//! The channel gate.

use moue::ops::{ChannelGate, ChannelGateGrad};

use crate::support::{case::Cases, data::Array, reference::reference};

/// x and a on a grid: their products are exact, so ties are ties everywhere, and there are many.
fn inputs(name: &str, [n, c, h, w]: [usize; 4]) -> Vec<Array> {
    let a = Array::grid(&format!("{name} a"), &[n, c], 0.5, 16.0).map(|value| value + 0.5);
    vec![Array::grid(&format!("{name} x"), &[n, c, h, w], 2.0, 64.0), a]
}

pub(super) fn cases(cases: &mut Cases) {
    let sizes: [(&str, usize, [usize; 4]); 9] = [
        ("of_one_element", 1, [1, 1, 1, 1]),
        ("of_one_group", 1, [2, 8, 5, 3]),
        ("of_nine_groups", 9, [2, 9 * 3, 3, 3]),
        ("of_groups_of_one_channel", 7, [2, 7, 3, 5]),
        ("of_sixteen_groups", 16, [1, 32, 2, 7]),
        ("of_67_channels", 1, [3, 67, 3, 1]),
        ("of_more_pixels_than_a_workgroup", 3, [1, 6, 17, 19]),
        ("of_more_pixels_than_a_task", 2, [2, 6, 33, 35]),
        ("of_many_images", 2, [65, 4, 1, 3]),
    ];
    for (size, groups, dims) in sizes {
        let op = ChannelGate { groups };
        let forward = inputs(size, dims);
        let largest = reference(&op.into(), &forward, &mut [])[2].clone();
        let [n, _, h, w] = dims;
        let gradient = vec![
            Array::random(&format!("{size} dy"), &dims),
            Array::random(&format!("{size} dpooled"), &[n, 2 * groups, h, w]),
            largest,
            forward[0].clone(),
            forward[1].clone(),
        ];
        cases.op(&format!("gate_{size}"), op, forward);
        let mut so_far = gradient.clone();
        so_far.push(Array::random(&format!("{size} so far"), &dims[..2]));
        cases.op(&format!("gradient_{size}"), ChannelGateGrad { groups }, gradient);
        cases.op(&format!("gradient_after_others_{size}"), ChannelGateGrad { groups }, so_far);
    }
    let equal = vec![Array::filled(&[2, 6, 3, 3], 0.75), Array::filled(&[2, 6], 0.5)];
    cases.op("equal_channels_name_the_first", ChannelGate { groups: 2 }, equal);
    let zero = vec![Array::zeros(&[2, 6, 3, 3]), Array::filled(&[2, 6], 0.5)];
    cases.op("zeros_stay_zero", ChannelGate { groups: 3 }, zero);
    let negative = vec![Array::uniform("negative", &[2, 4, 3, 3], -2.0, -1.0), Array::filled(&[2, 4], 0.5)];
    cases.op("the_maximum_of_negative_channels_is_negative", ChannelGate { groups: 1 }, negative);
}
