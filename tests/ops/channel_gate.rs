//! The channel gate.

use moue::ops::{ChannelGate, ChannelGateGrad};

use crate::support::{
    case::{Cases, Element},
    data::Array,
    reference::reference,
};

/// x and a on a grid: their products are exact, so ties are ties everywhere, and there are many.
fn inputs(name: &str, [n, c, h, w]: [usize; 4]) -> Vec<Array> {
    let a = Array::grid(&format!("{name} a"), &[n, c], 0.5, 16.0).map(|value| value + 0.5);
    vec![Array::grid(&format!("{name} x"), &[n, c, h, w], 2.0, 64.0), a]
}

/// A NaN makes its pixel's maximum and mean NaN in its group; the largest channel is the first of those that have one.
fn nan_in_a_pixel(cases: &mut Cases, size: &str, groups: usize, dims: [usize; 4]) {
    let [n, c, h, w] = dims;
    let (each, area) = (c / groups, h * w);
    let mut places = vec![vec![0], vec![each / 2], vec![each - 1], vec![0, each - 1], vec![each / 2, each - 1]];
    places.dedup();
    for channels in places.iter().filter(|channels| channels.is_sorted_by(|a, b| a < b)) {
        let name = format!("gate_{size}_with_nan_in_{channels:?}");
        let mut forward = inputs(&name, dims);
        let mut expected = Vec::new();
        // In the last group of the last image.
        let group = n * groups - 1;
        for pixel in [0, area / 2, area - 1] {
            for (i, channel) in channels.iter().enumerate() {
                let place = (group * each + channel) * area + pixel;
                forward[0].data[place] = if i % 2 == 0 { -f64::NAN } else { f64::NAN };
                expected.extend(Element::nan(0, [place]));
            }
            expected.extend(Element::nan(1, [0, 1].map(|pooled| (2 * group + pooled) * area + pixel)));
            expected.push(Element::new(2, group * area + pixel, channels[0] as f64));
        }
        cases.op_on_nan(&name, ChannelGate { groups }, forward, expected);
    }
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
    for (size, groups, dims) in [
        ("of_one_group", 1, [2, 8, 5, 3]),
        ("of_nine_groups", 9, [2, 9 * 3, 3, 3]),
        ("of_groups_of_one_channel", 7, [2, 7, 3, 5]),
        ("of_67_channels", 1, [3, 67, 3, 1]),
        ("of_67_channels_in_whole_vectors", 1, [1, 67, 2, 4]),
        ("of_more_pixels_than_a_task", 2, [2, 6, 33, 35]),
    ] {
        nan_in_a_pixel(cases, size, groups, dims);
    }
    let equal = vec![Array::filled(&[2, 6, 3, 3], 0.75), Array::filled(&[2, 6], 0.5)];
    cases.op("equal_channels_name_the_first", ChannelGate { groups: 2 }, equal);
    let zero = vec![Array::zeros(&[2, 6, 3, 3]), Array::filled(&[2, 6], 0.5)];
    cases.op("zeros_stay_zero", ChannelGate { groups: 3 }, zero);
    let negative = vec![Array::uniform("negative", &[2, 4, 3, 3], -2.0, -1.0), Array::filled(&[2, 4], 0.5)];
    cases.op("the_maximum_of_negative_channels_is_negative", ChannelGate { groups: 1 }, negative);
}
