//! The spatial gate.

use moue::ops::{SpatialGate, SpatialGateEval, SpatialGateGrad};

use crate::support::{
    case::{Cases, Element},
    data::Array,
    reference::reference,
};

const EPS: f64 = 1e-5;

/// x, pooled maps, filters, weight, bias.
fn inputs(name: &str, groups: usize, kernel: usize, [n, c, h, w]: [usize; 4]) -> Vec<Array> {
    vec![
        Array::random(&format!("{name} x"), &[n, c, h, w]),
        Array::random(&format!("{name} pooled"), &[n, 2 * groups, h, w]),
        Array::random(&format!("{name} filters"), &[groups, 2, kernel, kernel]),
        Array::uniform(&format!("{name} weight"), &[groups], 0.5, 1.5),
        Array::random(&format!("{name} bias"), &[groups]),
    ]
}

fn running(name: &str, groups: usize) -> Vec<Array> {
    vec![
        Array::random(&format!("{name} running mean"), &[groups]),
        Array::uniform(&format!("{name} running variance"), &[groups], 0.5, 2.0),
    ]
}

/// The inputs of the gradient, normalised values and statistics as the forward op leaves them; with or without a
/// gradient that arrives at the attention.
fn grad_inputs(name: &str, groups: usize, forward: &[Array], direct: bool) -> Vec<Array> {
    let op = SpatialGate { groups, eps: EPS, momentum: 0.1 };
    let outputs = reference(&op.into(), forward, &mut running(name, groups));
    let mut all = vec![Array::random(&format!("{name} dy"), &forward[0].dims)];
    all.extend_from_slice(forward);
    all.extend(outputs[2..].iter().map(|array| array.clone().rounded()));
    if direct {
        all.push(Array::random(&format!("{name} da"), &outputs[1].dims));
    }
    all
}

/// All three ops on inputs.
fn all_ops(cases: &mut Cases, claim: &str, groups: usize, forward: &[Array], momentum: f64) {
    let op = SpatialGate { groups, eps: EPS, momentum };
    cases.op_with_updates(claim, op, forward.to_vec(), running(claim, groups), 1);
    let mut eval = forward.to_vec();
    eval.extend(running(claim, groups));
    cases.op(&format!("eval_{claim}"), SpatialGateEval { groups, eps: EPS }, eval);
    for (direct, word) in [(false, "gradient"), (true, "gradient_with_the_attentions_own")] {
        let inputs = grad_inputs(claim, groups, forward, direct);
        cases.op(&format!("{word}_{claim}"), SpatialGateGrad { groups }, inputs);
    }
}

/// A NaN under a filter of one pixel makes that pixel of its group NaN, in training mode all of the group.
fn nan_in_a_pixel(cases: &mut Cases, dims: [usize; 4]) {
    let [n, c, h, w] = dims;
    let (groups, area) = (2, h * w);
    let each = c / groups;
    let name = format!("{h}x{w}_with_nan");
    let mut inputs = inputs(&name, groups, 1, dims);
    // In the second group of the second image.
    inputs[1].data[(groups + 1) * 2 * area + area - 2] = f64::NAN;
    let group = |places: usize| (0..n * groups * places).filter(move |place| place / places % groups == 1);
    let trained = [
        Element::nan(0, group(each * area)),
        Element::nan(1, group(area)),
        Element::nan(2, group(area)),
        Element::nan(3, [1]),
        Element::nan(4, [1]),
        Element::nan(5, [1]),
    ];
    let op = SpatialGate { groups, eps: EPS, momentum: 0.1 };
    cases.op_on_nan_with_updates(&name, op, inputs.clone(), running(&name, groups), trained.concat());
    inputs.extend(running(&name, groups));
    let channels = (c + each..2 * c).map(|plane| plane * area + area - 2);
    let expected = [Element::nan(0, channels), Element::nan(1, [(groups + 1) * area + area - 2])];
    cases.op_on_nan(&format!("eval_{name}"), SpatialGateEval { groups, eps: EPS }, inputs, expected.concat());
}

pub(super) fn cases(cases: &mut Cases) {
    nan_in_a_pixel(cases, [2, 6, 5, 7]);
    nan_in_a_pixel(cases, [3, 4, 6, 8]);
    // Groups, K, [N, C, H, W].
    let sizes: [(&str, usize, usize, [usize; 4]); 15] = [
        ("of_one_element", 1, 1, [1, 1, 1, 1]),
        ("of_one_pixel_under_a_large_filter", 3, 7, [5, 6, 1, 1]),
        ("of_one_group", 1, 7, [2, 8, 5, 3]),
        ("of_nine_groups", 9, 7, [2, 9 * 3, 3, 4]),
        ("of_groups_of_one_channel", 7, 3, [2, 7, 3, 5]),
        ("of_sixteen_groups", 16, 7, [2, 32, 2, 7]),
        ("of_67_channels", 1, 3, [3, 67, 3, 1]),
        ("of_more_pixels_than_a_workgroup", 3, 7, [2, 6, 17, 19]),
        ("of_a_filter_wider_than_the_map", 2, 11, [2, 4, 4, 3]),
        ("of_a_filter_of_21", 3, 21, [2, 3, 5, 23]),
        ("of_a_filter_of_one", 2, 1, [3, 6, 9, 7]),
        ("of_a_filter_of_five_on_a_long_row", 2, 5, [1, 4, 1, 301]),
        ("of_many_images_of_few_pixels", 2, 7, [131, 2, 2, 3]),
        ("of_many_pixels_and_one_channel", 1, 7, [3, 1, 97, 101]),
        ("of_many_channels_of_few_pixels", 2, 7, [3, 2 * 131, 6, 6]),
    ];
    for (i, (size, groups, kernel, dims)) in sizes.into_iter().enumerate() {
        let forward = inputs(size, groups, kernel, dims);
        all_ops(cases, size, groups, &forward, if i.is_multiple_of(2) { 0.01 } else { 0.1 });
    }

    let dims = [4, 6, 7, 5];
    let op = SpatialGate { groups: 2, eps: EPS, momentum: 0.1 };
    let (forward, state) = (inputs("steps", 2, 3, dims), running("steps", 2));
    cases.op_with_updates("three_steps_move_the_running_estimates", op, forward, state, 3);
    let (forward, state) = (inputs("whole", 2, 3, dims), running("whole", 2));
    let whole = SpatialGate { groups: 2, eps: 1e-3, momentum: 1.0 };
    cases.op_with_updates("momentum_1_takes_the_batch_alone", whole, forward, state, 1);

    let mut far = inputs("far", 2, 1, dims);
    far[1] = far[1].clone().map(|value| value + 30.0);
    all_ops(cases, "of_pooled_maps_far_from_zero", 2, &far, 0.1);
    let mut zero = inputs("zero", 2, 3, dims);
    zero[1] = Array::zeros(&[4, 4, 7, 5]);
    all_ops(cases, "of_zeros_which_have_no_variance", 2, &zero, 0.1);
    let mut closed = inputs("closed", 2, 3, dims);
    closed[4] = Array::filled(&[2], -200.0);
    all_ops(cases, "that_is_closed", 2, &closed, 0.1);
    let mut open = inputs("open", 2, 3, dims);
    open[4] = Array::filled(&[2], 60.0);
    all_ops(cases, "that_is_open", 2, &open, 0.1);
    let mut still = grad_inputs("still", 2, &inputs("still", 2, 3, dims), false);
    still[0] = Array::zeros(&dims);
    cases.op("gradient_of_nothing_is_nothing", SpatialGateGrad { groups: 2 }, still);
}
