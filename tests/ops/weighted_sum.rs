//! Weighted sums.

use moue::ops::{Function, WeightedSum};

use crate::support::{
    case::{Cases, Element},
    data::Array,
};

pub(super) fn cases(cases: &mut Cases) {
    let weights = [1.0, -0.5, 0.125, 3.7];
    for count in 1..=4 {
        for (size, dims) in [("one_element", &[1][..]), ("257_elements", &[257]), ("a_map", &[2, 9, 13, 11])] {
            let inputs = (0..count).map(|i| Array::random(&format!("{size} {i}"), dims)).collect();
            let op = WeightedSum { weights: weights[..count].to_vec(), activation: None };
            cases.op(&format!("{count}_inputs_of_{size}"), op, inputs);
        }
    }
    for function in [Function::Relu, Function::Sigmoid] {
        let inputs = (0..3).map(|i| Array::random(&format!("activated {i}"), &[3, 7, 61, 5])).collect();
        let op = WeightedSum { weights: weights[..3].to_vec(), activation: Some(function) };
        cases.op(&format!("{function:?}_of_a_sum").to_lowercase(), op.clone(), inputs);
        let with = |values: [f64; 4]| Array::new(&[4], values.to_vec());
        let one = with([f64::NAN, 0.5, -0.5, f64::INFINITY]);
        let inputs = vec![one, with([-0.5, -f64::NAN, 0.25, 1.0]), with([0.5, 1.0, -1.0, f64::NEG_INFINITY])];
        // Infinities of both signs add up to NaN too.
        cases.op_on_nan(&format!("{function:?}_with_nan").to_lowercase(), op, inputs, Element::nan(0, [0, 1, 3]));
    }
    let twice = vec![Array::random("a", &[67]), Array::random("a", &[67])];
    cases.op("a_difference_of_equals_is_zero", WeightedSum { weights: vec![1.0, -1.0], activation: None }, twice);
    let ignored = vec![Array::random("a", &[67]), Array::random("b", &[67])];
    cases.op("a_weight_of_zero_ignores", WeightedSum { weights: vec![0.0, 1.0], activation: None }, ignored);
}
