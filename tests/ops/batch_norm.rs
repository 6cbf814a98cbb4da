//! Batch normalisation.

use moue::ops::{BatchNorm, BatchNormEval, BatchNormGrad, Function};

use crate::support::{case::Cases, data::Array, reference::reference};

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

/// The inputs of the gradient: statistics as the forward op leaves them, biases chosen so that no value lies so
/// close to ReLU's kink that f32 and f64 could differ in its sign.
fn grad_inputs(name: &str, dims: [usize; 4], offset: f64) -> Vec<Array> {
    let c = dims[1];
    let mut forward = inputs(name, dims, offset);
    forward[2] = Array::zeros(&[c]);
    let op = BatchNorm { eps: EPS, momentum: 0.1, activation: None };
    let outputs = reference(&op.into(), &forward, &mut running(name, c));
    let positions = dims[2] * dims[3];
    for channel in 0..c {
        let before: Vec<f64> =
            (0..outputs[0].data.len()).filter(|i| i / positions % c == channel).map(|i| outputs[0].data[i]).collect();
        let distance = |bias: f64| before.iter().fold(f64::INFINITY, |least, value| least.min((value + bias).abs()));
        let candidates = (0..400).map(|i| f64::from(i - 200) / 256.0);
        let bias = candidates.max_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0.0);
        assert!(distance(bias) > 1e-4, "{name}: a bias away from the kink");
        forward[2].data[channel] = bias;
    }
    let [x, weight, bias] = &forward[..] else { panic!("three inputs") };
    let statistics = outputs[1..].iter().map(|array| array.clone().rounded());
    let mut all = vec![Array::random(&format!("{name} dy"), &dims), x.clone(), weight.clone(), bias.clone()];
    all.extend(statistics);
    all
}

pub(super) fn cases(cases: &mut Cases) {
    let sizes: [(&str, [usize; 4]); 7] = [
        ("one_channel", [2, 1, 5, 3]),
        ("67_channels_of_odd_size", [3, 67, 3, 3]),
        ("two_elements_a_channel", [2, 4, 1, 1]),
        ("one_image", [1, 3, 9, 7]),
        ("more_elements_than_a_workgroup", [3, 2, 13, 11]),
        ("many_images_of_one_pixel", [259, 3, 1, 1]),
        ("many_elements_of_one_channel", [5, 1, 33, 31]),
    ];
    let activations = [(None, "plain"), (Some(Function::Relu), "relu"), (Some(Function::Sigmoid), "sigmoid")];
    for (i, (size, dims)) in sizes.into_iter().enumerate() {
        for (j, (activation, word)) in activations.into_iter().enumerate() {
            let momentum = if (i + j).is_multiple_of(2) { 0.1 } else { 0.01 };
            let name = format!("{word}_{size}");
            let op = BatchNorm { eps: EPS, momentum, activation };
            cases.op_with_updates(&name, op, inputs(&name, dims, 0.5), running(&name, dims[1]), 1);
            let mut eval = inputs(&name, dims, 0.5);
            eval.extend(running(&name, dims[1]));
            cases.op(&format!("eval_{name}"), BatchNormEval { eps: EPS, activation }, eval);
            cases.op(&format!("gradient_{name}"), BatchNormGrad { activation }, grad_inputs(&name, dims, 0.5));
        }
    }
    let dims = [4, 3, 7, 5];
    let op = BatchNorm { eps: EPS, momentum: 0.1, activation: None };
    let (x, state) = (inputs("steps", dims, 0.5), running("steps", 3));
    cases.op_with_updates("three_steps_move_the_running_estimates", op, x, state, 3);
    let (x, state) = (inputs("offset", dims, 30.0), running("offset", 3));
    cases.op_with_updates("a_mean_far_from_zero_keeps_its_variance", op, x, state, 1);
    let activation = None;
    cases.op("gradient_with_a_mean_far_from_zero", BatchNormGrad { activation }, grad_inputs("far", dims, 30.0));
    let mut zero = inputs("zero", dims, 0.0);
    zero[0] = Array::zeros(&dims);
    cases.op_with_updates("zeros_have_no_variance", op, zero, running("zero", 3), 1);
    let mut constant = inputs("constant", dims, 0.0);
    constant[0] = Array::filled(&dims, 0.625);
    cases.op_with_updates("a_constant_has_no_variance", op, constant, running("constant", 3), 1);
    let mut still = grad_inputs("still", dims, 0.5);
    still[0] = Array::zeros(&dims);
    cases.op("gradient_of_nothing_is_nothing", BatchNormGrad { activation }, still);
    let op = BatchNorm { eps: 1e-3, momentum: 1.0, activation: None };
    let (x, state) = (inputs("whole", dims, 0.5), running("whole", 3));
    cases.op_with_updates("momentum_1_takes_the_batch_alone", op, x, state, 1);
}
