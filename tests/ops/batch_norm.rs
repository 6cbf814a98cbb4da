//! Batch normalisation.

use moue::ops::{BatchNorm, BatchNormEval, BatchNormGrad, Function};

use crate::support::{
    case::{Cases, Element},
    data::Array,
    reference::reference,
};

const EPS: f64 = 1e-5;

/// x, weight, bias: channels of different means and spreads.
fn inputs(name: &str, [n, c, h, w]: [usize; 4], offset: f64) -> Vec<Array> {
    let mut x = Array::random(&format!("{name} x"), &[n, c, h, w]);
    for (i, value) in x.data.iter_mut().enumerate() {
        let channel = (i / (h * w) % c) as f64;
        *value = *value * (0.5 + channel / c as f64) + offset * (channel - c as f64 / 2.0).signum();
    }
    let weight = Array::uniform(&format!("{name} weight"), &[c], 0.5, 1.5);
    vec![x.rounded(), weight, Array::random(&format!("{name} bias"), &[c])]
}

fn running(name: &str, c: usize) -> Vec<Array> {
    vec![
        Array::random(&format!("{name} running mean"), &[c]),
        Array::uniform(&format!("{name} running variance"), &[c], 0.5, 2.0),
    ]
}

/// The same on a grid: within a channel values are equal or clearly apart, so that every device finds the same maxima.
/// Every other weight is negative, which turns maxima into minima.
fn tied(name: &str, [n, c, h, w]: [usize; 4]) -> Vec<Array> {
    let mut all = inputs(name, [n, c, h, w], 0.0);
    all[0] = Array::grid(&format!("{name} x"), &[n, c, h, w], 1.0, 8.0);
    for channel in (1..c).step_by(2) {
        all[1].data[channel] *= -1.0;
    }
    all
}

const PLAIN: BatchNorm = BatchNorm { eps: EPS, momentum: 0.1, activation: None, pool: false, descriptors: false };

fn eval(op: BatchNorm) -> BatchNormEval {
    let BatchNorm { eps, activation, pool, descriptors, .. } = op;
    BatchNormEval { eps, activation, pool, descriptors }
}

fn gradient(op: BatchNorm) -> BatchNormGrad {
    let BatchNorm { activation, pool, descriptors, .. } = op;
    BatchNormGrad { activation, pool, descriptors }
}

/// The inputs of the gradient: statistics and positions as the forward op leaves them, biases chosen so that no value
/// lies so close to ReLU's kink that f32 and f64 could differ in its sign.
fn grad_inputs(name: &str, op: BatchNorm, mut forward: Vec<Array>) -> Vec<Array> {
    let [n, c, h, w] = forward[0].nchw();
    forward[2] = Array::zeros(&[c]);
    let outputs = reference(&PLAIN.into(), &forward, &mut running(name, c));
    for channel in 0..c {
        let before: Vec<f64> =
            (0..outputs[0].data.len()).filter(|i| i / (h * w) % c == channel).map(|i| outputs[0].data[i]).collect();
        let distance = |bias: f64| before.iter().fold(f64::INFINITY, |least, value| least.min((value + bias).abs()));
        let candidates = (0..400).map(|i| f64::from(i - 200) / 256.0);
        let bias = candidates.max_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0.0);
        assert!(distance(bias) > 1e-4, "{name}: a bias away from the kink");
        forward[2].data[channel] = bias;
    }
    let outputs = reference(&op.into(), &forward, &mut running(name, c));
    let mut all = vec![Array::random(&format!("{name} dy"), &outputs[0].dims)];
    all.extend(forward);
    all.push(outputs[1].clone().rounded());
    if op.descriptors {
        all.extend([Array::random(&format!("{name} descriptors"), &[2, n, c]), outputs[3].clone()]);
    }
    all
}

/// The op, its gradient and the op in evaluation mode.
fn each(cases: &mut Cases, name: &str, op: BatchNorm, inputs: &[Array]) {
    let c = inputs[1].dims[0];
    cases.op_with_updates(name, op, inputs.to_vec(), running(name, c), 1);
    let mut more = inputs.to_vec();
    more.extend(running(name, c));
    cases.op(&format!("eval_{name}"), eval(op), more);
    cases.op(&format!("gradient_{name}"), gradient(op), grad_inputs(name, op, inputs.to_vec()));
}

/// Pooling and descriptors, each alone and both.
fn pooled_and_described(cases: &mut Cases) {
    let sizes: [(&str, [usize; 4]); 8] = [
        ("one_window", [2, 3, 2, 2]),
        ("67_channels_of_odd_size", [3, 67, 3, 5]),
        ("an_odd_map", [3, 4, 9, 7]),
        ("a_map_of_13x16", [2, 3, 13, 16]),
        ("one_image_of_one_channel", [1, 1, 33, 31]),
        ("rows_longer_than_a_block", [2, 1, 5, 1031]),
        ("more_than_a_workgroup_takes", [3, 2, 77, 74]),
        ("many_small_maps", [603, 2, 6, 5]),
    ];
    let activations = [(None, "plain"), (Some(Function::Relu), "relu"), (Some(Function::Sigmoid), "sigmoid")];
    let followed = [(true, false, "pooled"), (false, true, "described"), (true, true, "pooled_and_described")];
    for (size, dims) in sizes {
        for (activation, word) in activations {
            for (pool, descriptors, what) in followed {
                let name = format!("{word}_{what}_of_{size}");
                each(cases, &name, BatchNorm { activation, pool, descriptors, ..PLAIN }, &tied(&name, dims));
            }
        }
    }
    // What pooling cannot do: planes of one pixel.
    for (activation, word) in activations {
        for (size, dims) in [("one_pixel", [259, 3, 1, 1]), ("many_maps_of_one_pixel", [16_400, 1, 1, 1])] {
            let name = format!("{word}_described_of_{size}");
            each(cases, &name, BatchNorm { activation, descriptors: true, ..PLAIN }, &tied(&name, dims));
        }
    }
    let both = BatchNorm { activation: Some(Function::Relu), pool: true, descriptors: true, ..PLAIN };
    for (word, op) in [("described", BatchNorm { pool: false, ..both }), ("pooled_and_described", both)] {
        // Nothing passes ReLU: all are equal, the first counts, no gradient comes through.
        let mut below = tied("below", [2, 3, 7, 6]);
        below[2] = Array::filled(&[3], -8.0);
        cases.op_with_updates(&format!("{word}_zeros"), op, below.clone(), running("below", 3), 1);
        let mut gradients = grad_inputs("below", op, below.clone());
        gradients[3] = below[2].clone();
        gradients[6] = Array::zeros(&[2, 3]);
        cases.op(&format!("gradient_{word}_zeros"), gradient(op), gradients);
        // All of a channel is equal: x̂ is 0, the bias passes.
        let mut constant = tied("constant", [2, 3, 7, 6]);
        (constant[0], constant[2]) = (Array::filled(&[2, 3, 7, 6], 0.625), Array::filled(&[3], 0.5));
        cases.op_with_updates(&format!("{word}_constant"), op, constant.clone(), running("constant", 3), 1);
        let mut moments = vec![0.625; 3];
        moments.extend([f64::from(1.0 / (EPS as f32).sqrt()); 3]);
        let gradients = [
            &[Array::random("constant dy", &[2, 3, if op.pool { 3 } else { 7 }, if op.pool { 3 } else { 6 }])][..],
            &constant,
            &[Array::new(&[2, 3], moments), Array::random("constant descriptors", &[2, 2, 3]), Array::zeros(&[2, 3])],
        ];
        cases.op(&format!("gradient_{word}_constant"), gradient(op), gradients.concat());
        // The largest value stands in the last place but in two windows of the first image also earlier.
        let mut late = tied("late", [2, 2, 8, 6]);
        for place in [47, 46, 41, 40, 2 * 48 + 47] {
            late[0].data[place] = 4.0;
            late[0].data[48 + place % 48] = -4.0;
        }
        each(cases, &format!("{word}_late_tie"), op, &late);
    }
}

/// In evaluation mode a NaN makes its window and its plane's descriptors NaN, in training mode all of its channel, of
/// which the first element then is the first NaN.
fn nan_in_a_plane(cases: &mut Cases, size: &str, dims: [usize; 4], op: BatchNorm, what: &str) {
    let [n, c, h, w] = dims;
    let [out_h, out_w] = if op.pool { [h / 2, w / 2] } else { [h, w] };
    let area = out_h * out_w;
    // Of the second image's last channel.
    let plane = 2 * c - 1;
    // The window, and the element in it.
    for (which, windows) in [
        ("the_first", &[(0, 0)][..]),
        ("the_middle", &[(area / 2, 1)]),
        ("the_next", &[(area / 2 + 1, 2)]),
        ("the_last", &[(area - 1, 3)]),
        ("the_first_and_the_last", &[(0, 3), (area - 1, 0)]),
    ] {
        let name = format!("{what}_of_{size}_with_nan_in_{which}");
        let mut inputs = tied(&name, dims);
        for (i, &(window, element)) in windows.iter().enumerate() {
            let (row, column) = (window / out_w, window % out_w);
            let at = if op.pool { (2 * row + element / 2) * w + 2 * column + element % 2 } else { window };
            inputs[0].data[plane * h * w + at] = if i % 2 == 0 { f64::NAN } else { -f64::NAN };
        }
        let states = running(&name, c);
        let mut trained = Element::nan(0, (0..n * c * area).filter(|i| i / area % c == c - 1));
        trained.extend(Element::nan(1, [c - 1, 2 * c - 1]));
        let mut expected = Element::nan(0, windows.iter().map(|(window, _)| plane * area + window));
        let outputs = if op.descriptors { 4 } else { 2 };
        if op.descriptors {
            expected.extend(Element::nan(1, [plane, n * c + plane]));
            for image in 1..=n {
                trained.extend(Element::nan(2, [image * c - 1, (n + image) * c - 1]));
                trained.push(Element::new(3, image * c - 1, 0.0));
            }
        }
        trained.extend((outputs..outputs + 2).flat_map(|update| Element::nan(update, [c - 1])));
        cases.op_on_nan_with_updates(&name, op, inputs.clone(), states.clone(), trained);
        inputs.extend(states);
        cases.op_on_nan(&format!("eval_{name}"), eval(op), inputs, expected);
    }
}

pub(super) fn cases(cases: &mut Cases) {
    let sizes: [(&str, [usize; 4]); 8] = [
        ("one_channel", [2, 1, 5, 3]),
        ("67_channels_of_odd_size", [3, 67, 3, 3]),
        ("two_elements_a_channel", [2, 4, 1, 1]),
        ("one_image", [1, 3, 9, 7]),
        ("more_elements_than_a_workgroup", [3, 2, 13, 11]),
        ("many_images_of_one_pixel", [259, 3, 1, 1]),
        ("many_elements_of_one_channel", [5, 1, 33, 31]),
        ("more_elements_than_one_workgroup_takes", [3, 2, 77, 75]),
    ];
    let activations = [(None, "plain"), (Some(Function::Relu), "relu"), (Some(Function::Sigmoid), "sigmoid")];
    for (i, (size, dims)) in sizes.into_iter().enumerate() {
        for (j, (activation, word)) in activations.into_iter().enumerate() {
            let momentum = if (i + j).is_multiple_of(2) { 0.1 } else { 0.01 };
            let name = format!("{word}_{size}");
            let op = BatchNorm { momentum, activation, ..PLAIN };
            each(cases, &name, op, &inputs(&name, dims, 0.5));
        }
    }
    let dims = [4, 3, 7, 5];
    let op = PLAIN;
    let (x, state) = (inputs("steps", dims, 0.5), running("steps", 3));
    cases.op_with_updates("three_steps_move_the_running_estimates", op, x, state, 3);
    let (x, state) = (inputs("offset", dims, 30.0), running("offset", 3));
    cases.op_with_updates("a_mean_far_from_zero_keeps_its_variance", op, x, state, 1);
    let far = grad_inputs("far", op, inputs("far", dims, 30.0));
    cases.op("gradient_with_a_mean_far_from_zero", gradient(op), far);
    let mut zero = inputs("zero", dims, 0.0);
    zero[0] = Array::zeros(&dims);
    cases.op_with_updates("zeros_have_no_variance", op, zero, running("zero", 3), 1);
    let mut constant = inputs("constant", dims, 0.0);
    constant[0] = Array::filled(&dims, 0.625);
    cases.op_with_updates("a_constant_has_no_variance", op, constant, running("constant", 3), 1);
    let mut still = grad_inputs("still", op, inputs("still", dims, 0.5));
    still[0] = Array::zeros(&dims);
    cases.op("gradient_of_nothing_is_nothing", gradient(op), still);
    let op = BatchNorm { eps: 1e-3, momentum: 1.0, ..PLAIN };
    let (x, state) = (inputs("whole", dims, 0.5), running("whole", 3));
    cases.op_with_updates("momentum_1_takes_the_batch_alone", op, x, state, 1);
    pooled_and_described(cases);
    for (size, dims) in
        [("an_odd_map", [2, 3, 9, 7]), ("whole_vectors", [3, 2, 6, 8]), ("more_than_a_workgroup_takes", [3, 2, 77, 74])]
    {
        for (activation, word) in activations {
            for (pool, descriptors, followed) in
                [(true, false, "pooled"), (false, true, "described"), (true, true, "pooled_and_described")]
            {
                let op = BatchNorm { activation, pool, descriptors, ..PLAIN };
                nan_in_a_plane(cases, size, dims, op, &format!("{word}_{followed}"));
            }
        }
    }
}
