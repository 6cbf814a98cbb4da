//! Sums of tensors with fixed weights.

use super::{
    Scalar,
    kernel::{Io, Kernel, map, zip_map},
};

pub(super) struct Forward(pub(super) Vec<f64>);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let weight = |i: usize| T::of(self.0[i]);
        let x = |i: usize| io.input(i);
        let count = io.inputs();
        let inputs: [&[T]; 4] = std::array::from_fn(|i| if i < count { x(i) } else { &[] });
        let ([y], _) = io.write();
        match count {
            1 => map(y, inputs[0], |a| weight(0) * a),
            2 => zip_map(y, inputs[0], inputs[1], |a, b| weight(0) * a + weight(1) * b),
            3 | 4 => {
                zip_map(y, inputs[0], inputs[1], |a, b| weight(0) * a + weight(1) * b);
                for (i, x) in inputs.iter().enumerate().take(count).skip(2) {
                    y.iter_mut().zip(*x).for_each(|(y, &x)| *y += weight(i) * x);
                }
            }
            _ => unreachable!("the contract allows 1 to 4 terms"),
        }
    }
}
