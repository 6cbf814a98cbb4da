//! ReLU and sigmoid.

use moue::ops::{Activation, ActivationGrad, Function};

use crate::support::{
    case::{Cases, Element},
    data::Array,
    reference::reference,
};

const SIZES: [(&str, &[usize]); 5] = [
    ("one_element", &[1]),
    ("a_prime_number_of_elements", &[1, 7, 1, 1]),
    ("one_less_than_a_workgroup", &[3, 5, 17]),
    ("one_more_than_a_workgroup", &[257]),
    ("several_workgroups", &[2, 9, 13, 11]),
];

pub(super) fn cases(cases: &mut Cases) {
    for (function, word) in [(Function::Relu, "relu"), (Function::Sigmoid, "sigmoid")] {
        for (size, dims) in SIZES {
            let x = Array::uniform(&format!("x {word} {size}"), dims, -4.0, 4.0);
            let y = reference(&Activation { function }.into(), std::slice::from_ref(&x), &mut [])[0].clone().rounded();
            let dy = Array::random("dy", dims);
            cases.op(&format!("{word}_of_{size}"), Activation { function }, vec![x]);
            cases.op(&format!("{word}_gradient_of_{size}"), ActivationGrad { function }, vec![dy, y]);
        }
        let far = Array::new(&[8], vec![0.0, -0.0, 80.0, -80.0, 100.0, -100.0, 3e38, -3e38]).rounded();
        cases.op(&format!("{word}_far_from_zero_saturates"), Activation { function }, vec![far]);
        let nan = Array::new(&[7], vec![1.0, f64::NAN, -1.0, -f64::NAN, 0.0, f64::INFINITY, f64::NEG_INFINITY]);
        cases.op_on_nan(&format!("{word}_with_nan"), Activation { function }, vec![nan], Element::nan(0, [1, 3]));
    }
    let ends = Array::new(&[4], vec![0.0, 1.0, 0.5, 0.0]);
    let function = Function::Relu;
    cases.op("relu_has_no_gradient_at_zero", ActivationGrad { function }, vec![Array::filled(&[4], 1.0), ends.clone()]);
    let function = Function::Sigmoid;
    cases.op("saturated_sigmoid_has_no_gradient", ActivationGrad { function }, vec![Array::filled(&[4], 1.0), ends]);
}
