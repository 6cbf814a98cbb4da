//! CBAM's channel attention.

use moue::ops::{ChannelAttention, ChannelAttentionGrad};

use crate::support::{
    case::{Cases, Element},
    data::Array,
    reference::reference,
};

/// p, W₁, b₁, W₂, b₂. Multiples of 1/64, so that each hidden unit's sum is exact and its sign is the same everywhere.
fn inputs(name: &str, groups: usize, [d, n, c, m]: [usize; 4]) -> Vec<Array> {
    let grid = |what: &str, dims: &[usize]| Array::grid(&format!("{name} {what}"), dims, 1.0, 64.0);
    let mut first_bias = grid("b1", &[m]);
    for value in &mut first_bias.data {
        *value += 1.0 / 8192.0; // Never exactly at ReLU's kink.
    }
    vec![
        grid("p", &[d, n, c]),
        grid("w1", &[m, c / groups]),
        first_bias,
        grid("w2", &[c, m / groups]),
        grid("b2", &[c]),
    ]
}

pub(super) fn cases(cases: &mut Cases) {
    let sizes: [(&str, usize, [usize; 4]); 8] = [
        ("of_one_channel", 1, [1, 1, 1, 1]),
        ("of_one_group", 1, [2, 3, 32, 2]),
        ("of_nine_groups", 9, [2, 2, 9 * 5, 9 * 3]),
        ("of_three_groups_and_one_descriptor", 3, [1, 4, 3 * 17, 3]),
        ("of_sixteen_groups", 16, [2, 1, 16 * 4, 16]),
        ("of_prime_sizes", 1, [2, 5, 67, 7]),
        ("of_wide_layers", 1, [2, 2, 257, 33]),
        ("of_many_images", 2, [2, 67, 16, 4]),
    ];
    for (size, groups, dims) in sizes {
        let forward = inputs(size, groups, dims);
        let op = ChannelAttention { groups };
        let outputs = reference(&op.into(), &forward, &mut []);
        let gradient = vec![
            Array::random(&format!("{size} da"), &outputs[0].dims),
            outputs[0].clone().rounded(),
            outputs[1].clone().rounded(),
            forward[0].clone(),
            forward[1].clone(),
            forward[3].clone(),
        ];
        cases.op(&format!("attention_{size}"), op, forward);
        cases.op(&format!("gradient_{size}"), ChannelAttentionGrad { groups }, gradient);
    }
    let mut zero = inputs("zero", 2, [2, 3, 8, 4]);
    for array in &mut zero {
        *array = Array::zeros(&array.dims);
    }
    cases.op("zeros_attend_half", ChannelAttention { groups: 2 }, zero);
    // A NaN of the second image's last group makes its hidden units and its attention NaN.
    let mut nan = inputs("nan", 2, [2, 2, 8, 4]);
    nan[0].data[8 + 6] = f64::NAN;
    let expected = [Element::nan(0, 8 + 4..8 + 8), Element::nan(1, 4 + 2..4 + 4)].concat();
    cases.op_on_nan("attention_with_nan", ChannelAttention { groups: 2 }, nan, expected);
    let mut loud = inputs("loud", 1, [2, 2, 6, 2]);
    loud[4] = Array::new(&[6], vec![80.0, -80.0, 45.0, -45.0, 0.0, 20.0]);
    cases.op("large_biases_saturate", ChannelAttention { groups: 1 }, loud);
}
